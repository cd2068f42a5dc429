"""A model in int8, tried as ``oneglance quantize`` tries it, on every set that is there: what each
try lost by set and task, and how long an inference takes in each precision, in turns.

    python -m benchmarks.quantized road4-n --out benchmarks/results/int8
    python -m benchmarks.quantized road4-n --out benchmarks/results/int8 --file road4-n-int8.zip

About ten minutes for three tries on two idle CPUs. ``--file``: where the quantised file goes, if it
passes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import facts
from benchmarks.options import in_words
from benchmarks.publish import DATA
from benchmarks.report.pages import markdown
from benchmarks.report.results import MADE_BY, Table
from oneglance.models.engines.accuracy_gate import Gate, record
from oneglance.models.engines.loading import load_engine
from oneglance.models.engines.openvino import INT8
from oneglance.models.engines.trial import timed
from oneglance.models.training.data.datasets import read_dataset
from oneglance.models.training.float_layers import Kept
from oneglance.models.training.quantization import CALIBRATION_FRAMES, Quantised, quantize
from oneglance.models.zoo import resolve_model
from oneglance.streams.errors import OneglanceError, UsageError
from oneglance.streams.output_folder import OutputFolder
from oneglance.streams.outputs import check_reachable, refuse_inputs, write_file

COLUMNS = ("set", "task", "boxes", "mAP50-95", "in int8", "F1", "in int8", "confidence")
SCORES = ("map50_95", "f1")

SETS = ("gtsdb", "highway", "lights", "lights_asia", "seoul", "roadsigns")


def main(words: list[str]) -> int:
    arguments = argparse.ArgumentParser(
        prog="python -m benchmarks.quantized",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    arguments.add_argument("model", help="in the zoo, or an ONNX file")
    arguments.add_argument("--out", type=Path, required=True, help="folder of results")
    arguments.add_argument("--file", type=Path, help="the quantised file, if it passes")
    arguments.add_argument(
        "--float", default=Kept.HEAD.value, choices=[each.value for each in Kept]
    )
    arguments.add_argument("--frames", type=int, default=CALIBRATION_FRAMES)
    arguments.add_argument("--data", type=Path, action="append", help="sets, instead of ours")
    asked = arguments.parse_args(words)
    try:
        _run(asked)
    except (OneglanceError, OSError) as error:
        print(f"error: {in_words(error)}", file=sys.stderr)
        return 2
    return 0


def _run(asked: argparse.Namespace) -> None:
    file = resolve_model(asked.model)
    files = asked.data or [DATA[name] for name in SETS if DATA[name].is_file()]
    if not files:
        raise UsageError("none of the sets is here: name some (--data)")
    place = OutputFolder(asked.out, MADE_BY)  # before minutes of work
    place.check([file, *files])
    check_reachable(asked.out / f"{file.stem}.json")
    if asked.file is not None:
        refuse_inputs(asked.file, [file, *files])
        check_reachable(asked.file)
    about = facts.gather(file)
    found = quantize(
        file,
        [read_dataset(each) for each in files],
        frames=asked.frames,
        first=Kept(asked.float),
    )
    results = {
        "facts": about,
        "calibration frames": asked.frames,
        "tries": [_tried(each) for each in (*found.refused, found)],
        "inference ms, median of ten in turns": inference_ms(file, found),
        "not shown": "Other CPUs: int8 gains most with VNNI. Sets of a few dozen boxes move by "
        "more than the gate's bounds when one box does.",
    }
    place.claim()
    place.write(f"{file.stem}.json", json.dumps(results, indent=1) + "\n")
    place.write(f"{file.stem}.md", page(file.stem, results))
    if asked.file is not None and not found.problems:
        write_file(asked.file, found.content)
    print(page(file.stem, results))


def _tried(found: Quantised) -> dict[str, Any]:
    kept = {"float": str(found.kept), "MB": round(len(found.content) / 1e6, 2)}
    return kept | record(Gate(), found.rows) | {"problems": list(found.problems)}


def inference_ms(file: Path, found: Quantised) -> dict[str, float]:
    """Of the float file in OpenVINO and of the quantised one."""
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / "int8.zip"
        packed.write_bytes(found.content)
        how: list[tuple[Path, str]] = [(file, "fp32"), (packed, INT8)]
        engines = [
            load_engine(each, engine="openvino", precision=precision, check=False)
            for each, precision in how
        ]
        names = [precision for _, precision in how]
        return {n: round(ms, 2) for n, ms in zip(names, timed(engines), strict=True)}


def page(name: str, results: dict[str, Any]) -> str:
    """The results for people."""
    lines = [f"# {name} in int8", ""]
    lines += [f"- {key}: {value}" for key, value in results["facts"].items()]
    times = results["inference ms, median of ten in turns"]
    lines.append(f"- inference: {', '.join(f'{k} {v} ms' for k, v in times.items())}")
    for tried in results["tries"]:
        verdict = "passes the gate" if tried["passed"] else "does not pass the gate"
        rows = tuple(
            (
                *(row["set"], row["task"], str(row["boxes"])),
                *(f"{row[f'{score}{of}']:.4f}" for score in SCORES for of in ("", "_quantised")),
                f"{row['shift']:+.4f}",
            )
            for row in tried["rows"]
        )
        lines += ["", f"## {tried['float']} in float, {tried['MB']} MB: {verdict}", ""]
        lines += markdown(Table("", COLUMNS, rows))
        lines += ["", *(f"- {problem}" for problem in tried["problems"])]
    lines += ["", f"Not shown: {results['not shown']}", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
