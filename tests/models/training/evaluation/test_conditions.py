"""What night, rain and the others do to an image."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("imagecorruptions", reason="needs the 'conditions' extra")

from media import photograph
from oneglance.models.training.evaluation.conditions import (
    Condition,
    Severity,
    apply_condition,
    night,
)

IMAGE = photograph(3, (160, 96))


def change(condition: Condition, severity: Severity, seed: int = 0) -> float:
    """Mean absolute difference to the clean image."""
    altered = apply_condition(IMAGE, condition, severity, seed=seed)
    return float(np.abs(altered.astype(int) - IMAGE).mean())


@pytest.mark.parametrize("condition", Condition)
def test_a_condition_leaves_shape_and_type_and_the_image_itself(condition: Condition) -> None:
    before = IMAGE.copy()
    altered = apply_condition(IMAGE, condition, Severity.MIDDLE)
    assert altered.shape == IMAGE.shape
    assert altered.dtype == np.uint8
    assert (before == IMAGE).all()
    assert (altered != IMAGE).any()


@pytest.mark.parametrize("condition", Condition)
def test_more_severe_changes_more(condition: Condition) -> None:
    mild, middle, strong = (change(condition, severity) for severity in Severity)
    assert mild < middle < strong


@pytest.mark.parametrize("condition", Condition)
def test_the_same_seed_gives_the_same_image_whatever_was_drawn_before(
    condition: Condition,
) -> None:
    first = apply_condition(IMAGE, condition, Severity.MIDDLE, seed=4)
    np.random.default_rng().random()
    np.random.seed(1)  # noqa: NPY002 - the generator that the library draws from
    state = np.random.get_state(legacy=False)["state"]["key"]  # noqa: NPY002
    assert (apply_condition(IMAGE, condition, Severity.MIDDLE, seed=4) == first).all()
    assert (np.random.get_state(legacy=False)["state"]["key"] == state).all()  # noqa: NPY002


@pytest.mark.parametrize("condition", [Condition.NIGHT, Condition.RAIN, Condition.GLARE])
def test_another_seed_is_another_night_and_another_rain(condition: Condition) -> None:
    one, other = (apply_condition(IMAGE, condition, Severity.MIDDLE, seed=s) for s in (0, 1))
    assert (one != other).any()


def test_night_is_darker_and_noisier() -> None:
    grey = np.full((64, 64, 3), 128, np.uint8)
    dark = night(grey, Severity.STRONG, np.random.default_rng(0))
    assert dark.mean() < 90
    assert dark.std() > 5


def test_glare_brightens_every_pixel() -> None:
    altered = apply_condition(IMAGE, Condition.GLARE, Severity.MIDDLE)
    assert (altered.astype(int) >= IMAGE).all()
