"""Put an exported model into the zoo: file, checksum, and the measured part of its card.

    python -m benchmarks.publish runs/road4.onnx --summary "…"

The card ``models/zoo/NAME.md`` is written by hand but for what stands between its two
``measured`` marks, which this script measures through the same Detector that users run. The three
files are of one model: what a run that was stopped had begun to put there, the next one finishes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.options import in_sentences
from oneglance.models import Detector
from oneglance.models.training.evaluation.coco import Evaluation, evaluate_file
from oneglance.streams.errors import UsageError
from oneglance.streams.files.lock import FolderLock
from oneglance.streams.outputs import check_reachable, sync_folder, write_file

ROOT = Path(__file__).resolve().parent.parent
ZOO = ROOT / "models" / "zoo"
DATA = {
    "gtsdb": ROOT / "../shared/data/gtsdb/data.yaml",
    "gtsdb-signs": ROOT / "benchmarks/data/gtsdb-signs.yaml",
    "highway": ROOT / "../shared/data/highway/data.yaml",
    "lights": ROOT / "../shared/data/lights/data.yaml",
    "lights_asia": ROOT / "../shared/data/lights_asia/data.yaml",
    "seoul": ROOT / "benchmarks/data/seoul.yaml",
    "roadsigns": ROOT / "benchmarks/data/roadsigns.yaml",
    "rendered": ROOT / "runs/rendered/data.yaml",
}
SUBCLASSES_FROM = ("gtsdb-signs", "lights", "lights_asia", "seoul")

# COCO-pretrained YOLO26n without training of ours, as ../shared/README.md measured it at 640×384.
ZERO_SHOT_SIZE = (640, 384)
ZERO_SHOT = {
    ("gtsdb", "pedestrian"): (0.501, 0.305),
    ("gtsdb", "car"): (0.877, 0.654),
    ("gtsdb", "sign"): (0.357, 0.231),
    ("gtsdb", "light"): (0.625, 0.390),
    ("highway", "pedestrian"): (0.654, 0.387),
    ("highway", "car"): (0.916, 0.776),
    ("lights", "light"): (0.826, 0.568),
}
LIST = "zoo.json"
_BEGUN, _WHOLE = ".publish.new", ".publish"
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="an ONNX file that 'oneglance export' wrote")
    parser.add_argument("--summary", required=True, help="one line for 'oneglance models'")
    args = parser.parse_args()
    with in_sentences():
        finish(ZOO)
        _publish(args.model, args.summary)


def _publish(model: Path, summary: str) -> None:
    detector = Detector.load(model)  # says in a sentence what is no model
    content = model.read_bytes()
    card = ZOO / f"{detector.name}.md"
    if card.is_file() is False or BEGIN not in card.read_text(encoding="utf-8"):
        raise UsageError(f"write {card} first, with a line {BEGIN} and a line {END}")
    missing = [str(file) for file in DATA.values() if not file.is_file()]
    if missing:
        raise UsageError(f"needs {', '.join(missing)} (rendered: see CONTRIBUTING.md)")
    for name in (card.name, f"{detector.name}.onnx", LIST):
        check_reachable(ZOO / name)
    evaluations = {name: evaluate_file(model, file) for name, file in DATA.items()}
    if model.read_bytes() != content:
        raise UsageError(f"{model} was changed while it was measured: measure it anew")
    digest = hashlib.sha256(content).hexdigest()
    text = card.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    measured = "\n".join(_measured(detector, evaluations, digest))
    put(
        ZOO,
        {
            f"{detector.name}.onnx": content,
            card.name: f"{before}{BEGIN}\n{measured}\n{END}{after}".encode(),
            LIST: _list(detector, digest, summary).encode(),
        },
    )
    print(measured)


def put(zoo: Path, files: Mapping[str, bytes]) -> None:
    """Write ``files`` (name, content) into ``zoo``: all of them, or none.

    They are written into a folder beside, which is renamed when it is whole. From then on they
    count, and are moved out of it, if not by this run then by the next one: ``finish``.

    Raises:
        SinkError: they cannot be written, or another run publishes.
        OSError: from the operating system.
    """
    lock = FolderLock()
    lock.take(zoo, alone=True)
    _finish(zoo)
    begun = zoo / _BEGUN
    begun.mkdir()
    for name, content in files.items():
        write_file(begun / name, content)
    begun.rename(zoo / _WHOLE)
    sync_folder(zoo)
    _finish(zoo)
    lock.release()


def finish(zoo: Path) -> None:
    """Move to their place what a run that was stopped has published, and remove what it had only
    begun to.

    Raises:
        SinkError: another run publishes.
        OSError: from the operating system.
    """
    lock = FolderLock()
    lock.take(zoo, alone=True)
    _finish(zoo)
    lock.release()


def _finish(zoo: Path) -> None:
    begun, whole = zoo / _BEGUN, zoo / _WHOLE
    if begun.is_dir():
        for file in begun.iterdir():
            file.unlink()
        begun.rmdir()
    if whole.is_dir():
        for file in whole.iterdir():
            file.replace(zoo / file.name)
        sync_folder(zoo)
        whole.rmdir()


def _measured(detector: Detector, evaluations: dict[str, Evaluation], digest: str) -> list[str]:
    facts = detector.metadata.training
    width, height = detector.metadata.size
    today = datetime.now(UTC).date().isoformat()
    lines = [
        f"Measured {today} by `benchmarks/publish.py` from this very file through `Detector`:",
        f"ONNX Runtime fp32 on {platform.machine()}, {width}×{height}, COCO's mAP.",
        "",
        "| val set | task | boxes | mAP50 | zero-shot | mAP50-95 | zero-shot |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, evaluation in evaluations.items():
        if name == "gtsdb-signs":
            continue
        for task, found in evaluation.tasks.items():
            comparable = detector.metadata.size == ZERO_SHOT_SIZE
            zero = ZERO_SHOT.get((name, task.value)) if comparable else None
            first, second = ("-", "-") if zero is None else (f"{z:.3f}" for z in zero)
            lines.append(
                f"| {name} | {task.value} | {found.boxes} | {found.map50:.3f} | {first} "
                f"| {found.map50_95:.3f} | {second} |"
            )
    lines += [""]
    for name, evaluation in evaluations.items():
        for task, part in evaluation.partial.items():
            lines.append(
                f"- {name} boxes {task.value} in part: recall {part.recall:.3f} of {part.boxes} at "
                f"confidence {part.confidence:g}; {part.unmatched_per_image:.2f} an image match no "
                "box, which proves nothing."
            )
    for name in SUBCLASSES_FROM:
        for task, compared in evaluations[name].subclasses.items():
            if compared.found:
                lines.append(
                    f"- {name}: the subclass of {task.value} is right on {compared.share:.1%} of "
                    f"{compared.found} true detections (without a subclass: {compared.unassigned})."
                )
    lines += [
        "",
        f"SHA-256 `{digest}`",
        "",
        "<details><summary>How it was trained, as the file itself says</summary>",
        "",
        "```json",
        json.dumps(dict(facts), indent=1),
        "```",
        "",
        "</details>",
    ]
    return lines


def _list(detector: Detector, digest: str, summary: str) -> str:
    entries: dict[str, Any] = json.loads((ZOO / LIST).read_text(encoding="utf-8"))
    width, height = detector.metadata.size
    entries[detector.name] = {
        "file": f"{detector.name}.onnx",
        "sha256": digest,
        "input": f"{width}x{height}",
        "classes": ", ".join(cls.name for cls in detector.classes),
        "summary": summary,
    }
    return json.dumps(entries, indent=2) + "\n"


if __name__ == "__main__":
    main()
