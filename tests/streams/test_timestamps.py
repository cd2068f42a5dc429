"""Times that run forward, pictures that change, rates that are measured."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import picture
from oneglance.streams.timestamps import FreezeDetector, MonotonicTimestamps, RateMeter

P = 0.1  # the period


def steadied(*times_s: float, longest_gap_s: float = math.inf) -> list[float]:
    steady = MonotonicTimestamps(P, longest_gap_s=longest_gap_s)
    return [round(steady.steady(at_s), 6) for at_s in times_s]


def test_good_times_stay_as_they_are_to_the_last_bit() -> None:
    times_s = [index / 30 for index in range(100)]
    steady = MonotonicTimestamps(1 / 30)
    assert [steady.steady(at_s) for at_s in times_s] == times_s


def test_times_that_are_all_zero_become_a_steady_rate() -> None:
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
    steady = MonotonicTimestamps(P, longest_gap_s=longest_gap_s)
    shown = [steady.steady(at_s) for at_s in times_s]
    assert all(math.isfinite(at_s) for at_s in shown)
    assert all(before < after for before, after in pairwise(shown))


def test_a_picture_that_stays_the_same_for_long_is_frozen_until_it_changes() -> None:
    watch, same, other = FreezeDetector(2.0), picture(3), picture(4)
    seen = [(0, other), (1, same), (2, same), (3, same), (3.5, same), (4, other), (7, same)]
    frozen = [watch.see(image, at_s) for at_s, image in seen]
    assert frozen == [False, False, False, True, True, False, False]


def test_noise_of_one_grey_level_is_no_freeze() -> None:
    watch, image = FreezeDetector(1.0), picture(3)
    noisy = image.copy()
    noisy[0, 0, 0] ^= 1
    assert not any(watch.see(i, s) for s, i in enumerate([image, noisy] * 5))


def test_a_small_thing_that_moves_between_the_rows_looked_at_first_is_no_freeze() -> None:
    watch, frozen = FreezeDetector(2.0), []
    for at_s in range(10):
        image = np.zeros((480, 640, 3), np.uint8)
        image[5, at_s] = 1
        frozen.append(watch.see(image, at_s))
    assert not any(frozen)


def test_drawing_on_a_frame_that_was_seen_does_not_hide_a_freeze() -> None:
    watch = FreezeDetector(1.0)
    for at_s, frozen in ((0, False), (1, True), (2, True)):
        image = picture(3)
        assert watch.see(image, at_s) is frozen
        image[:] = 0  # as users draw on what they were given


def test_a_new_connection_is_not_frozen_by_the_picture_of_the_last() -> None:
    watch = FreezeDetector(1.0)
    watch.see(picture(3), 0.0)
    assert watch.see(picture(3), 5.0)
    watch.forget()
    assert not watch.see(picture(3), 6.0)


def test_a_size_that_changes_is_a_new_picture() -> None:
    watch = FreezeDetector(1.0)
    black = [np.zeros((48, width, 3), np.uint8) for width in (64, 32)]
    assert not any(watch.see(black[s % 2], s) for s in range(6))


def test_without_a_limit_nothing_is_frozen() -> None:
    watch = FreezeDetector(None)
    assert not any(watch.see(picture(1), s) for s in range(0, 1000, 100))


def test_the_rate_is_that_of_the_last_seconds() -> None:
    meter = RateMeter(5.0)
    for index in range(50):
        meter.tick(index / 25)
    assert meter.rate(2.0) == pytest.approx(25)
    for index in range(50):
        meter.tick(10 + index / 5)
    assert meter.rate(20.0) == pytest.approx(5)


def test_the_rate_is_unknown_before_two_frames_and_nothing_after_a_silent_while() -> None:
    meter = RateMeter(5.0)
    assert meter.rate(0.0) is None
    meter.tick(1.0)
    assert meter.rate(1.0) is None
    meter.tick(1.1)
    assert meter.rate(6.2) == 0.0
