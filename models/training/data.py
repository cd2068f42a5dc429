"""Data set files in the ultralytics ``data.yaml`` convention, read strictly.

A data set is a YAML file with ``path`` (a folder relative to the file), ``train`` and ``val``
(folders of images below it, or a list of them) and ``names`` (class id → name). Each image
``…/images/….jpg`` has its boxes in ``…/labels/….txt``, one ``class x y w h`` a line,
normalised to 0..1. ``download:`` is never executed.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from oneglance.models.tasks import ModelClass, Task, task_of
from oneglance.streams.errors import DataError

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """One box of a label file: centre and size, all in 0..1 of the image."""

    class_id: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set file, read: where its images are and what its class ids mean.

    ``tasks[class_id]`` is None for a class that serves none of the four tasks.
    """

    file: Path
    names: Mapping[int, str]
    tasks: Mapping[int, Task | None]
    folders: Mapping[str, tuple[Path, ...]]

    @property
    def labelled_tasks(self) -> frozenset[Task]:
        """The tasks that some class of this set serves; the others are unknown, not absent."""
        return frozenset(task for task in self.tasks.values() if task is not None)

    def images(self, split: str) -> list[Path]:
        """Every image of ``split`` ("train" or "val"), sorted by path.

        Raises:
            DataError: the file names no such split, a folder is missing, or it has no image.
        """
        if split not in self.folders:
            raise DataError(f"{self.file} has no '{split}:' entry")
        found: list[Path] = []
        for folder in self.folders[split]:
            if not folder.is_dir():
                raise DataError(f"{self.file}: {split} folder {folder} does not exist")
            found += (p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        if not found:
            raise DataError(
                f"{self.file}: no image in {split} ({', '.join(map(str, self.folders[split]))})"
            )
        return sorted(found)


def read_dataset(file: str | os.PathLike[str]) -> Dataset:
    """Read a data set file.

    Raises:
        DataError: the file is missing, is not YAML, lacks a key, or none of its names serves
            one of the four tasks.
    """
    path = Path(file)
    if not path.is_file():
        raise DataError(f"no data set file {path}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(content, dict) or "names" not in content:
        raise DataError(f"{path} is not a data set file: it has no 'names:'")
    names = _names(content["names"], path)
    tasks = {class_id: task_of(name) for class_id, name in names.items()}
    if not any(tasks.values()):
        raise DataError(
            f"{path}: none of its classes ({', '.join(names.values())}) is one of ours; "
            f"name at least one of {', '.join(Task)}"
        )
    return Dataset(path, names, tasks, _folders(content, path))


def _names(value: Any, path: Path) -> dict[int, str]:
    try:
        entries = dict(enumerate(value)) if isinstance(value, list) else dict(value)
        names = {int(class_id): str(name) for class_id, name in entries.items()}
    except (TypeError, ValueError):
        names = {}
    if not names:
        raise DataError(f"{path}: 'names:' must be a list of names or a map of number to name")
    return names


def _folders(content: Mapping[str, Any], path: Path) -> dict[str, tuple[Path, ...]]:
    root = (path.parent / str(content.get("path", "."))).resolve()
    folders: dict[str, tuple[Path, ...]] = {}
    for split in ("train", "val"):
        value = content.get(split)
        if value is not None:
            entries = value if isinstance(value, list) else [value]
            folders[split] = tuple(root / str(entry) for entry in entries)
    if not folders:
        raise DataError(f"{path} has neither 'train:' nor 'val:'")
    return folders


def label_file(image: Path) -> Path:
    """The label file that belongs to ``image``: the last ``images`` in its path is ``labels``.

    >>> label_file(Path("set/images/train/a.jpg")).as_posix()
    'set/labels/train/a.txt'
    """
    parts = list(image.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def read_labels(file: Path, names: Mapping[int, str]) -> list[LabelledBox]:
    """The boxes of one label file; a missing file is an image without boxes.

    Raises:
        DataError: a line is not ``class x y w h``, names a class the set does not have, or
            holds a box outside 0..1 or without area. The message has the file and the line.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except UnicodeDecodeError:
        raise DataError(f"{file} is not text") from None
    return [
        _box(line.split(), f"{file}:{number}", names)
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip()
    ]


def _box(fields: Sequence[str], where: str, names: Mapping[int, str]) -> LabelledBox:
    try:
        class_value, x, y, width, height = (float(field) for field in fields)
    except ValueError:
        raise DataError(f"{where}: expected 'class x y w h', got '{' '.join(fields)}'") from None
    if not all(map(math.isfinite, (class_value, x, y, width, height))):
        raise DataError(f"{where}: a number is not finite")
    class_id = int(class_value)
    if class_id != class_value or class_id not in names:
        raise DataError(f"{where}: class {fields[0]} is not one of {sorted(names)}")
    slack = 1e-3  # rounding of well-meant labels, not an error
    inside = (
        min(x - width / 2, y - height / 2) >= -slack
        and max(x + width / 2, y + height / 2) <= 1 + slack
    )
    if not inside:
        raise DataError(f"{where}: the box leaves the image (0..1)")
    if width <= 0 or height <= 0:
        raise DataError(f"{where}: the box has no area")
    return LabelledBox(class_id, x, y, width, height)


def stage(datasets: Sequence[Dataset], classes: Sequence[ModelClass], folder: Path) -> Path:
    """Lay ``datasets`` out as one ultralytics data set in ``folder``; returns its data.yaml.

    Images are linked, labels rewritten to the ids of ``classes``. A copy, because ultralytics
    writes cache files beside the labels and reads one numbering only, and because the sources
    may not be writable. An earlier staging in ``folder`` is replaced.

    Raises:
        DataError: a set leaves a task of ``classes`` unlabelled (training would take unknown
            for absent), or a label is broken.
    """
    wanted = {cls.task for cls in classes}
    for dataset in datasets:
        missing = wanted - dataset.labelled_tasks
        if missing:
            raise DataError(
                f"{dataset.file} does not label {', '.join(sorted(missing))}: "
                "training on it would teach the network that there are none"
            )
    shutil.rmtree(folder, ignore_errors=True)
    splits = [s for s in ("train", "val") if any(s in d.folders for d in datasets)]
    for split in splits:
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        for name, image, lines in _rewritten(datasets, classes, split):
            (folder / "images" / split / f"{name}{image.suffix}").symlink_to(image.resolve())
            (folder / "labels" / split / f"{name}.txt").write_text(lines, encoding="utf-8")
    val = "val" if "val" in splits else "train"
    content = {
        "path": str(folder.resolve()),
        "train": "images/train",
        "val": f"images/{val}",
        "names": {i: cls.name for i, cls in enumerate(classes)},
    }
    file = folder / "data.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return file


def _rewritten(
    datasets: Sequence[Dataset], classes: Sequence[ModelClass], split: str
) -> Iterator[tuple[str, Path, str]]:
    by_task = {cls.task: i for i, cls in reversed(list(enumerate(classes)))}
    by_name = {cls.name: i for i, cls in enumerate(classes)}
    for number, dataset in enumerate(d for d in datasets if split in d.folders):
        ids = {
            class_id: by_name.get(dataset.names[class_id], by_task.get(task))
            for class_id, task in dataset.tasks.items()
            if task is not None
        }
        for image in dataset.images(split):
            boxes = read_labels(label_file(image), dataset.names)
            lines = "".join(
                f"{ids[b.class_id]} {b.x:.6f} {b.y:.6f} {b.width:.6f} {b.height:.6f}\n"
                for b in boxes
                if ids.get(b.class_id) is not None
            )
            yield f"{number}_{image.stem}", image, lines
