"""Arm: what a sink does to one result, alone: boxes drawn on a frame, a line of JSON written."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import supervision as sv

from benchmarks.arms import measuring
from oneglance.models.tasks import Task
from oneglance.perception.result import Result
from oneglance.perception.sinks.drawing import annotate
from oneglance.perception.sinks.jsonl import JsonLinesSink
from oneglance.streams import Frame

SIZE = (1280, 720)
DRAWN, WRITTEN = 15, 10
"""Boxes on the frame that is drawn on, detections in the line that is written."""


def main() -> None:
    arguments = measuring.parser(__doc__, model=False)
    options = arguments.parse_args()
    image = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
    crowded, found = boxes(DRAWN), boxes(WRITTEN)
    result = Result(Frame(image, 0, 0.0, "street.mp4"), found, {"decode": 0.001}, None, 0)
    calls, warmup = options.frames, options.warmup
    with tempfile.TemporaryDirectory() as folder:
        sink = JsonLinesSink(Path(folder) / "out.jsonl")
        line_ms = timed_ms(lambda: sink.write(result), calls, warmup=warmup)
        sink.close()
    draw_ms = timed_ms(lambda: annotate(image, crowded), calls, warmup=warmup)
    measuring.answer(draw_ms=draw_ms, line_ms=line_ms)


def boxes(count: int) -> sv.Detections:
    """So many cars, wherever chance puts them, each with a track."""
    corners = np.random.default_rng(3).uniform((0, 0), (1100, 600), (count, 2))
    names = np.full(count, Task.CAR.value)
    return sv.Detections(
        xyxy=np.hstack([corners, corners + np.array([60, 40])]).astype(np.float32),
        confidence=np.full(count, 0.9, np.float32),
        class_id=np.zeros(count, np.int64),
        tracker_id=np.arange(count),
        data={"task": names, "class_name": names},
    )


def timed_ms(call: Callable[[], object], calls: int, *, warmup: int) -> list[float]:
    """Milliseconds of each call, the first ``warmup`` left out."""
    spent_ms = []
    for _ in range(calls + warmup):
        began_s = time.perf_counter()
        call()
        spent_ms.append(1e3 * (time.perf_counter() - began_s))
    return spent_ms[warmup:]


if __name__ == "__main__":
    main()
