"""Images that a training shows in other weather."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("ultralytics", reason="needs the 'train' extra")

from media import photograph
from oneglance.models.training.fit import weather
from oneglance.models.training.fit.weather import CHANGES, Pixels, Weather
from oneglance.models.training.recipe import Recipe
from oneglance.streams.errors import UsageError

IMAGE = np.asarray(photograph(2, (160, 96)), np.uint8)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_leaves_shape_and_type_and_the_image_itself(
    change: Callable[[Pixels], Pixels],
) -> None:
    random.seed(1)
    before = IMAGE.copy()
    altered = change(IMAGE)
    assert (altered.shape, altered.dtype) == (IMAGE.shape, IMAGE.dtype)
    assert (before == IMAGE).all()
    difference = np.abs(altered.astype(int) - IMAGE).mean()
    assert 0.1 < difference < 128  # seen, and not all of the image is gone


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_seed_draws_the_same(change: Callable[[Pixels], Pixels]) -> None:
    random.seed(7)
    first = change(IMAGE)
    random.seed(7)
    assert (change(IMAGE) == first).all()


def test_a_share_of_the_images_is_changed_and_nothing_but_images() -> None:
    random.seed(0)
    boxes = object()
    seen = [Weather(0.25)({"img": IMAGE, "instances": boxes}) for _ in range(200)]
    changed = sum(bool((one["img"] != IMAGE).any()) for one in seen)
    assert 30 <= changed <= 70
    assert all(one["instances"] is boxes for one in seen)
    assert (Weather(0.0)({"img": IMAGE})["img"] == IMAGE).all()


def test_a_share_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="weather must be from 0 to 1"):
        Recipe(weather=1.5)


def test_night_is_dark_and_glare_is_bright() -> None:
    random.seed(0)
    assert weather.darkness(IMAGE).mean() < IMAGE.mean()
    assert weather.glare(IMAGE).mean() > IMAGE.mean()
    assert weather.haze(IMAGE).std() < IMAGE.std()
