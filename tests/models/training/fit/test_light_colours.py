"""Colours fitted to lights that a data set labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("faster_coco_eval", reason="needs the 'eval' extra")

from oneglance.models.tasks import LIGHT_COLOURS
from oneglance.models.training.data.datasets import read_dataset
from oneglance.models.training.fit.light_colours import fit_colours
from oneglance.streams.errors import DataError

COLOURS = ((0, (30, 30, 220)), (1, (20, 190, 230)), (2, (90, 200, 40)))
"""Which lamp, and its BGR: red, yellow, green."""


@pytest.fixture
def lights(tmp_path: Path) -> Path:
    """Each image one light in another place, size and shade."""
    random = np.random.default_rng(0)
    for split, count in (("train", 30), ("val", 12)):
        for folder in ("images", "labels"):
            (tmp_path / folder / split).mkdir(parents=True)
        for i in range(count):
            lamp, colour = COLOURS[i % 3]
            image = random.integers(90, 220, (96, 128, 3), np.uint8)
            width = int(random.integers(12, 24))
            left, top = int(random.integers(0, 100)), int(random.integers(0, 20))
            cv2.rectangle(image, (left, top), (left + width, top + 3 * width), (25, 25, 25), -1)
            middle = (left + width // 2, top + width // 2 + lamp * width)
            shade = random.uniform(0.6, 1.1)
            cv2.circle(image, middle, width // 3, tuple(c * shade for c in colour), -1)
            cv2.imwrite(str(tmp_path / "images" / split / f"{i}.png"), image)
            box = ((left + width / 2) / 128, (top + 1.5 * width) / 96, width / 128, width / 32)
            line = f"{i % 3} " + " ".join(f"{x:.4f}" for x in box)
            (tmp_path / "labels" / split / f"{i}.txt").write_text(line)
    data = tmp_path / "data.yaml"
    data.write_text("path: .\ntrain: images/train\nval: images/val\nnames: [red, yellow, green]\n")
    return data


def correct(data: Path, colours: Any) -> list[bool]:
    from oneglance.models.training.evaluation.coco import truths

    dataset = read_dataset(data)
    right = []
    for truth in truths(dataset, "val", dataset.images("val")):
        for cls, (left, top, width, height) in truth.boxes:
            box = np.array([(left, top, left + width, top + height)], np.float32)
            (found,) = colours.predict(truth.image, box)
            right.append(found is not None and colours.classes[found] == cls)
    return right


def test_colours_of_lights_never_seen_are_predicted(lights: Path) -> None:
    colours = fit_colours([read_dataset(lights)])
    assert colours.classes == LIGHT_COLOURS
    right = correct(lights, colours)
    assert sum(right) >= len(right) - 1


def test_one_colour_is_nothing_to_tell_apart(make_set: Callable[..., Path]) -> None:
    file = make_set("one", train={"a": "0 0.5 0.5 0.2 0.5"}, names={0: "light_red"})
    with pytest.raises(DataError, match=r"no two colours of lights are labelled .*one/data\.yaml"):
        fit_colours([read_dataset(file)])


def test_the_real_lights_are_predicted(shared: Path) -> None:
    data = shared / "data" / "lights" / "data.yaml"
    right = correct(data, fit_colours([read_dataset(data)]))
    assert len(right) == 264
    assert sum(right) / len(right) > 0.92
