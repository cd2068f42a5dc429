"""The power law found again in data made from one, and what it promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from oneglance.models.training.study.curves import extrapolate, fit

IMAGES = (100, 200, 500, 1000, 2000)


def law(n: Any, a: Any, b: Any, c: Any) -> Any:
    return a * np.asarray(n, float) ** -b + c


@pytest.mark.parametrize(("a", "b", "c"), [(2.0, 0.5, 0.0), (3.0, 0.4, 0.2), (1.0, 0.1, 0.0)])
def test_a_law_is_found_again_in_its_own_points(a: float, b: float, c: float) -> None:
    found = fit(IMAGES, law(IMAGES, a, b, c)[None])
    # Twice and four times the images: the floor is tried in steps, so not to the last digit.
    expected = law([2000, 4000, 8000], a, b, c)
    assert found.error([2000, 4000, 8000])[0] == pytest.approx(expected, abs=0.004)


def test_twice_the_images_bring_what_the_law_says() -> None:
    # Error n^-0.5: 0.1 at 100 images, 0.0707 at 200. Without noise there is no doubt.
    scores = 1 - law((25, 50, 100), 1.0, 0.5, 0.0)
    found = extrapolate((25, 50, 100), scores, np.tile(scores, (20, 1)))
    assert found.gain == pytest.approx(0.1 - 0.1 / 2**0.5, abs=2e-3)
    assert (found.low, found.high) == pytest.approx((found.gain, found.gain))
    assert found.verdict == "not enough data"
    assert found.band[0][:2] == pytest.approx((25, scores[0]), abs=2e-3)
    assert found.band[-1][0] == pytest.approx(200)


def test_scores_that_do_not_rise_promise_nothing() -> None:
    scores = np.array([0.5, 0.49, 0.5, 0.48, 0.49])
    found = extrapolate(IMAGES, scores, np.tile(scores, (5, 1)))
    assert (found.gain, found.high) == (0, 0)
    assert found.law == pytest.approx((1 - scores.mean(), 0, 0))
    assert found.verdict == "enough data"


def test_noise_widens_the_interval_until_nothing_is_certain() -> None:
    random = np.random.default_rng(0)
    scores = 1 - law(IMAGES, 1.2, 0.15, 0.1)
    widths = []
    for noise in (0.002, 0.02):
        drawn = scores + random.normal(0, noise, (300, len(IMAGES)))
        found = extrapolate(IMAGES, scores, drawn)
        assert found.low < found.gain < found.high
        widths.append(found.high - found.low)
    assert widths[1] > 2 * widths[0]
    drawn = scores + random.normal(0, 0.1, (300, len(IMAGES)))
    assert extrapolate(IMAGES, scores, drawn).verdict == "whether there is enough is open"


@pytest.mark.parametrize("images", [(100, 200), (100, 100, 200)])
def test_two_numbers_of_images_make_no_curve(images: Any) -> None:
    with pytest.raises(ValueError, match="3 different numbers of images"):
        fit(images, np.zeros((1, len(images))))
