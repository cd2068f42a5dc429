"""Times that run forward, whatever a source says."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneglance.streams.timestamps import MonotonicTimestamps

P = 0.1  # the period


def steadied(*times_s: float, longest_gap_s: float = math.inf) -> list[float]:
    times = MonotonicTimestamps(P, longest_gap_s=longest_gap_s)
    return [round(times.next_s(time_s), 6) for time_s in times_s]


def test_good_times_stay_as_they_are_to_the_last_bit() -> None:
    times_s = [index / 30 for index in range(100)]
    times = MonotonicTimestamps(1 / 30)
    assert [times.next_s(time_s) for time_s in times_s] == times_s


def test_times_that_are_all_zero_become_a_constant_rate() -> None:
    assert steadied(0, 0, 0, 0) == [0, 0.05, 0.15, 0.25]


def test_negative_times_are_times_like_others() -> None:
    assert steadied(-3, -2.9, -2.8) == [-3, -2.9, -2.8]


def test_two_frames_of_one_time_move_none_after_them() -> None:
    assert steadied(0, 0.1, 0.1, 0.2, 0.3) == [0, 0.1, 0.15, 0.2, 0.3]


def test_a_clock_that_jumps_back_is_followed_from_there() -> None:
    assert steadied(7, 7.1, 1, 1.1, 1.3) == [7, 7.1, 7.15, 7.25, 7.45]


def test_a_counter_that_wraps_goes_on() -> None:
    wrap_s = 2**33 / 90_000  # of an MPEG transport stream
    shown = steadied(wrap_s - 0.1, wrap_s, 0.1, 0.2, 0.3)
    assert shown == pytest.approx([wrap_s - 0.1 + s for s in (0, 0.1, 0.15, 0.25, 0.35)])


def test_missing_times_follow_the_frame_before() -> None:
    assert steadied(1, math.nan, math.nan, 1.3) == [1, 1.05, 1.15, 1.3]


def test_a_leap_forward_is_a_period_where_gaps_are_bounded_and_a_pause_where_not() -> None:
    assert steadied(0, 0.1, 3600, 3600.1, longest_gap_s=10) == [0, 0.1, 0.2, 0.3]
    assert steadied(0, 0.1, 3600, 3600.1) == [0, 0.1, 3600, 3600.1]


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=2, max_size=50),
    st.sampled_from([math.inf, 10.0]),
)
def test_times_always_run_forward(times_s: list[float], longest_gap_s: float) -> None:
    times = MonotonicTimestamps(P, longest_gap_s=longest_gap_s)
    shown = [times.next_s(time_s) for time_s in times_s]
    assert all(math.isfinite(time_s) for time_s in shown)
    assert all(before < after for before, after in pairwise(shown))
