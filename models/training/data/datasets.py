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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from oneglance.models.tasks import ModelClass, Task, normalised, parse_tasks, task_of
from oneglance.models.training.data.labels import label_file, scan_labels
from oneglance.models.training.data.mappings import PART_OF_A_TASK, meaning
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
    means none of them, or whose task the set does not claim to label: the latter are
    ``left_out``. ``count`` is its ``nc:``, ``lines`` says where its keys stand.
    """

    file: Path
    names: Mapping[int, str]
    classes: Mapping[int, ModelClass | None]
    labelled_tasks: frozenset[Task]
    folders: Mapping[str, tuple[Path, ...]]
    left_out: frozenset[int] = frozenset()
    annotations: str = "labels"
    count: int | None = None
    lines: Mapping[str, int] = field(default_factory=dict)

    def line(self, key: str) -> int | None:
        """The line of the file on which ``key:`` stands, counted from 1."""
        return self.lines.get(key)

    @property
    def tasks(self) -> dict[int, Task | None]:
        """The task each class id serves; None for one that serves none."""
        return {number: None if c is None else c.task for number, c in self.classes.items()}

    @property
    def ignored(self) -> tuple[str, ...]:
        """Its names that mean none of our classes: their boxes count as background."""
        return tuple(
            self.names[number]
            for number, cls in self.classes.items()
            if cls is None and number not in self.left_out
        )

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

    def count_boxes(self, images: Iterable[Path]) -> dict[Task, int]:
        """How many boxes of each task it labels are on ``images``; broken lines are not counted."""
        counts = dict.fromkeys((task for task in Task if task in self.labelled_tasks), 0)
        for image in images:
            for box in scan_labels(self.label_file(image), self.names).boxes:
                task = self.tasks[box.class_id]
                if task is not None:
                    counts[task] += 1
        return counts

    def label_file(self, image: Path) -> Path:
        """The label file of ``image``; it need not exist (an image without boxes)."""
        return label_file(image, self.annotations)


def read_dataset(file: str | os.PathLike[str]) -> Dataset:
    """Read a data set file.

    Raises:
        DataError: the file is missing, is not YAML, lacks a key, misspells or misuses one of
            ours, or none of its names serves one of the four tasks.
    """
    source = _File(Path(file))
    names = _names(source)
    classes = meaning(names, source.content.get("classes"), source.at("classes"))
    if not any(classes.values()):
        raise DataError(
            f"{source.at('names')}: none of its classes ({', '.join(names.values())}) is one of "
            f"ours; name at least one of {', '.join(Task)}, or map them with 'classes:'"
        )
    tasks = _labelled(source, names, classes)
    _no_task_ignored(source, names, classes, tasks)
    annotations = source.content.get("annotations", "labels")
    if not isinstance(annotations, str) or Path(annotations).name != annotations:
        raise DataError(
            f"{source.at('annotations')}: 'annotations:' is the name of one folder, like labels"
        )
    count = source.content.get("nc")
    return Dataset(
        file=source.path,
        names=names,
        classes={n: c if c is not None and c.task in tasks else None for n, c in classes.items()},
        labelled_tasks=tasks,
        folders=_folders(source),
        left_out=frozenset(n for n, c in classes.items() if c is not None and c.task not in tasks),
        annotations=annotations,
        count=count if isinstance(count, int) else None,
        lines=source.lines,
    )


class _File:
    """The YAML file: what it holds, and on which line each key stands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise DataError(f"no data set file {path}")
        try:
            text = path.read_text(encoding="utf-8")
            self.content: dict[str, Any] = yaml.safe_load(text)
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            mark = getattr(error, "problem_mark", None)
            where = f"{path}:{mark.line + 1}" if mark else f"{path}"
            what = getattr(error, "problem", None) or str(error).splitlines()[0]
            raise DataError(f"{where} is not YAML: {what}") from None
        if not isinstance(self.content, dict) or "names" not in self.content:
            raise DataError(f"{path} is not a data set file: it has no 'names:'")
        assert isinstance(root, yaml.MappingNode)
        self.lines = {str(key.value): key.start_mark.line + 1 for key, _ in root.value}
        for key in map(str, self.content):
            near = difflib.get_close_matches(key, OUR_KEYS, n=1, cutoff=0.75)
            if near and key not in OUR_KEYS and key not in _ULTRALYTICS_KEYS:
                raise DataError(f"{self.at(key)}: unknown key '{key}:'; did you mean '{near[0]}:'?")

    def at(self, key: str) -> str:
        """``file:line`` of a key, or the file where it has none such."""
        return f"{self.path}:{self.lines[key]}" if key in self.lines else str(self.path)


def _names(source: _File) -> dict[int, str]:
    value = source.content["names"]
    try:
        entries = dict(enumerate(value)) if isinstance(value, list) else dict(value)
        names = {int(class_id): str(name) for class_id, name in entries.items()}
    except (TypeError, ValueError):
        names = {}
    if not names:
        raise DataError(
            f"{source.at('names')}: 'names:' must be a list of names or a map of number to name"
        )
    return names


def _labelled(
    source: _File, names: Mapping[int, str], classes: Mapping[int, ModelClass | None]
) -> frozenset[Task]:
    served = {cls.task for cls in classes.values() if cls is not None}
    given, where = source.content.get("labels"), source.at("labels")
    if given is None:
        whole = {
            cls.task
            for number, cls in classes.items()
            if cls is not None and normalised(names[number]) not in PART_OF_A_TASK
        }
        if not whole:
            raise DataError(
                f"{source.at('names')}: {', '.join(names.values())} are only a part of a task; "
                f"if every {', '.join(sorted(served))} in it is labelled, say so with 'labels:'"
            )
        return frozenset(whole)
    words = [given] if isinstance(given, str) else given
    if not isinstance(words, list):
        raise DataError(f"{where}: 'labels:' must be a list of tasks ({', '.join(Task)})")
    try:
        tasks = frozenset(parse_tasks(map(str, words)))
    except UsageError as error:
        raise DataError(f"{where}: 'labels:' has an {error}") from None
    if tasks - served:
        raise DataError(
            f"{where}: 'labels:' says {', '.join(sorted(tasks - served))}, but none of its "
            "classes serves it: leave it out, or, if no image shows one, add it to 'names:'"
        )
    return tasks


def _no_task_ignored(
    source: _File,
    names: Mapping[int, str],
    classes: Mapping[int, ModelClass | None],
    tasks: frozenset[Task],
) -> None:
    """Refuse a class that serves a labelled task by name and is mapped away: it would be absent."""
    for number, cls in classes.items():
        task = task_of(names[number])
        if cls is None and task in tasks:
            raise DataError(
                f"{source.at('classes')}: '{names[number]}' is a {task}, but maps to none of our "
                f"classes, so training would take it for background: map it to '{task}', or "
                f"leave {task} out of 'labels:'"
            )


def _folders(source: _File) -> dict[str, tuple[Path, ...]]:
    root = (source.path.parent / str(source.content.get("path") or ".")).resolve()
    folders: dict[str, tuple[Path, ...]] = {}
    for split in ("train", "val"):
        value = source.content.get(split)
        if value is not None:
            entries = value if isinstance(value, list) else [value]
            folders[split] = tuple(_entry(root, str(entry)) for entry in entries)
    if not folders:
        raise DataError(f"{source.path} has neither 'train:' nor 'val:'")
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
