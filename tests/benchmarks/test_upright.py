from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("faster_coco_eval", reason="needs the 'eval' extra")

from benchmarks.labelling.upright import upright_only
from oneglance.models.training.data.datasets import read_dataset
from oneglance.streams.errors import DataError

RED, GREEN, YELLOW = (0, 0, 255), (0, 220, 40), (0, 220, 255)


def head(colour: tuple[int, int, int], place: float, *, size: int = 40) -> np.ndarray:
    """A dark head of three lamps before a grey sky, one of them lit at ``place`` of its height."""
    image = np.full((100, 100, 3), 190, np.uint8)
    image[20 : 20 + size, 40 : 40 + size // 3] = 30
    middle = (40 + size // 6, 20 + round(place * size))
    cv2.circle(image, middle, max(1, size // 9), colour, -1)
    return image


def write_set(folder: Path, images: dict[str, tuple[int, np.ndarray, int]]) -> Path:
    """``images``: by name the class, the image and the height of its head in pixels."""
    (folder / "images" / "train").mkdir(parents=True)
    (folder / "labels" / "train").mkdir(parents=True)
    for name, (number, image, size) in images.items():
        cv2.imwrite(str(folder / "images" / "train" / f"{name}.png"), image)
        x, y = 0.40 + size / 600, 0.20 + size / 200
        text = f"{number} {x} {y} {size / 300} {size / 100}\n"
        (folder / "labels" / "train" / f"{name}.txt").write_text(text)
    file = folder / "data.yaml"
    file.write_text("path: .\ntrain: images/train\nnames: [green, red, yellow]\n")
    return file


def test_images_whose_lights_glow_at_the_wrong_end_are_left_out(tmp_path: Path) -> None:
    file = write_set(
        tmp_path / "lights",
        {
            "red-above": (1, head(RED, 0.17), 40),
            "red-below": (1, head(RED, 0.83), 40),
            "green-above": (0, head(GREEN, 0.17), 40),
            "green-below": (0, head(GREEN, 0.83), 40),
            "yellow": (2, head(YELLOW, 0.5), 40),
            "small-red-below": (1, head(RED, 0.83, size=6), 6),
        },
    )
    new = read_dataset(upright_only(file, tmp_path / "new"))
    kept = {image.stem for image in new.images("train")}
    assert kept == {"red-above", "green-below", "yellow", "small-red-below"}
    old = read_dataset(file)
    assert new.classes == old.classes
    images = [image for image in old.images("train") if image.stem in kept]
    assert new.count_boxes(new.images("train")) == old.count_boxes(images)


def test_a_set_of_which_nothing_would_be_left_is_refused(tmp_path: Path) -> None:
    file = write_set(tmp_path / "lights", {"a": (1, head(RED, 0.83), 40)})
    with pytest.raises(DataError, match="all training images are upside down"):
        upright_only(file, tmp_path / "new")
