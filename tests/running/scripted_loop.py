"""Sources, detectors and sinks for a loop, of which a test decides each step."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import pytest
import supervision as sv

from media import index_of, numbered_image
from oneglance.models import Detector
from oneglance.perception import Pipeline, Result
from oneglance.streams import Frame


class Source:
    """``frames`` grey images at 25 a second; ``before(index)`` is called ahead of each, and
    once more at the end. A live one stamps them with ``clock``."""

    frame_rate = Fraction(25)
    frame_count = None
    source = "scripted"

    def __init__(
        self,
        frames: int,
        *,
        before: Callable[[int], object] = lambda index: None,
        live: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.live = live
        self.produced = 0
        self.asked_to_close = threading.Event()
        self._frames, self._before, self._clock = frames, before, clock

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._frames):
            self._before(index)
            time_s = self._clock() if self.live else index / 25
            self.produced += 1
            yield Frame(numbered_image(index), index, time_s, self.source)
        self._before(self._frames)

    @property
    def closed(self) -> bool:
        return self.asked_to_close.is_set()

    def close(self) -> None:
        self.asked_to_close.set()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Hooked:
    """The real detector, with ``before(frame number)`` called ahead of each image."""

    def __init__(self, detector: Detector, before: Callable[[int], object]) -> None:
        self._detector, self._before = detector, before
        self.name, self.threads = detector.name, detector.threads
        self.engine, self.precision = detector.engine, detector.precision

    def __call__(self, image: np.ndarray) -> sv.Detections:
        return self.detect(image)[0]

    def detect(self, image: np.ndarray) -> tuple[sv.Detections, dict[str, float]]:
        self._before(index_of(image))
        return self._detector.detect(image)


class Sink:
    """Remembers which frames it was given; ``before(index)`` is called ahead of each."""

    def __init__(
        self,
        before: Callable[[int], object] = lambda index: None,
        *,
        at_close: Callable[[], object] = lambda: None,
    ) -> None:
        self.written: list[int] = []
        self.closed = 0
        self._before, self._at_close = before, at_close

    def write(self, result: Result) -> None:
        self._before(result.frame.index)
        self.written.append(result.frame.index)

    def close(self) -> None:
        self.closed += 1
        self._at_close()


class Trouble(Exception):
    """What nobody expects."""


def raising(error: BaseException, *, at: int) -> Callable[[int], None]:
    def before(index: int) -> None:
        if index == at:
            raise error

    return before


def taken_until(error: type[BaseException], loop: Pipeline) -> tuple[list[int], BaseException]:
    """The frames that came before the loop raised ``error``, and the error."""
    taken: list[int] = []
    with pytest.raises(error) as caught:
        taken.extend(result.frame.index for result in loop)
    return taken, caught.value
