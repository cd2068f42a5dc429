"""One live source: when its frames were captured, and what became of each."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice, pairwise

import pytest

from live_runs import quick, uncounted
from media import numbered_image
from oneglance.models import Detector
from oneglance.perception import Live, Pipeline, Result
from oneglance.perception.readers.channel import Channel, capture_time
from oneglance.perception.readers.frame_reader import CapturedFrame
from oneglance.streams import ConnectOptions, Frame, SourceBroken
from oneglance.streams.live.states import State

EPOCH_S = 1.79e9  # what a ROS header says


class Stamped:
    """A driver whose frames carry the times that ``stamp(index)`` says; at most ``frames``."""

    frame_rate = Fraction(100)
    frame_count = None
    source = "stamped"

    def __init__(
        self,
        stamp: Callable[[int], float],
        *,
        frames: int = 20,
        live: bool = True,
        error: Exception | None = None,
    ) -> None:
        self.live = live
        self._stamp, self._frames, self._error = stamp, frames, error
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._frames):
            if self._closed.wait(0.005):
                return
            metadata = {"stamp": EPOCH_S + index, "frame_id": "front"}
            time_s = self._stamp(index)
            yield Frame(numbered_image(index), index, time_s, self.source, metadata=metadata)
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        self._closed.set()

    def __enter__(self) -> Stamped:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def channel(stream: Stamped, clock: Callable[[], float] = time.monotonic) -> Channel:
    return Channel(stream, limits=Live(), connect=ConnectOptions(), clock=clock)


def read(stream: Stamped) -> tuple[Channel, list[CapturedFrame]]:
    found: list[CapturedFrame] = []

    def take(captured: CapturedFrame) -> bool:
        found.append(captured)
        return True

    source = channel(stream)
    source.read(take)
    source.ended(None)
    return source, found


@pytest.mark.parametrize("time_s", [math.nan, math.inf, -math.inf, EPOCH_S, -5.0, 0.0, 100.001])
def test_a_time_that_cannot_be_of_the_runs_clock_is_not_believed(time_s: float) -> None:
    assert capture_time(time_s, 100.0, since_s=95.0) == 100.0


@pytest.mark.parametrize("time_s", [100.0, 99.9, 95.0, 90.0])
def test_a_time_of_the_runs_clock_is_believed_to_the_last_bit(time_s: float) -> None:
    assert capture_time(time_s, 100.0, since_s=95.0) == time_s


@pytest.mark.parametrize(
    "stamp",
    [
        pytest.param(lambda index: EPOCH_S + index / 100, id="seconds since 1970"),
        pytest.param(lambda index: index / 100, id="a simulation that begins at 0"),
        pytest.param(lambda index: -index / 100, id="a clock that runs back"),
        pytest.param(lambda index: math.nan, id="no number"),
    ],
)
def test_a_frame_that_brings_its_own_clock_has_an_age_that_makes_sense(
    stamp: Callable[[int], float], detector: Detector
) -> None:
    began_s = time.monotonic()
    pipeline = Pipeline(Stamped(stamp, frames=10**6), detector, mode=quick())
    results: list[Result] = []
    for result in islice(pipeline, 5):
        results.append(result)
        (health,) = pipeline.health().sources
        assert health.state == State.LIVE
        assert health.age_s is not None
        assert 0 <= health.age_s <= time.monotonic() - began_s
    for result in results:
        assert result.age_s is not None
        assert 0 <= result.age_s <= time.monotonic() - began_s
        assert result.frame.metadata["frame_id"] == "front"
        assert result.frame.metadata["stamp"] == EPOCH_S + result.frame.index
    pipeline.close()


def test_a_recording_played_live_is_captured_when_it_is_due() -> None:
    _, found = read(Stamped(lambda index: index / 100, frames=10, live=False))
    assert [c.frame.index for c in found] == list(range(10))
    for captured, after in pairwise(found):
        assert captured.captured_s == captured.arrival_s
        # Never before its time: frame n is due n/100 s after the first.
        assert after.arrival_s >= found[0].arrival_s + after.frame.timestamp_s


def test_what_is_delivered_dropped_and_lost_adds_up_to_what_came() -> None:
    source, found = read(Stamped(lambda _: time.monotonic(), frames=10))
    assert len(found) == 10
    source.taken(dropped=0)
    source.delivered(0)
    source.taken(dropped=5)  # and no result of it comes
    source.lose(3)
    source.settle()
    source.settle()
    health = source.health()
    assert (health.produced, health.delivered) == (10, 1)
    assert health.dropped == {"newer frame": 5, "closing": 4}
    assert uncounted(health) == 0


def test_many_drops_are_an_alarm_that_names_the_source() -> None:
    source = channel(Stamped(lambda _: 0.0), clock=lambda: 50.0)
    alerts = [source.delivered(dropped=2) for _ in range(20)]
    (alert,) = [alert for alert in alerts if alert is not None]
    assert (alert.about, alert.time_s) == ("stamped", 50.0)
    assert "67% of its frames are dropped" in str(alert)


def test_nobody_takes_a_frame_of_a_closed_run_and_it_is_counted() -> None:
    source = channel(Stamped(lambda _: time.monotonic(), frames=3))
    source.read(lambda captured: False)
    assert source.health().dropped == {"closing": 1}


def test_what_it_ended_by_is_kept_and_reported() -> None:
    error = SourceBroken("stamped broke")
    source = channel(Stamped(lambda _: time.monotonic(), frames=1, error=error))
    with pytest.raises(SourceBroken):
        source.read(lambda captured: True)
    source.ended(error)
    assert source.error is error
    health = source.health()
    assert (health.state, health.last_error) == (State.CLOSED, "stamped broke")


def test_what_comes_after_closing_is_no_error_of_the_source() -> None:
    source = channel(Stamped(lambda _: time.monotonic()))
    source.close()
    source.ended(SourceBroken("torn down"))
    assert source.error is None
    assert source.is_closed
    assert source.health().last_error is None
