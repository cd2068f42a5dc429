from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneglance.perception.sinks.timeline import Timeline

NTSC = Fraction(30000, 1001)
rates = st.none() | st.fractions(Fraction(1, 100), 240, max_denominator=1001)


@pytest.mark.parametrize(
    "rate", [NTSC, Fraction(24000, 1001), Fraction(25), Fraction(111000, 3673)]
)
def test_a_constant_rate_stays_exactly_that(rate: Fraction) -> None:
    timeline = Timeline(rate)
    ticks = [timeline.tick(float(i / rate)) for i in range(1000)]
    assert [tick * timeline.time_base for tick in ticks] == [i / rate for i in range(1000)]


def test_times_that_matroska_rounded_fall_back_into_their_places() -> None:
    # 29.97 frames a second, in whole milliseconds: 0, 33, 67, 100, 133, 167, …
    timeline = Timeline(NTSC)
    ticks = [timeline.tick(round(float(1000 * i / NTSC)) / 1000) for i in range(1000)]
    assert [tick * timeline.time_base for tick in ticks] == [i / NTSC for i in range(1000)]


@given(rates, st.lists(st.floats(0.002, 10), max_size=50), st.floats(0, 1e6))
def test_times_that_grow_are_kept_within_a_millisecond(
    rate: Fraction | None, steps_s: list[float], start_s: float
) -> None:
    timeline = Timeline(rate)
    times_s = [start_s]
    for step_s in steps_s:
        times_s.append(times_s[-1] + step_s)
    shown_s = [float(timeline.tick(time_s) * timeline.time_base) for time_s in times_s]
    for time_s, seen_s in zip(times_s, shown_s, strict=True):
        assert abs((time_s - start_s) - seen_s) <= 1.1e-3


@given(rates, st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50))
def test_whatever_the_times_the_ticks_grow_from_0(
    rate: Fraction | None, times_s: list[float]
) -> None:
    timeline = Timeline(rate)
    ticks = [timeline.tick(time_s) for time_s in times_s]
    assert ticks[0] == 0
    assert all(first < second for first, second in pairwise(ticks))


def test_a_repeated_time_does_not_delay_what_follows() -> None:
    timeline = Timeline(Fraction(25))  # 90 000 / 25 = 3600 ticks a frame
    ticks = [timeline.tick(time_s) for time_s in (0, 0.04, 0.04, 0.08)]
    assert ticks == [0, 3600, 3601, 7200]


def test_a_source_that_begins_again_goes_on_after_its_last_frame() -> None:
    timeline = Timeline(Fraction(25))
    ticks = [timeline.tick(time_s) for time_s in (10.0, 10.04, 10.08, 0.0, 0.04)]
    assert ticks == [0, 3600, 7200, 10800, 14400]


@pytest.mark.parametrize("rate", [None, Fraction(0), Fraction(90000), Fraction(1234567, 41234)])
def test_without_a_usable_rate_times_are_kept_to_a_ninety_thousandth(
    rate: Fraction | None,
) -> None:
    timeline = Timeline(rate)
    assert timeline.time_base == Fraction(1, 90_000)
    assert [timeline.tick(time_s) for time_s in (3, 3.0101, 3.5)] == [0, 909, 45_000]


@pytest.mark.parametrize("rate", [None, NTSC, Fraction(25), Fraction(999_983, 1000)])
@pytest.mark.parametrize("gap_s", [599, 601, 36 * 60, 8 * 3600, 47 * 3600])
def test_a_long_pause_is_kept_and_no_frame_of_it_lasts_too_long(
    rate: Fraction | None, gap_s: int
) -> None:
    timeline = Timeline(rate)
    last, tick = timeline.tick(5.0), timeline.tick(5.0 + gap_s)
    assert float(tick * timeline.time_base) == pytest.approx(gap_s, abs=1.1e-3)
    shown = [last, *timeline.repeats(last, tick), tick]
    assert all(0 < later - earlier < 2**31 for earlier, later in pairwise(shown))
    assert len(shown) == 2 + (gap_s - 1) // 600


@pytest.mark.parametrize("leap_s", [1e6, 1.7e9, 1e300])
def test_a_clock_that_was_set_leaves_no_pause(leap_s: float) -> None:
    timeline = Timeline(Fraction(25))
    ticks = [timeline.tick(time_s) for time_s in (0, 0.04, leap_s, leap_s + 0.04, leap_s + 1)]
    assert ticks[:3] == [0, 3600, 7200]
