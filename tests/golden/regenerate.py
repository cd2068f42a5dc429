"""What the bundled models see on rendered frames, kept so that a change shows; and a run of one.

python tests/golden/regenerate.py          # prints what differs, writes the new answers
python tests/golden/regenerate.py --check  # prints what differs, exits 1 when anything does
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import supervision as sv

from oneglance.models import Detector, list_zoo
from oneglance.perception.pipeline import Pipeline
from oneglance.perception.sinks import JsonLinesSink
from oneglance.streams.rendered.stream import RenderedStream

FOLDER = Path(__file__).parent
FRAMES = ((1, 30), (2, 150), (3, 400), (4, 90))
"""Seed and index of each frame: a town, a village, weather of four kinds."""

DRIVE = FOLDER / "drive.jsonl"
DRIVE_SEED, DRIVE_FRAMES = 8, 24

CLIP = FOLDER / "highway.jsonl"
CLIP_SOURCE, CLIP_FRAMES = "../shared/clips/udacity_highway_720p.mp4", 24
"""A real clip, which is not part of the repository; what is seen in it is."""

CONFIDENCE = 0.4
BOX_PX, SCORE = 1.5, 0.03
"""What another CPU or library version may change. A box whose score is this near to
``CONFIDENCE`` may come or go."""

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing")
    check = parser.parse_args().check
    differs = False
    for entry in [each for each in list_zoo() if not each.is_quantised]:
        file, seen = golden_file(entry.name), answers(entry.name)
        kept = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        found = differences(kept, seen)
        differs |= bool(found)
        print(f"{entry.name}: " + ("as kept" if not found else "\n  ".join(["differs", *found])))
        if found and not check:
            file.write_text(json.dumps(seen, indent=1) + "\n", encoding="utf-8")
    if not check:
        record_drive(DRIVE)
        record_clip(CLIP)
    sys.exit(1 if differs and check else 0)


def record_drive(file: Path) -> None:
    """The run that ``oneglance replay`` is tried on, as ``oneglance run`` writes it."""
    sinks = [JsonLinesSink(file)]
    stream = RenderedStream(seed=DRIVE_SEED, frame_count=DRIVE_FRAMES)
    Pipeline(stream, Detector.load("road4-n", threads=1), sinks=sinks).run()


def record_clip(file: Path) -> None:
    """The same of a real clip's first frames; nothing where the clip is not there."""
    if not Path(CLIP_SOURCE).is_file():
        print(f"{file.name}: left as it is, no {CLIP_SOURCE} from here")
        return
    with contextlib.closing(JsonLinesSink(file)) as sink:
        pipeline = Pipeline(CLIP_SOURCE, Detector.load("road4-n", threads=1))
        with contextlib.closing(iter(pipeline)) as results:
            for result in itertools.islice(results, CLIP_FRAMES):
                sink.write(result)


def golden_file(model: str) -> Path:
    """Where a model's answers are kept."""
    return FOLDER / f"{model}.json"


def answers(model: str) -> dict[str, list[Row]]:
    """What ``model`` sees on each frame, best first."""
    detector = Detector.load(model, confidence=CONFIDENCE)
    return {
        f"seed {seed}, frame {index}": _rows(detector(RenderedStream(seed=seed).render(index)[0]))
        for seed, index in FRAMES
    }


def _rows(found: sv.Detections) -> list[Row]:
    assert found.confidence is not None
    names = np.asarray(found.data["class_name"]).tolist()
    return [
        {"class": name, "confidence": round(float(c), 3), "xyxy": [round(float(v), 1) for v in box]}
        for name, c, box in zip(names, found.confidence, found.xyxy, strict=True)
    ]


def differences(kept: dict[str, list[Row]], seen: dict[str, list[Row]]) -> list[str]:
    """A sentence for each box that went, came or changed by more than is allowed."""
    found = [f"{frame}: not kept yet" for frame in seen.keys() - kept.keys()]
    for frame, rows in kept.items():
        left = list(seen.get(frame, []))
        for row in rows:
            match = next((other for other in left if _same(row, other)), None)
            if match is not None:
                left.remove(match)
            elif row["confidence"] > CONFIDENCE + SCORE:
                found.append(f"{frame}: gone {row}")
        found += [f"{frame}: new {r}" for r in left if r["confidence"] > CONFIDENCE + SCORE]
    return found


def _same(one: Row, other: Row) -> bool:
    return bool(
        one["class"] == other["class"]
        and abs(one["confidence"] - other["confidence"]) <= SCORE
        and np.abs(np.subtract(one["xyxy"], other["xyxy"])).max() <= BOX_PX
    )


if __name__ == "__main__":
    main()
