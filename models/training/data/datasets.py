"""Data set files in the ultralytics ``data.yaml`` convention, read strictly, and three keys more.

``path`` is a folder (absolute, or relative to the file), ``train``, ``val`` and ``test`` are
folders of images below it (looked through to the bottom), text files that list images, or lists of
both; ``names`` is class id → name, read as it is written. Each image ``…/images/….jpg`` has its
boxes in ``…/labels/….txt``.
``download:`` is never executed. Ours:

``labels:`` the tasks this set labels, in every image, completely. The others are masked there,
    not negative. Without it: the tasks that its names serve as a whole ("stop sign" alone does
    not label signs). As a map (``{sign: partial, light: complete}``) it may have tasks that are
    labelled in part: what is boxed is true, what is not boxed may be an object as well.
``classes:`` its names → our class names (``oneglance.models.tasks.CLASSES``), ``background`` or
    ``ignore`` (ignore regions), or the name of a ready-made mapping
    (``mappings.MAPPINGS``).
``annotations:`` the folder beside ``images`` that holds the label files, when not ``labels``: text
    files, or Pascal VOC's XML files. Or COCO's JSON files: a path from ``path``, a list of them, or
    a map of split to path; or the folder that holds them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from oneglance.models.tasks import ModelClass, Task, normalised, parse_tasks, task_of
from oneglance.models.training.data.coco_labels import read_coco
from oneglance.models.training.data.folders import (
    NO_ENTRY,
    annotations_of,
    files_below,
    folders_of,
    listed,
    refuse_among,
    root_of,
    same_name,
)
from oneglance.models.training.data.labels import (
    LabelledBox,
    Labels,
    Problem,
    differ,
    key_point_numbers,
    label_file,
    scan_labels,
)
from oneglance.models.training.data.mappings import PART_OF_A_TASK, meaning
from oneglance.models.training.data.text import YamlFile, meant_key
from oneglance.streams.errors import DataError, UsageError

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

SPLITS = ("train", "val", "test")

OUR_KEYS = ("annotations", "classes", "labels")
_ULTRALYTICS_KEYS = frozenset(
    {"path", "train", "val", "test", "minival", "names", "nc", "channels", "download"}
)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set file, read: where its images are and what its class ids mean.

    ``classes[class_id]`` is the class of ours that the set's class means; None for one that
    means none of them, or whose task the set does not claim to label: the latter are
    ``left_out``. ``partial_tasks``: of the labelled ones, those whose boxes are not all there:
    where there is none, nothing is known. ``regions``: classes that are no objects but regions,
    and the tasks ignored there. ``unmapped``: classes of which nobody says what they are.
    ``annotations``: the folder of its label files, ``coco_files``: COCO's label files by split,
    "" for all. ``root``: the folder that its paths start from. ``count`` is its ``nc:``;
    ``key_points``: how many numbers a label has after its box; ``lines`` says where its keys stand.
    """

    file: Path
    names: Mapping[int, str]
    classes: Mapping[int, ModelClass | None]
    labelled_tasks: frozenset[Task]
    folders: Mapping[str, tuple[Path, ...]]
    left_out: frozenset[int] = frozenset()
    partial_tasks: frozenset[Task] = frozenset()
    regions: Mapping[int, frozenset[Task]] = field(default_factory=dict)
    unmapped: frozenset[int] = frozenset()
    annotations: str = "labels"
    coco_files: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    root: Path = Path()
    count: int | None = None
    key_points: int = 0
    lines: Mapping[str, int] = field(default_factory=dict)

    def line(self, key: str) -> int | None:
        """The line of the file on which ``key:`` stands, counted from 1."""
        return self.lines.get(key)

    @property
    def tasks(self) -> dict[int, Task | None]:
        """The task each class id serves; None for one that serves none."""
        return {number: None if c is None else c.task for number, c in self.classes.items()}

    @property
    def background(self) -> tuple[str, ...]:
        """Its names that mean none of our classes: their boxes count as background."""
        return tuple(
            self.names[number]
            for number, cls in self.classes.items()
            if cls is None and number not in self.left_out and number not in self.regions
        )

    def images(self, split: str) -> list[Path]:
        """Every image of ``split`` (of ``SPLITS``), sorted by path, each once.

        Raises:
            DataError: the file names no such split, a folder is missing, or it has no image.
            UsageError: there is no split of that name.
        """
        if split not in SPLITS:
            raise UsageError(f"no split '{split}': a data set has {', '.join(SPLITS)}")
        if split not in self.folders:
            raise DataError(f"{self.file} has no '{split}:' entry")
        found: set[Path] = set()
        for entry in self.folders[split]:
            if entry.is_dir():
                files = files_below(entry)
                found.update(p for p in files if p.suffix.lower() in IMAGE_SUFFIXES)
            elif entry.is_file() and entry.suffix == ".txt":
                found.update(listed(entry))
            else:
                raise DataError(f"{self.file}: {split} folder {entry} does not exist")
        if not found:
            raise DataError(
                f"{self.file}: no image in {split} ({', '.join(map(str, self.folders[split]))})"
            )
        return sorted(found)

    def refuse_output(self, out: Path) -> None:
        """Refuse an output folder among its images; see ``folders.refuse_among``."""
        refuse_among(out, [at for folders in self.folders.values() for at in folders], self.file)

    def count_boxes(self, images: Iterable[Path]) -> dict[Task, int]:
        """How many boxes of each task it labels are on ``images``; broken lines are not counted."""
        counts = dict.fromkeys((task for task in Task if task in self.labelled_tasks), 0)
        for image in images:
            for box in self.read_labels(image).boxes:
                cls = self.class_of(box)
                if cls is not None:
                    counts[cls.task] += 1
        return counts

    def read_labels(self, image: Path) -> Labels:
        """What the set says of ``image``, and what is wrong with it; see ``scan_labels``.

        Where several files speak of it (text, VOC's XML, COCO's), they must say the same.

        Raises:
            DataError: a COCO file cannot be read.
        """
        said = list(self._said(image))
        if not said:  # a missing file is an image without boxes
            return self._scan(self.label_file(image), image)
        (first, labels), *others = said
        for file, other in others:
            if differ(labels, other):
                what = f"says something else of {image.name} than {first}: keep one of the two"
                return replace(
                    labels, problems=(*labels.problems, Problem(file, None, what, False))
                )
        return labels

    def has_labels(self, image: Path) -> bool:
        """Whether there is a label file that speaks of ``image``, be it that nothing is there."""
        file = self.label_file(image)
        return (
            file.exists()
            or file.is_symlink()
            or file.with_suffix(".xml").exists()
            or any(read_coco(coco).speaks_of(image) for coco in chain(*self.coco_files_of(image)))
        )

    def _said(self, image: Path) -> Iterator[tuple[Path, Labels]]:
        """What each file that speaks of ``image`` says."""
        file = self.label_file(image)
        if file.exists() or file.is_symlink():
            yield file, self._scan(file, image)
        if (xml := file.with_suffix(".xml")).exists():
            from oneglance.models.training.data.voc import scan_voc

            yield xml, scan_voc(xml, self.names, image)
        for files in self.coco_files_of(image):
            read = ((coco, read_coco(coco).labels(image, self.names)) for coco in files)
            found = [(coco, labels) for coco, labels in read if labels is not None]
            yield from found
            if found:  # other splits may have an image of that name, too
                return

    def _scan(self, file: Path, image: Path) -> Labels:
        return scan_labels(file, self.names, image, key_points=self.key_points)

    def coco_files_of(self, image: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
        """COCO files of the split that ``image`` is of, and those of others."""
        own = {
            split
            for split in self.coco_files
            if not split or any(image.is_relative_to(at) for at in self.folders.get(split, ()))
        }
        of_own = (self.coco_files[split] for split in self.coco_files if split in own)
        of_others = (self.coco_files[split] for split in self.coco_files if split not in own)
        return tuple(chain(*of_own)), tuple(chain(*of_others))

    def class_of(self, box: LabelledBox) -> ModelClass | None:
        """The class of ours that ``box`` shows; None where it shows none, or is a region."""
        return None if box.crowd else self.classes[box.class_id]

    def ignored_in(self, box: LabelledBox) -> frozenset[Task]:
        """The labelled tasks that are ignored inside ``box``: none unless a region."""
        cls = self.classes[box.class_id]
        if box.crowd and cls is not None:
            return frozenset({cls.task})
        return self.regions.get(box.class_id, frozenset()) & self.labelled_tasks

    def label_file(self, image: Path) -> Path:
        """The label file of ``image``; it need not exist (an image without boxes).

        Accents may be written as one letter in the one's name and as two in the other's.
        """
        file = label_file(image, self.annotations)
        return file if file.name.isascii() else same_name(file, (".txt", ".xml"))


def read_dataset(file: str | os.PathLike[str]) -> Dataset:
    """Read a data set file.

    Raises:
        DataError: the file is missing, is not YAML, lacks a key, misspells or misuses one of
            ours, names a path that cannot be looked at, or none of its names serves one of the
            four tasks.
    """
    source = _open(Path(file))
    try:
        return _dataset(source)
    except OSError as error:  # a name too long, a folder on the way that may not be entered
        raise DataError(
            f"{source.path}: a path in it cannot be looked at: {(error.strerror or '').lower()}"
        ) from None


def _dataset(source: YamlFile) -> Dataset:
    names = _names(source)
    meant = meaning(names, source.content.get("classes"), source.at(_saying(source)))
    classes = meant.classes
    if not any(classes.values()):
        raise DataError(
            f"{source.at('names')}: none of its classes ({', '.join(names.values())}) is one of "
            f"ours; name at least one of {', '.join(Task)}, or map them with 'classes:'"
        )
    tasks = _labelled(source, names, classes)
    objects = {n: c for n, c in classes.items() if n not in meant.regions}
    _no_task_ignored(source, names, objects, tasks)
    annotations, coco_files = annotations_of(source, SPLITS)
    count = source.content.get("nc")
    return Dataset(
        file=source.path,
        names=names,
        classes={n: c if c is not None and c.task in tasks else None for n, c in classes.items()},
        labelled_tasks=tasks,
        folders=folders_of(source, SPLITS),
        left_out=frozenset(n for n, c in classes.items() if c is not None and c.task not in tasks),
        partial_tasks=_partial(source),
        regions=meant.regions,
        unmapped=frozenset(meant.unmapped),
        annotations=annotations,
        coco_files=coco_files,
        root=root_of(source),
        count=int(count) if isinstance(count, str) and count.isdecimal() else None,
        key_points=key_point_numbers(source),
        lines=source.lines,
    )


def _open(path: Path) -> YamlFile:
    source = YamlFile(path)
    for key in source.content:
        meant = meant_key(key, OUR_KEYS, _ULTRALYTICS_KEYS)
        # Beside the right one, other tools' keys may be called as they like, but not as ours.
        if meant is not None and (meant in OUR_KEYS or meant not in source.content):
            raise DataError(f"{source.at(key)}: unknown key '{key}:'; did you mean '{meant}:'?")
    if "names" not in source.content:
        raise DataError(f"{path} is not a data set file: it has no 'names:'")
    return source


def _saying(source: YamlFile) -> str:
    """The key that says what names mean."""
    return "classes" if "classes" in source.content else "names"


def _names(source: YamlFile) -> dict[int, str]:
    value, where = source.content["names"], source.at("names")
    entries: list[tuple[object, object]] = []
    if isinstance(value, list):
        entries = list(enumerate(value))
    elif isinstance(value, dict):
        entries = list(value.items())
    names: dict[int, str] = {}
    for key, name in entries:
        number = str(key)
        if not (number.isascii() and number.isdigit() and isinstance(name, str)):
            names = {}
            break
        if int(number) in names:
            raise DataError(
                f"{where}: class {int(number)} has two names: '{names[int(number)]}' and '{name}'"
            )
        if not name.strip():
            raise DataError(f"{where}: class {number} has no name")
        names[int(number)] = name
    if not names:
        raise DataError(f"{where}: 'names:' must be a list of names or a map of number to name")
    return names


def _labelled(
    source: YamlFile, names: Mapping[int, str], classes: Mapping[int, ModelClass | None]
) -> frozenset[Task]:
    served = {cls.task for cls in classes.values() if cls is not None}
    given, where = source.content.get("labels"), source.at("labels")
    if given in NO_ENTRY:
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
    if isinstance(words, dict):
        words = list(words)
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


def _partial(source: YamlFile) -> frozenset[Task]:
    """The tasks that ``labels:`` says are labelled in part; its keys are known to be tasks."""
    given = source.content.get("labels")
    if not isinstance(given, dict):
        return frozenset()
    partial: set[Task] = set()
    for word, amount in given.items():
        if amount not in ("complete", "partial"):
            raise DataError(
                f"{source.at('labels')}: 'labels:' says {word}: {amount}; it is complete (every "
                "object has a box) or partial (some have none)"
            )
        if amount == "partial":
            partial.update(parse_tasks([str(word)]))
    return frozenset(partial)


def _no_task_ignored(
    source: YamlFile,
    names: Mapping[int, str],
    classes: Mapping[int, ModelClass | None],
    tasks: frozenset[Task],
) -> None:
    """Refuse a class that serves a labelled task by name and is mapped away: it would be
    negative."""
    for number, cls in classes.items():
        task = task_of(names[number])
        if cls is None and task in tasks:
            raise DataError(
                f"{source.at('classes')}: '{names[number]}' is a {task}, but maps to none of our "
                f"classes, so training would take it for background: map it to '{task}', or "
                f"leave {task} out of 'labels:'"
            )
