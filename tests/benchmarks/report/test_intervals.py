"""The statistics that every claim rests on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.report.intervals import TooFewSamples, least_samples, percentile, ratio, spread

positive = st.floats(0.1, 1e3)


@pytest.mark.parametrize(("percent", "needed"), [(50, 4), (90, 20), (99, 200), (1, 200)])
def test_a_percentile_needs_two_samples_beyond_it(percent: float, needed: int) -> None:
    assert least_samples(percent) == needed
    samples = list(range(needed))
    assert percentile(samples, percent) == pytest.approx(np.percentile(samples, percent))
    with pytest.raises(TooFewSamples, match=f"p{percent} needs {needed} samples, there are"):
        percentile(samples[1:], percent)


def test_a_ratio_pairs_the_rounds_so_that_a_slow_spell_does_not_count() -> None:
    # Twice as fast in every round, on a machine that got three times slower meanwhile.
    found = ratio([[10.0], [20.0], [30.0]], [[20.0], [40.0], [60.0]])
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_the_interval_of_a_ratio_spans_what_the_rounds_show() -> None:
    found = ratio([[1.0], [1.0], [1.0], [1.0], [1.0]], [[1.0], [2.0], [4.0], [2.0], [2.0]])
    assert found.value == 0.5
    assert 0.25 <= found.low < 0.5 < found.high <= 1.0


def test_samples_within_a_round_do_not_narrow_an_interval_that_rounds_make_wide() -> None:
    random = np.random.default_rng(1)
    rounds = [random.normal(level, 0.01, 500) for level in (1.0, 1.5, 2.0)]
    steady = [random.normal(1.0, 0.01, 500) for _ in range(3)]
    found = ratio(rounds, steady)
    assert found.high - found.low > 0.5


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(2)
    covered = 0
    for seed in range(100):
        fast = [[sample] for sample in random.normal(1.0, 0.05, 15)]
        slow = [[sample] for sample in random.normal(2.0, 0.10, 15)]
        found = ratio(fast, slow, draws=400, seed=seed)
        covered += found.low <= 0.5 <= found.high
    assert covered >= 88  # 95 expected; a percentile bootstrap of 15 rounds is a little narrow


@given(st.lists(positive, min_size=1, max_size=6), st.floats(0.5, 2.0))
def test_an_interval_holds_its_value_and_scales_with_the_data(
    samples: list[float], factor: float
) -> None:
    found = spread(samples, draws=200)
    assert found.low <= found.value <= found.high
    scaled = spread([factor * sample for sample in samples], draws=200)
    assert scaled.value == pytest.approx(factor * found.value)


def test_arms_with_other_numbers_of_rounds_are_not_compared() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        ratio([[1.0], [1.0]], [[1.0]])
    with pytest.raises(ValueError, match="no rounds"):
        ratio([], [])
