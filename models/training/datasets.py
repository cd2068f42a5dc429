"""Data set files in the ultralytics ``data.yaml`` convention, read strictly, and three keys more.

``path`` is a folder (absolute, or relative to the file), ``train`` and ``val`` are folders of
images below it (looked through to the bottom), text files that list images, or lists of both;
``names`` is class id → name. Each image ``…/images/….jpg`` has its boxes in ``…/labels/….txt``.
``download:`` is never executed. Ours:

``labels:`` the tasks this set labels, in every image, completely. The others are unknown there,
    not absent. Without it: the tasks that its names serve as a whole ("stop sign" alone does
    not label signs).
``classes:`` its names → our class names (``oneglance.models.tasks.CLASSES``) or null, or the
    name of a ready-made mapping (``mappings.MAPPINGS``).
``annotations:`` the folder beside ``images`` that holds the label files, when not ``labels``.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from oneglance.models.tasks import ModelClass, Task, normalised, parse_tasks, task_of
from oneglance.models.training.labels import label_file
from oneglance.models.training.mappings import PART_OF_A_TASK, meaning
from oneglance.streams.errors import DataError, UsageError

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})

OUR_KEYS = ("annotations", "classes", "labels")
_ULTRALYTICS_KEYS = frozenset(
    {"path", "train", "val", "test", "minival", "names", "nc", "channels", "download"}
)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set file, read: where its images are and what its class ids mean.

    ``classes[class_id]`` is the class of ours that the set's class means; None for one that
    means none of them, or whose task the set does not claim to label.
    """

    file: Path
    names: Mapping[int, str]
    classes: Mapping[int, ModelClass | None]
    labelled_tasks: frozenset[Task]
    folders: Mapping[str, tuple[Path, ...]]
    annotations: str = "labels"

    @property
    def tasks(self) -> dict[int, Task | None]:
        """The task each class id serves; None for one that serves none."""
        return {number: None if c is None else c.task for number, c in self.classes.items()}

    @property
    def ignored(self) -> tuple[str, ...]:
        """Its names whose boxes count as background of the labelled tasks."""
        return tuple(self.names[number] for number, cls in self.classes.items() if cls is None)

    def images(self, split: str) -> list[Path]:
        """Every image of ``split`` ("train" or "val"), sorted by path, each once.

        Raises:
            DataError: the file names no such split, a folder is missing, or it has no image.
        """
        if split not in self.folders:
            raise DataError(f"{self.file} has no '{split}:' entry")
        found: set[Path] = set()
        for entry in self.folders[split]:
            if entry.is_dir():
                found.update(p for p in entry.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
            elif entry.is_file() and entry.suffix == ".txt":
                found.update(_listed(entry))
            else:
                raise DataError(f"{self.file}: {split} folder {entry} does not exist")
        if not found:
            raise DataError(
                f"{self.file}: no image in {split} ({', '.join(map(str, self.folders[split]))})"
            )
        return sorted(found)

    def label_file(self, image: Path) -> Path:
        """The label file of ``image``; it need not exist (an image without boxes)."""
        return label_file(image, self.annotations)


def read_dataset(file: str | os.PathLike[str]) -> Dataset:
    """Read a data set file.

    Raises:
        DataError: the file is missing, is not YAML, lacks a key, misspells or misuses one of
            ours, or none of its names serves one of the four tasks.
    """
    path = Path(file)
    content = _content(path)
    names = _names(content["names"], path)
    classes = meaning(names, content.get("classes"), str(path))
    if not any(classes.values()):
        raise DataError(
            f"{path}: none of its classes ({', '.join(names.values())}) is one of ours; "
            f"name at least one of {', '.join(Task)}, or map them with 'classes:'"
        )
    tasks = _labelled(content, names, classes, path)
    _no_task_ignored(names, classes, tasks, path)
    annotations = content.get("annotations", "labels")
    if not isinstance(annotations, str) or Path(annotations).name != annotations:
        raise DataError(f"{path}: 'annotations:' is the name of one folder, like labels")
    used = {n: c if c is not None and c.task in tasks else None for n, c in classes.items()}
    return Dataset(path, names, used, tasks, _folders(content, path), annotations)


def _content(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(f"no data set file {path}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else f"{path}"
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise DataError(f"{where} is not YAML: {what}") from None
    if not isinstance(content, dict) or "names" not in content:
        raise DataError(f"{path} is not a data set file: it has no 'names:'")
    for key in map(str, content):
        near = difflib.get_close_matches(key, OUR_KEYS, n=1, cutoff=0.75)
        if near and key not in OUR_KEYS and key not in _ULTRALYTICS_KEYS:
            raise DataError(f"{path}: unknown key '{key}:'; did you mean '{near[0]}:'?")
    return content


def _names(value: Any, path: Path) -> dict[int, str]:
    try:
        entries = dict(enumerate(value)) if isinstance(value, list) else dict(value)
        names = {int(class_id): str(name) for class_id, name in entries.items()}
    except (TypeError, ValueError):
        names = {}
    if not names:
        raise DataError(f"{path}: 'names:' must be a list of names or a map of number to name")
    return names


def _labelled(
    content: Mapping[str, Any],
    names: Mapping[int, str],
    classes: Mapping[int, ModelClass | None],
    path: Path,
) -> frozenset[Task]:
    served = {cls.task for cls in classes.values() if cls is not None}
    given = content.get("labels")
    if given is None:
        whole = {
            cls.task
            for number, cls in classes.items()
            if cls is not None and normalised(names[number]) not in PART_OF_A_TASK
        }
        if not whole:
            raise DataError(
                f"{path}: {', '.join(names.values())} are only a part of a task; "
                f"if every {', '.join(sorted(served))} in it is labelled, say so with 'labels:'"
            )
        return frozenset(whole)
    words = [given] if isinstance(given, str) else given
    if not isinstance(words, list):
        raise DataError(f"{path}: 'labels:' must be a list of tasks ({', '.join(Task)})")
    try:
        tasks = frozenset(parse_tasks(map(str, words)))
    except UsageError as error:
        raise DataError(f"{path}: 'labels:' has an {error}") from None
    if tasks - served:
        raise DataError(
            f"{path}: 'labels:' says {', '.join(sorted(tasks - served))}, but none of its "
            "classes serves it"
        )
    return tasks


def _no_task_ignored(
    names: Mapping[int, str],
    classes: Mapping[int, ModelClass | None],
    tasks: frozenset[Task],
    path: Path,
) -> None:
    """Refuse a class that serves a labelled task by name and is mapped away: it would be absent."""
    for number, cls in classes.items():
        task = task_of(names[number])
        if cls is None and task in tasks:
            raise DataError(
                f"{path}: '{names[number]}' is a {task}, but maps to none of our classes, so "
                f"training would take it for background: map it to '{task}', or leave "
                f"{task} out of 'labels:'"
            )


def _folders(content: Mapping[str, Any], path: Path) -> dict[str, tuple[Path, ...]]:
    root = (path.parent / str(content.get("path") or ".")).resolve()
    folders: dict[str, tuple[Path, ...]] = {}
    for split in ("train", "val"):
        value = content.get(split)
        if value is not None:
            entries = value if isinstance(value, list) else [value]
            folders[split] = tuple(_entry(root, str(entry)) for entry in entries)
    if not folders:
        raise DataError(f"{path} has neither 'train:' nor 'val:'")
    return folders


def _entry(root: Path, entry: str) -> Path:
    """A split's folder; Roboflow writes ``../train/images`` for what lies beside the file."""
    found = root / entry
    if not found.exists() and entry.startswith("../"):
        found = root / entry.removeprefix("../")
    return found


def _listed(file: Path) -> list[Path]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return [file.parent / line.strip() for line in lines if line.strip()]
