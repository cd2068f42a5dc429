"""Recordings at the speed of the world, on a clock of the test's own."""

from __future__ import annotations

import threading
import time
from fractions import Fraction

import pytest

from oneglance.streams.pacing import BEHIND_S, LONGEST_GAP_S, RealTimePacer, pacer_for
from waiting import within


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_frames_are_due_at_the_distances_they_were_recorded_at() -> None:
    pace = RealTimePacer(Clock())
    assert [pace.due_s(time_s) for time_s in (7.0, 7.04, 9.0)] == [100.0, 100.04, 102.0]


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


def test_a_pause_is_waited_for_and_a_splice_is_not() -> None:
    pace = pacer_for(Fraction(25), Clock())
    assert pace.due_s(0.0) == 100.0
    assert pace.due_s(LONGEST_GAP_S - 1) == 100.0 + LONGEST_GAP_S - 1
    assert pace.due_s(8 * 3600.0) == pytest.approx(100.0 + LONGEST_GAP_S - 1 + 0.04)


def test_times_that_run_back_are_due_after_what_came_before() -> None:
    pace = pacer_for(None, Clock())
    due_s = [pace.due_s(time_s) for time_s in (5.0, 5.03, 1.0, 1.03, 1.07)]
    assert due_s == sorted(set(due_s))
    assert due_s[-1] == pytest.approx(100.0 + 0.03 + 0.5 / 30 + 1 / 30 + 0.04)


def test_a_frame_an_hour_is_no_splice() -> None:
    pace = pacer_for(Fraction(1, 3600), Clock())
    assert [pace.due_s(time_s) for time_s in (0.0, 3600.0)] == [100.0, 3700.0]
