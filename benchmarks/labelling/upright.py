"""A set without the training images that its augmentation turned upside down.

``lights`` came with copies of its images, many of them turned by half a circle: no street looks so,
and a light that is red below is another thing. Which are turned is seen by the lights themselves:
in a standing head red glows in the upper half, green in the lower. Looked at: 24 of 545 found to be
turned, all were; of 584 found to stand, 24, all did. Where no light shows it (yellow, small, dark:
269), the image stays.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml

from oneglance.models.training.data.datasets import read_dataset
from oneglance.models.training.data.text import YamlFile
from oneglance.models.training.evaluation.coco import Truth, truths
from oneglance.streams.errors import DataError
from oneglance.streams.outputs import write_file

SMALLEST_PX = (3, 8)
"""Width and height below which the glow of a light has no place in it that can be seen."""

SURE = 0.05
"""How far from the middle of the head, in its heights, all glows together must lie."""


def upright_only(file: Path, folder: Path) -> Path:
    """Write a data set file into ``folder``: that of ``file`` without what is upside down.

    Returns the new file; ``folder/NAME-train.txt`` lists the training images left.

    Raises:
        DataError: the set cannot be read, or nothing would be left.
    """
    dataset = read_dataset(file)
    kept = [
        truth.path
        for truth in truths(dataset, "train", dataset.images("train"))
        if not upside_down(truth)
    ]
    if not kept:
        raise DataError(f"{file}: all training images are upside down")
    name = file.parent.name if file.stem == "data" else file.stem
    folder.mkdir(parents=True, exist_ok=True)
    images = folder / f"{name}-train.txt"
    write_file(images, "".join(f"{image.resolve()}\n" for image in kept))
    content = dict(YamlFile(file).content)
    content["path"] = str(dataset.root)
    content["train"] = str(images.resolve())
    out = folder / f"{name}.yaml"
    write_file(out, yaml.safe_dump(content, sort_keys=False))
    return out


def upside_down(truth: Truth) -> bool:
    """Whether the lights of an image glow where they would if it were turned by half a circle."""
    turned = 0.0
    for cls, (left, top, width, height) in truth.boxes:
        head = truth.image[
            max(0, int(top)) : int(top + height) + 1, max(0, int(left)) : int(left + width) + 1
        ]
        if head.shape[1] < SMALLEST_PX[0] or head.shape[0] < SMALLEST_PX[1]:
            continue
        if cls.name == "light_red":
            turned += _glow(head, red=True) - 0.5
        elif cls.name == "light_green":
            turned += 0.5 - _glow(head, red=False)
    return turned > SURE


def _glow(head: npt.NDArray[np.uint8], *, red: bool) -> float:
    """Where in the head, 0 at its top and 1 at its bottom, the colour glows; 0.5 for nowhere."""
    blue, green, reds = (head[..., channel].astype(np.float64) for channel in range(3))
    glow = (reds - np.maximum(blue, green) if red else green - reds).clip(min=0) ** 2
    if not glow.any():
        return 0.5
    places = (np.arange(len(head)) + 0.5) / len(head)
    return float((places[:, None] * glow).sum() / glow.sum())
