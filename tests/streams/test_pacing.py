"""Recordings at the speed of the world, on a clock of the test's own."""

from __future__ import annotations

import threading
import time

import pytest

from oneglance.streams.pacing import BEHIND_S, RealTimePacer
from waiting import within


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_frames_are_due_at_the_distances_they_were_recorded_at() -> None:
    pace = RealTimePacer(Clock())
    assert [pace.due_s(at_s) for at_s in (7.0, 7.04, 9.0)] == [100.0, 100.04, 102.0]


def test_who_is_a_little_late_catches_up() -> None:
    clock = Clock()
    pace = RealTimePacer(clock)
    pace.due_s(0.0)
    clock.now_s += 0.5
    assert pace.due_s(0.2) == 100.2


def test_who_is_far_behind_begins_anew() -> None:
    clock = Clock()
    pace = RealTimePacer(clock)
    pace.due_s(0.0)
    clock.now_s += BEHIND_S + 5
    assert pace.due_s(0.2) == clock.now_s
    assert pace.due_s(0.3) == pytest.approx(clock.now_s + 0.1)


def test_waiting_ends_when_stopped() -> None:
    pace, stopping = RealTimePacer(time.monotonic), threading.Event()
    pace.wait_for(0.0, stopping)
    stopping.set()
    with within(1):
        pace.wait_for(60.0, stopping)
