"""A source and a sink for oneglance, as another package offers them."""

from __future__ import annotations

import csv
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np

from oneglance.models import Task
from oneglance.perception import Result
from oneglance.perception.plugins import SinkContext
from oneglance.streams import ConnectOptions, Frame, SinkError, UsageError


class Pattern:
    """Ten frames a second of a moving pattern."""

    live, frame_rate = False, Fraction(10)

    def __init__(self, source: str, frames: int) -> None:
        self.source, self.frame_count = source, frames
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        ramp = np.arange(640, dtype=np.uint8)
        for index in range(self.frame_count):
            if self._closed.is_set():
                return
            image = np.broadcast_to(np.roll(ramp, 8 * index)[None, :, None], (360, 640, 3)).copy()
            yield Frame(image, index, index / 10, self.source)

    def close(self) -> None:
        self._closed.set()

    def __enter__(self) -> Pattern:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_pattern(uri: str, options: ConnectOptions) -> Pattern:
    """``pattern://name?frames=20``; nothing has to be connected to, so no option matters."""
    del options
    parts = urlsplit(uri)
    frames = parse_qs(parts.query).get("frames", ["10"])[-1]
    if not frames.isdigit():
        raise UsageError(f"{parts.scheme}://: frames is a number, not '{frames}'")
    return Pattern(f"pattern://{parts.netloc}", int(frames))


class Counts:
    """One line a frame: its index, its time, and how many detections each task has."""

    def __init__(self, file: Path) -> None:
        try:
            self._file = file.open("w", newline="", encoding="utf-8")
        except OSError as error:
            raise SinkError(f"cannot write {file}: {error.strerror}") from None
        self._lines = csv.writer(self._file)
        self._lines.writerow(["frame", "timestamp_s", *(task.value for task in Task)])

    def write(self, result: Result) -> None:
        tasks = result.detections.data.get("task", ())
        counts = [sum(task == seen for seen in tasks) for task in Task]
        frame = result.frame
        try:
            self._lines.writerow([frame.index, f"{frame.timestamp_s:.3f}", *counts])
        except OSError as error:
            raise SinkError(f"cannot write {self._file.name}: {error.strerror}") from None

    def close(self) -> None:
        try:
            self._file.close()
        except OSError as error:
            raise SinkError(f"cannot write {self._file.name}: {error.strerror}") from None


def open_counts(target: str, context: SinkContext) -> Counts:
    """``counts:FILE.csv``."""
    del context
    if not target:
        raise UsageError("the sink counts needs a file: counts:counts.csv")
    return Counts(Path(target))
