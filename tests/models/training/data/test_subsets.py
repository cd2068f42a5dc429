"""Shares of the training images: counts, nesting, and how they are merged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oneglance.models.tasks import FOUR_TASKS
from oneglance.models.training.data.datasets import read_dataset
from oneglance.models.training.data.merging import labelled_classes, merge
from oneglance.models.training.data.subsets import Subset
from oneglance.streams.errors import UsageError

IMAGES = [Path(f"set/images/{number:03}.jpg") for number in range(200)]


def test_five_percent_lie_inside_twenty_five_and_those_inside_all() -> None:
    few, some, all_ = (Subset(share, seed=1).of(IMAGES) for share in (0.05, 0.25, 1.0))
    assert (len(few), len(some)) == (10, 50)
    assert set(few) < set(some) < set(all_)
    assert all_ == IMAGES
    assert some == sorted(some)


def test_another_seed_draws_other_images_and_the_same_seed_the_same() -> None:
    assert Subset(0.25, 1).of(IMAGES) == Subset(0.25, 1).of(list(reversed(IMAGES)))[::-1]
    ours, theirs = set(Subset(0.25, 1).of(IMAGES)), set(Subset(0.25, 2).of(IMAGES))
    assert 2 < len(ours & theirs) < 30  # 12.5 by chance


def test_the_folder_does_not_matter() -> None:
    elsewhere = [Path("/elsewhere") / image.name for image in IMAGES]
    names = [image.name for image in Subset(0.1).of(IMAGES)]
    assert names == [image.name for image in Subset(0.1).of(elsewhere)]


@pytest.mark.parametrize(("share", "total", "count"), [(0.05, 3, 1), (0.5, 5, 2), (1.0, 7, 7)])
def test_a_share_is_at_least_one_image(share: float, total: int, count: int) -> None:
    assert Subset(share).count(total) == count


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, float("nan")])
def test_a_share_that_is_none_is_refused(share: Any) -> None:
    with pytest.raises(UsageError, match="above 0 and at most 1"):
        Subset(share)


def test_each_set_gives_its_share_and_one_image_of_two_sets_goes_into_both(
    make_set: Any, tmp_path: Path
) -> None:
    labels = {f"i{number}": "2 0.5 0.5 0.2 0.2" for number in range(20)}
    signs = make_set("signs", train=labels, val={"v": ""}, labels=["sign"])
    # The same images again, where people are labelled.
    others = signs.parent / "others.yaml"
    others.write_text(signs.read_text().replace("labels:\n- sign", "labels:\n- pedestrian"))
    cars = make_set("cars", train={f"c{number}": "" for number in range(8)}, names=["x", "car"])
    sets = [read_dataset(file) for file in (signs, others, cars)]
    merged = merge(sets, FOUR_TASKS[:3], tmp_path / "out", subset=Subset(0.25, seed=4))
    labelled = labelled_classes(merged.parent)
    drawn = [names for stem, names in labelled.items() if stem.startswith("train")]
    assert drawn.count({"pedestrian", "sign"}) == 5  # type: ignore[arg-type]
    assert drawn.count({"car"}) == 2  # type: ignore[arg-type]
    assert sum(stem.startswith("val") for stem in labelled) == 1
