"""Cameras, a slow network and what to ask of a run, for the tests of many sources at once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from fractions import Fraction
from typing import Any

import numpy as np
import supervision as sv

from media import numbered_image
from oneglance.models import Detector
from oneglance.perception import Live, Pipeline, Result, SourceHealth
from oneglance.streams import ConnectOptions, Frame, State
from scripted_camera import Connection, ScriptedCamera, scripted_camera
from viewer import QUICK
from waiting import LONG_S


class SlowDetector:
    """The real detector, made as slow as a large network: ``takes_s`` for each image."""

    def __init__(self, detector: Detector, takes_s: float) -> None:
        self._detector, self._takes_s = detector, takes_s
        self.name, self.threads = detector.name, detector.threads
        self.engine, self.precision = detector.engine, detector.precision
        self.took_s: list[float] = []

    def __call__(self, image: np.ndarray) -> sv.Detections:
        return self.detect(image)[0]

    def detect(self, image: np.ndarray) -> tuple[sv.Detections, dict[str, float]]:
        began_s = time.monotonic()
        time.sleep(self._takes_s)  # what makes it slow
        found = self._detector.detect(image)
        self.took_s.append(time.monotonic() - began_s)
        return found


class Camera:
    """A driver of somebody else's: ``fps`` images a second, ``before(index)`` ahead of each."""

    live = True
    frame_rate = Fraction(50)
    frame_count = None

    def __init__(self, name: str, *, before: Callable[[int], object] = lambda index: None) -> None:
        self.source = name
        self.produced = 0
        self.stamps_s: list[float] = []
        self._before = before
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        while not self._closed.wait(0.02):
            self._before(self.produced)
            self.produced += 1
            index = self.produced - 1
            self.stamps_s.append(time.monotonic())
            yield Frame(numbered_image(index), index, self.stamps_s[-1], self.source)

    def close(self) -> None:
        self._closed.set()

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def quick(**limits: object) -> Live:
    connect = ConnectOptions(timeout_s=3, stall_s=1, backoff=QUICK)
    return Live(connect=connect, **limits)  # type: ignore[arg-type]


@contextmanager
def cameras(*scripts: Callable[[Connection], None]) -> Iterator[list[ScriptedCamera]]:
    with ExitStack() as stack:
        yield [stack.enter_context(scripted_camera(script)) for script in scripts]


def results_until(pipeline: Pipeline, done: Callable[[list[Result]], object]) -> list[Result]:
    """Results until ``done``; fails when that takes for ever."""
    results: list[Result] = []
    deadline_s = time.monotonic() + LONG_S
    with closing(iter(pipeline)) as taken:
        for result in taken:
            results.append(result)
            if done(results):
                break
            assert time.monotonic() < deadline_s, Counter(r.frame.source for r in results)
    return results


def by_name(pipeline: Pipeline) -> dict[str, SourceHealth]:
    return {source.source: source for source in pipeline.health().sources}


def uncounted(source: SourceHealth) -> int:
    return source.produced - source.delivered - sum(source.dropped.values()) - source.corrupt


def health_of(name: str, **facts: Any) -> SourceHealth:
    """A live source's health, with figures, but for those that a test gives."""
    usual: dict[str, Any] = {"state": State.LIVE, "state_s": 9.0, "fps_declared": None}
    usual |= {"fps_measured": 24.9, "age_s": 0.04, "produced": 100, "delivered": 90}
    usual |= {"dropped": {"newer frame": 8}, "corrupt": 2, "reconnects": 1, "drop_share": 0.08}
    return SourceHealth(source=name, last_error=None, **{**usual, **facts})
