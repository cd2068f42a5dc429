"""Several data sets laid out as one for ultralytics, and what every image labels.

No road data set labels everything, so a label file alone does not say what is not there.
Beside the images lies ``label_mask.json``: for each image the names of the model's classes that its
source labels. Only these may contribute to the loss of the class channels; see ``_labels``.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from oneglance.models.tasks import ModelClass, Task
from oneglance.models.training.data.checks import (
    check,
    check_images,
    is_jpeg_without_end,
    what_is_assumed,
)
from oneglance.models.training.data.datasets import Dataset
from oneglance.models.training.data.finding import shared_labels, without_labels
from oneglance.models.training.data.folders import identity
from oneglance.models.training.data.labels import LabelledBox, Problem, refuse
from oneglance.models.training.data.subsets import WHOLE, Subset, Thinned
from oneglance.streams.errors import DataError
from oneglance.streams.output_folder import OutputFolder
from oneglance.streams.outputs import odd_characters, output_error, real_path

LABEL_MASK = "label_mask.json"
PARTIAL = "partial.json"

MAX_STEM_BYTES = 180
"""So much of an image's own name is kept."""

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Merged:
    """One image on its way: its boxes by our classes, gathered from every set that holds it."""

    image: Path
    stem: str
    copies: int
    boxes: list[tuple[ModelClass, LabelledBox]]
    tasks: dict[Task, frozenset[ModelClass]]
    regions: list[tuple[Task, LabelledBox]] = field(default_factory=list)
    partial: set[Task] = field(default_factory=set)


def merge(
    datasets: Sequence[Dataset],
    classes: Sequence[ModelClass],
    folder: Path,
    *,
    oversample: Sequence[int] | None = None,
    strict: bool = False,
    subset: Subset = WHOLE,
) -> Path:
    """Lay ``datasets`` out as one ultralytics data set in ``folder``; returns its data.yaml.

    Images are linked, labels rewritten to the ids of ``classes``. A copy, because ultralytics
    writes cache files beside the labels and reads one numbering only, and because the sources
    may not be writable. An earlier merge in ``folder`` is replaced, and nothing else.

    A box goes to its own class; without one, to the parent class of its task. A region goes to a
    class of its task after all those (``ignore_car``), which is none of the model's.
    ``folder/label_mask.json`` says what each image labels (``labelled_classes`` reads it),
    ``folder/partial.json`` which tasks it labels in part (``partial_tasks`` reads it).
    The same image in two sets (signs labelled in one, people in the other) is merged into one, with
    what both label.

    ``oversample``: how often each set's training images are repeated, under different names, so
    that a small set is seen more often; once by default. ``subset``: the training images taken,
    and whether they lose boxes.

    Raises:
        DataError: a label line cannot be understood (all are named), two sets label one task of
            one image, a task of ``classes`` is labelled in no training image, none has a box, a
            set labels a task
            in part and has no box of it; with ``strict``,
            anything that ``check`` finds. What is mended instead is logged as a warning.
        SinkError: ``folder`` holds something that was not merged by us, or cannot be written.
    """
    counts = _counts(datasets, oversample)
    if strict:
        refuse([problem for dataset in datasets for problem in check(dataset)])
    problems: dict[Problem, None] = {}
    splits = {
        "train": _gather(datasets, counts, "train", subset=subset, problems=problems),
        "val": _gather(datasets, [1] * len(datasets), "val", subset=WHOLE, problems=problems),
    }
    refuse([problem for problem in problems if not problem.usable])
    for problem in problems:
        _logger.warning("%s", problem)
    if not splits["train"]:
        raise DataError(f"no training images: no 'train:' in {_files(datasets)}")
    seen = {task for merged in splits["train"] for task in merged.tasks}
    tasks = tasks_of(classes)
    for task in tasks:
        if task not in seen:
            raise DataError(f"no training image for {task}: none of {_files(datasets)} labels it")
    if not any(merged.boxes for merged in splits["train"]):
        raise DataError(
            f"not one of {len(splits['train'])} training images of {_files(datasets)} has a box: "
            "their label files are empty, or hold other classes"
        )
    held_out = _held_out(splits["train"], splits["val"])
    place = OutputFolder(folder, "train")
    place.clear()
    place.claim()
    try:
        return _lay_out(place, classes, splits["train"], held_out)
    except OSError as error:
        raise output_error(folder, error) from None


def _lay_out(
    place: OutputFolder,
    classes: Sequence[ModelClass],
    train: Sequence[_Merged],
    held_out: Sequence[_Merged],
) -> Path:
    mask: dict[str, list[str]] = {}
    with place.making() as made:
        for split, images in (("train", train), ("val", held_out)):
            made(f"labels/{split}.cache")  # ultralytics' own
            mask |= _write(images, classes, (split, made))
        made(LABEL_MASK).write_text(json.dumps(mask), encoding="utf-8")
        made(PARTIAL).write_text(json.dumps(_partial(train)), encoding="utf-8")
        file = made("data.yaml")
    ignored = map("ignore_{}".format, tasks_of(classes))
    content = {
        "path": str(place.path.resolve()),
        "train": "images/train",
        "val": f"images/{'val' if held_out else 'train'}",
        "names": dict(enumerate([*(cls.name for cls in classes), *ignored])),
    }
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return file


def labelled_classes(folder: Path) -> dict[str, frozenset[str]]:
    """For each merged image, by its stem, the names of the classes that its source labels.

    A class of a task that the source does not label is masked there, not negative.

    Raises:
        DataError: ``folder`` holds no merged data set.
    """
    try:
        content = json.loads((folder / LABEL_MASK).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{folder} holds no merged data set: it has no {LABEL_MASK}") from None
    return {stem: frozenset(names) for stem, names in content.items()}


def partial_tasks(folder: Path) -> dict[str, frozenset[Task]]:
    """By its stem, for each training image that has any: the tasks whose boxes are not all there.

    Raises:
        DataError: ``folder`` holds no merged data set.
    """
    try:
        content = json.loads((folder / PARTIAL).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{folder} holds no merged data set: it has no {PARTIAL}") from None
    return {stem: frozenset(map(Task, tasks)) for stem, tasks in content.items()}


def _partial(images: Sequence[_Merged]) -> dict[str, list[str]]:
    some = [merged for merged in images if merged.partial]
    return {stem: sorted(merged.partial) for merged in some for stem in _stems(merged)}


def _counts(datasets: Sequence[Dataset], oversample: Sequence[int] | None) -> list[int]:
    counts = [1] * len(datasets) if oversample is None else list(oversample)
    if len(counts) != len(datasets) or any(count < 1 for count in counts):
        raise DataError(
            f"{len(datasets)} data sets need {len(datasets)} counts for oversampling of 1 or more, "
            f"got {', '.join(map(str, counts)) or 'none'}"
        )
    return counts


def _files(datasets: Sequence[Dataset]) -> str:
    return ", ".join(str(dataset.file) for dataset in datasets)


def _gather(
    datasets: Sequence[Dataset],
    counts: Sequence[int],
    split: str,
    *,
    subset: Subset,
    problems: dict[Problem, None],
) -> list[_Merged]:
    """Every image of ``split`` once, in the order of the sets, with what all of them say of it.

    What is wrong with images and labels is added to ``problems``.
    """
    # By file, and which of the set's links to it: a set may show an image more than once.
    gathered: dict[tuple[Path, int], _Merged] = {}
    for number, (dataset, count) in enumerate(zip(datasets, counts, strict=True)):
        if split not in dataset.folders:
            continue
        served: dict[Task, frozenset[ModelClass]] = {
            task: frozenset(c for c in dataset.classes.values() if c is not None and c.task is task)
            for task in dataset.labelled_tasks
        }
        polygons, boxed = 0, set[Task]()
        images = dataset.images(split)
        problems.update(dict.fromkeys(without_labels(dataset, split, images)))
        problems.update(dict.fromkeys(shared_labels(dataset, images)))
        thinned = subset.thins(images)
        images = subset.of(images)
        links: Counter[Path] = Counter()
        for index, (image, wrong) in enumerate(
            zip(images, check_images(dataset, images), strict=True)
        ):
            labels = dataset.read_labels(image)
            polygons += labels.polygons
            problems.update(dict.fromkeys((*wrong, *labels.problems)))
            stem = f"{split}{number}_{index:05d}_{_cut(image.stem)}"
            file = real_path(image)
            merged = gathered.setdefault((file, links[file]), _Merged(image, stem, 0, [], {}))
            links[file] += 1
            twice = merged.tasks.keys() & served.keys()
            if twice:
                raise DataError(
                    f"{dataset.file} and another set both label {', '.join(sorted(twice))} in "
                    f"{image}: leave it out of one's 'labels:'"
                )
            merged.copies = max(merged.copies, count)
            merged.tasks |= served
            merged.partial |= dataset.partial_tasks
            if image in thinned and subset.thinned is Thinned.PARTIAL:
                merged.partial |= dataset.labelled_tasks
            for place, box in enumerate(labels.boxes):
                if image in thinned and not subset.keeps(image, place):
                    continue
                cls = dataset.class_of(box)
                if cls is not None:
                    merged.boxes.append((cls, box))
                    boxed.add(cls.task)
                merged.regions += [(task, box) for task in sorted(dataset.ignored_in(box))]
        if split == "train":
            problems.update(dict.fromkeys(what_is_assumed(dataset, polygons)))
            if subset == WHOLE:
                _check_partial(dataset, boxed)
    return list(gathered.values())


def _cut(stem: str) -> str:
    """A name short enough to have something before and after it: file systems take 255 bytes; and
    one that every file system takes."""
    name = os.fsencode(stem)[:MAX_STEM_BYTES].decode("utf-8", "ignore")
    return name.translate(dict.fromkeys(map(ord, odd_characters(name)), "_"))


def _check_partial(dataset: Dataset, boxed: Set[Task]) -> None:
    line = dataset.line("labels")
    for task in sorted(dataset.partial_tasks - boxed):
        raise DataError(
            f"{dataset.file}{'' if line is None else f':{line}'}: 'labels:' says {task} is "
            "labelled in part, but no training image has a box of it, so it would teach nothing: "
            f"leave {task} out of 'labels:'"
        )


def _held_out(train: Sequence[_Merged], val: Sequence[_Merged]) -> list[_Merged]:
    """The validation images that are not trained on; some sets name one folder for both."""
    trained = {identity(merged.image) for merged in train}
    return [merged for merged in val if identity(merged.image) not in trained]


def _write(
    images: Sequence[_Merged],
    classes: Sequence[ModelClass],
    to: tuple[str, Callable[[str], Path]],
) -> dict[str, list[str]]:
    """Link and label one split; returns its part of ``label_mask.json``.

    ``to``: the split, and what notes a file as ours before it is made.
    """
    split, made = to
    made(f"images/{split}").mkdir(parents=True)
    made(f"labels/{split}").mkdir(parents=True)
    places = {cls: number for number, cls in enumerate(classes)}
    mask: dict[str, list[str]] = {}
    for merged in images:
        lines = "".join(_lines(merged, places))
        names = [cls.name for cls in classes if _labels(cls, merged)]
        for stem in _stems(merged):
            _place(merged.image, made(f"images/{split}/{stem}{merged.image.suffix}"))
            made(f"labels/{split}/{stem}.txt").write_text(lines, encoding="utf-8")
            mask[stem] = names
    return mask


def _stems(merged: _Merged) -> list[str]:
    """Under which names the image lies there: as often as it is seen in an epoch."""
    return [merged.stem, *(f"{merged.stem}_again{again}" for again in range(1, merged.copies))]


def _place(image: Path, target: Path) -> None:
    """Link ``image``; copy a JPEG without end mark, which ultralytics would rewrite in place, and
    any where the file system has no links (exFAT)."""
    if not is_jpeg_without_end(image):
        try:
            target.symlink_to(real_path(image))
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP}:
                raise
        else:
            return
    shutil.copyfile(image, target)


def _lines(merged: _Merged, places: Mapping[ModelClass, int]) -> Iterator[str]:
    for cls, box in merged.boxes:
        place = places.get(cls, places.get(ModelClass(cls.task.value, cls.task)))
        if place is not None:
            yield _line(place, box)
    regions = {task: len(places) + i for i, task in enumerate(tasks_of(places))}
    for task, box in merged.regions:
        if task in regions:
            yield _line(regions[task], box)


def tasks_of(classes: Iterable[ModelClass]) -> list[Task]:
    """The tasks that ``classes`` serve, each once, in their order."""
    return list(dict.fromkeys(cls.task for cls in classes))


def _line(number: int, box: LabelledBox) -> str:
    return f"{number} {box.x:.6f} {box.y:.6f} {box.width:.6f} {box.height:.6f}\n"


def _labels(cls: ModelClass, merged: _Merged) -> bool:
    """Whether this image's source labels ``cls``.

    A parent class (``light``) is labelled wherever its task is, by boxes of any subclass. A
    subclass (``light_red``) is labelled by sources that have it; where a box of the parent class
    may be of any subclass, the loss masks the subclasses on that box alone (see ``losses``).
    """
    source = merged.tasks.get(cls.task)
    return source is not None and (cls.is_parent or cls in source)
