"""Shares of the training images: counts, nesting, and how they are merged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oneglance.models.tasks import FOUR_TASKS, Task
from oneglance.models.training.data.datasets import read_dataset
from oneglance.models.training.data.merging import labelled_classes, merge, partial_tasks
from oneglance.models.training.data.subsets import Subset, Thinned
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


@pytest.mark.parametrize("how", Thinned)
def test_a_thinned_set_keeps_a_quarter_of_its_images_whole_and_half_of_the_others_boxes(
    make_set: Any, tmp_path: Path, how: Thinned
) -> None:
    # Eight signs and eight cars on each image, distinguished by where they are.
    lines = [f"{cls} 0.{n}5 0.{cls}5 0.05 0.05" for cls in (1, 2) for n in range(8)]
    train = {f"i{number:02d}": "\n".join(lines) for number in range(40)}
    data = make_set(train=train, val={"v": "\n".join(lines)}, labels=["car", "sign"])
    subset = Subset(seed=4, thinned=how)
    merged = merge([read_dataset(data)], FOUR_TASKS[1:3], tmp_path / "out", subset=subset)
    labels = merged.parent / "labels"
    counts = [len(f.read_text().splitlines()) for f in (labels / "train").iterdir()]
    (val,) = (labels / "val").iterdir()
    assert len(val.read_text().splitlines()) == 16
    partial = partial_tasks(merged.parent)
    if how is Thinned.NO:
        assert (set(counts), partial) == ({16}, {})
        return
    assert counts.count(16) == 10  # that all 16 of another stay has a chance of 1 in 2000
    assert sum(counts) - 160 == pytest.approx(240, abs=60)
    if how is Thinned.COMPLETE:
        assert partial == {}
        return
    assert list(partial.values()) == [{Task.CAR, Task.SIGN}] * 30
    quarter = Subset(0.25, seed=4).of(read_dataset(data).images("train"))
    assert not any(stem.endswith(image.stem) for stem in partial for image in quarter)


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
