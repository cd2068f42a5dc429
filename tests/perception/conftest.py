"""A detector that sees, and results made by hand, as sinks and telemetry meet them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import supervision as sv

from oneglance.models import Detector
from oneglance.perception.result import Result
from oneglance.streams.frame import Frame, Image
from silences import our_threads
from waiting import wait_until

Row = tuple[str, float, tuple[float, float, float, float], int]
"""Task, confidence, box, track (-1: none yet)."""

ResultMaker = Callable[..., Result]


@pytest.fixture(scope="module")
def detector(model: Path) -> Detector:
    """One that sees a car, a pedestrian and a sign in every image."""
    return Detector.load(model, threads=1)


@pytest.fixture
def no_thread_is_left() -> Iterator[None]:
    """Fails a test after which a thread of ours goes on."""
    yield
    wait_until(lambda: not our_threads(), our_threads)


@pytest.fixture
def detections() -> Callable[..., sv.Detections]:
    """``detections(("car", 0.87, (10, 20, 30, 40), 12), …)``; ``tracked=False``: no ids."""

    def make(*rows: Row, tracked: bool = True) -> sv.Detections:
        if not rows:
            return sv.Detections.empty()
        tasks, confidences, boxes, tracks = zip(*rows, strict=True)
        return sv.Detections(
            xyxy=np.array(boxes, np.float32),
            confidence=np.array(confidences, np.float32),
            class_id=np.zeros(len(rows), np.int64),
            tracker_id=np.array(tracks, np.int64) if tracked else None,
            data={"task": np.array(tasks), "class_name": np.array(tasks)},
        )

    return make


@pytest.fixture
def result(detections: Callable[..., sv.Detections]) -> ResultMaker:
    """``result(time_s, image=…, found=…, timings=…, age_s=…, dropped=…, source=…)``."""

    def make(
        time_s: float = 0.0,
        *,
        index: int = 0,
        image: Image | None = None,
        found: Sequence[Row] | sv.Detections = (),
        timings: dict[str, float] | None = None,
        age_s: float | None = None,
        dropped: int = 0,
        source: str = "drive.mp4",
    ) -> Result:
        pixels = np.full((48, 64, 3), 90, np.uint8) if image is None else image
        seen = found if isinstance(found, sv.Detections) else detections(*found)
        frame = Frame(pixels, index=index, timestamp_s=time_s, source=source)
        return Result(
            frame, seen, {"decode": 0.001} if timings is None else timings, age_s, dropped
        )

    return make
