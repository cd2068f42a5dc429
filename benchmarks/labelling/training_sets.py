"""Sets whose training images carry other labels than those they came with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from benchmarks.labelling.linked_images import LAST, link_split
from oneglance.models.training.data.datasets import Dataset
from oneglance.models.training.data.fingerprint import fingerprint
from oneglance.models.training.data.text import YamlFile
from oneglance.streams.errors import DataError
from oneglance.streams.output_folder import OutputFolder
from oneglance.streams.outputs import replace_file

_SOURCE = "source.txt"
"""The fingerprint of the set that it was made of."""


def made_already(folder: Path, dataset: Dataset) -> Path | None:
    """The data set file of a set that was written into ``folder`` before.

    Raises:
        DataError: that was made of other images or labels than ``dataset`` has.
        SinkError: ``folder`` holds what was not written by this, or what is read.
    """
    place = OutputFolder(folder, "labelling")
    place.check([dataset.file])
    file, source = folder / LAST, folder / _SOURCE
    if not (place.marked and file.exists()):
        return None
    if not source.is_file() or source.read_text() != fingerprint(dataset):
        raise DataError(
            f"{folder} was made of other images or labels than those of {dataset.file}: remove "
            "it, or give another output folder"
        )
    return file


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
    place.claim_anew(LAST, f"{folder} holds a set already: give another folder")
    with place.making() as note:
        link_split(folder, "train", lines.items(), note)
        note(_SOURCE).write_text(fingerprint(dataset))
        content = dict(YamlFile(dataset.file).content)
        content |= {"path": ".", "train": "images/train", **changed}
        if "val" in dataset.folders:
            content["val"] = [str(each.resolve()) for each in dataset.folders["val"]]
        replace_file(note(LAST), yaml.safe_dump(content, sort_keys=False))  # last
    return folder / LAST
