"""Sets whose training images carry other labels than those they came with."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from oneglance.models.training.data.datasets import Dataset
from oneglance.models.training.data.text import YamlFile
from oneglance.streams.output_folder import OutputFolder
from oneglance.streams.outputs import replace_file

_LAST = "data.yaml"
"""What is written last."""

Sides = Sequence[float]
"""Left, top, width and height in pixels."""


def made_already(folder: Path, dataset: Dataset) -> Path | None:
    """The data set file of a set that was written into ``folder`` before.

    Raises:
        SinkError: ``folder`` holds what was not written by this, or what is read.
    """
    place = OutputFolder(folder, "labelling")
    place.check([dataset.file])
    file = folder / _LAST
    return file if place.marked and file.exists() else None


def write_training_set(
    folder: Path,
    dataset: Dataset,
    lines: Mapping[Path, Sequence[str]],
    changed: Mapping[str, Any] = MappingProxyType({}),
) -> Path:
    """Write a set that is ``dataset`` with ``lines`` as the labels of its training images.

    Images are linked; val images stay where they are. ``changed``: other entries of its file.
    Returns the new data set file.

    Raises:
        SinkError: ``folder`` holds what was not written by this, or cannot be written.
    """
    place = OutputFolder(folder, "labelling")
    place.claim_anew(_LAST, f"{folder} holds a set already: give another folder")
    images = folder / "images" / "train"
    with place.making() as note:
        for each in (images, folder / "labels" / "train"):
            each.mkdir(parents=True)
        for image, labels in lines.items():
            note(f"images/train/{image.name}").symlink_to(os.path.relpath(image.resolve(), images))
            note(f"labels/train/{image.stem}.txt").write_text("".join(f"{s}\n" for s in labels))
        content = dict(YamlFile(dataset.file).content)
        content |= {"path": ".", "train": "images/train", **changed}
        if "val" in dataset.folders:
            content["val"] = [str(each.resolve()) for each in dataset.folders["val"]]
        replace_file(note(_LAST), yaml.safe_dump(content, sort_keys=False))  # last
    return folder / _LAST


def label_line(class_id: int, sides: Sides, size: tuple[int, int]) -> str:
    """A line of a label file: centre and size in shares of an image of ``size`` (width, height)."""
    left, top, width, height = sides
    centre = (left + width / 2) / size[0], (top + height / 2) / size[1]
    shares = (*centre, width / size[0], height / size[1])
    return " ".join([str(class_id), *(f"{each:.6f}" for each in shares)])
