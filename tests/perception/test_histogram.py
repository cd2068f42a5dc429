"""Percentiles from buckets: as numpy's, within the bound that is promised."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneglance.perception.histogram import (
    LONGEST_S,
    RELATIVE_ERROR,
    SHORTEST_S,
    LatencyHistogram,
)

durations = st.floats(SHORTEST_S, LONGEST_S)


@given(st.lists(durations, min_size=1, max_size=200), st.floats(0, 100))
def test_a_percentile_is_that_of_numpy_within_the_bound(
    values: list[float], percent: float
) -> None:
    histogram = LatencyHistogram()
    for value in values:
        histogram.add(value)
    exact = float(np.percentile(values, percent))
    assert math.isclose(histogram.percentile(percent), exact, rel_tol=RELATIVE_ERROR * 1.0001)
    assert histogram.max_s == max(values)
    assert histogram.count == len(values)


@given(st.lists(st.floats(0, SHORTEST_S), min_size=1, max_size=20), st.floats(0, 100))
def test_durations_too_short_to_matter_are_right_within_a_microsecond(
    values: list[float], percent: float
) -> None:
    histogram = LatencyHistogram()
    for value in values:
        histogram.add(value)
    exact = float(np.percentile(values, percent))
    assert abs(histogram.percentile(percent) - exact) <= SHORTEST_S


def test_a_day_long_duration_keeps_the_maximum_exact() -> None:
    histogram = LatencyHistogram()
    histogram.add(5 * LONGEST_S)
    assert histogram.max_s == 5 * LONGEST_S
    assert histogram.percentile(50) == 5 * LONGEST_S


@pytest.mark.parametrize("wrong", [-1e-9, math.nan, math.inf])
def test_what_is_no_duration_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        LatencyHistogram().add(wrong)


def test_an_empty_histogram_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="no duration"):
        LatencyHistogram().percentile(50)


@pytest.mark.parametrize("percent", [-1, 100.5, math.nan])
def test_a_percentile_is_between_0_and_100(percent: float) -> None:
    histogram = LatencyHistogram()
    histogram.add(1.0)
    with pytest.raises(ValueError, match="from 0 to 100"):
        histogram.percentile(percent)


def test_a_million_frames_take_no_more_memory_than_a_thousand() -> None:
    histogram = LatencyHistogram()
    values = np.random.default_rng(7).lognormal(-4, 1, 51_000).tolist()
    for value in values[:1000]:
        histogram.add(value)
    tracemalloc.start()
    for value in values[1000:]:
        histogram.add(value)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Fifty thousand floats of 8 bytes would be 400 kB; counts above 256 are 28-byte integers.
    assert grown < 10_000
