"""What is wrong in a data set, all of it; every image is decoded once.

``merging.merge`` refuses what cannot be used; ``oneglance audit`` lists everything.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

from oneglance.models.cpus import available_cpus
from oneglance.models.training.data.datasets import SPLITS, Dataset
from oneglance.models.training.data.finding import shared_labels, without_labels
from oneglance.models.training.data.folders import files_below, identity
from oneglance.models.training.data.images import UNREADABLE, decode_image
from oneglance.models.training.data.labels import Problem
from oneglance.streams.errors import DataError

_OTHER_IMAGES = frozenset(
    {".avif", ".dng", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jxl", ".mpo"}
    | {".pbm", ".pgm", ".pnm", ".ppm", ".tga"}
)

LEAST_SIDE = 10
"""ultralytics leaves smaller images out."""


def check(dataset: Dataset) -> list[Problem]:
    """Every problem of ``dataset``: its file, its folders, its images and their label files.

    An image without a label file is background in ultralytics' convention, so it is a usable
    problem: a forgotten label file looks the same. An empty label file says "looked, nothing
    there" and is none. A labelled task without a box in the training images is a usable problem,
    and so is a class of which nobody says what it is.
    """
    problems: list[Problem] = []
    boxes = dict.fromkeys(dataset.labelled_tasks, 0)
    label_files: set[Path] = set()
    trained: set[object] = set()
    polygons = 0
    for split in SPLITS:
        try:
            images = dataset.images(split)
        except DataError as error:
            # A set need not have both; what its file names must be there.
            if split in dataset.folders:
                what = str(error).removeprefix(f"{dataset.file}: ")
                # Roboflow names a test folder also where it made none; nothing is trained on it.
                problems.append(Problem(dataset.file, dataset.line(split), what, split == "test"))
            continue
        label_files.update(map(dataset.label_file, images))
        problems += chain.from_iterable(check_images(dataset, images))
        problems += _unlabelled(dataset, split, images)
        files = set(map(identity, images))
        problems += _trained_on(dataset, split, len(files), len(files & trained))
        trained |= files if split == "train" else set()
        for image in images:
            scanned = dataset.read_labels(image)
            problems += scanned.problems
            polygons += scanned.polygons
            for box in scanned.boxes if split == "train" else ():
                cls = dataset.class_of(box)
                if cls is not None:
                    boxes[cls.task] += 1
    problems += _without_image(dataset, label_files)
    if "train" in dataset.folders:
        for task in sorted(task for task, count in boxes.items() if count == 0):
            what = f"labels {task}, but no training image has one: it is taught as negative"
            problems.append(Problem(dataset.file, None, what, True))
    # A folder that serves both splits is read twice; its problems are named once.
    return list(dict.fromkeys(what_is_assumed(dataset, polygons) + problems))


def _other_images(dataset: Dataset) -> set[Path]:
    """Images in its folders in formats that are not read."""
    found: set[Path] = set()
    for folder in {entry for entries in dataset.folders.values() for entry in entries}:
        if folder.is_dir():
            try:
                files = files_below(folder)
            except DataError:  # named where its images are asked for
                continue
            found.update(file for file in files if file.suffix.lower() in _OTHER_IMAGES)
    return found


def _unlabelled(dataset: Dataset, split: str, images: Sequence[Path]) -> list[Problem]:
    """Images without a label file: all of them in one word, or each."""
    found = [
        replace(problem, usable=split == "test")  # not trained on
        for problem in without_labels(dataset, split, images)
    ]
    named = {problem.file for problem in found}
    if dataset.file in named:
        return found
    what = "no label file {}: taken for an image without objects".format
    found += [
        Problem(image, None, what(dataset.label_file(image)), True)
        for image in images
        if image not in named and not dataset.has_labels(image)
    ]
    return found + shared_labels(dataset, images)


def what_is_assumed(dataset: Dataset, polygons: int) -> list[Problem]:
    """What holds for the whole set and is said once. ``polygons``: read as boxes."""
    problems = _of_the_file(dataset)
    line = dataset.line("names")
    unmapped = [dataset.names[number] for number in sorted(dataset.unmapped)]
    if unmapped:
        what = (
            f"none of our classes, so their boxes are taken for background: {', '.join(unmapped)} "
            "('classes:' may say that they are, or what they mean)"
        )
        problems.append(Problem(dataset.file, line, what, True))
    if others := _other_images(dataset):
        kinds = ", ".join(sorted({file.suffix.lower() for file in others}))
        what = (
            f"{len(others)} images of other kinds ({kinds}) are left out, {min(others)} for "
            "instance: convert them to PNG or JPEG"
        )
        problems.append(Problem(dataset.file, None, what, True))
    if polygons:
        what = f"{polygons} of its labels are polygons: their boxes are used"
        problems.append(Problem(dataset.file, None, what, True))
    return problems


def check_images(dataset: Dataset, images: Sequence[Path]) -> list[list[Problem]]:
    """``check_image`` for each of ``images``, in order, on all CPUs."""
    # Pillow warns of what is odd in a file; what matters is whether it can be decoded.
    with warnings.catch_warnings(), ThreadPoolExecutor(available_cpus()) as pool:
        warnings.simplefilter("ignore")
        return list(pool.map(partial(check_image, dataset), images))


def check_image(dataset: Dataset, image: Path) -> list[Problem]:
    """What is wrong with ``image``, which is decoded: missing, no image, cut short, too small."""
    try:
        width, height = decode_image(image)
    except FileNotFoundError:
        return [Problem(image, None, f"missing, but named by {dataset.file}", False)]
    except UNREADABLE as error:
        return [Problem(image, None, f"not an image that can be read ({_reason(error)})", False)]
    if min(width, height) < LEAST_SIDE:
        what = f"{width}x{height} pixels: too small to train on ({LEAST_SIDE} at least)"
        return [Problem(image, None, what, False)]
    return []


def is_jpeg_without_end(image: Path) -> bool:
    """Whether it is a JPEG, whatever its name, that does not end with an end mark; some good ones
    have bytes after it."""
    with image.open("rb") as file:
        if file.read(3) != b"\xff\xd8\xff":
            return False
        file.seek(-2, 2)
        return file.read() != b"\xff\xd9"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _without_image(dataset: Dataset, expected: Iterable[Path]) -> list[Problem]:
    """Label files in the folders of ``expected`` that belong to no image."""
    known = set(expected)
    orphans = sorted(
        file
        for folder in {file.parent for file in known}
        if folder.is_dir()
        for file in folder.glob("*.txt")
        if file not in known and file.name != "classes.txt"
    )
    listed = any(
        entry.suffix == ".txt" for entries in dataset.folders.values() for entry in entries
    )
    if listed:  # a list may leave images out on purpose
        return []
    return [
        Problem(file, None, "no image belongs to this label file: unused", True) for file in orphans
    ]


def _of_the_file(dataset: Dataset) -> list[Problem]:
    problems = []
    if dataset.count is not None and dataset.count != len(dataset.names):
        what = f"'nc: {dataset.count}' but {len(dataset.names)} names: the names are believed"
        problems.append(Problem(dataset.file, dataset.line("nc"), what, True))
    return problems


def _trained_on(dataset: Dataset, split: str, count: int, shared: int) -> list[Problem]:
    """``shared`` of a split's ``count`` images are training images as well."""
    if not shared:
        return []
    which = "is a folder that is" if shared == count else f"has {shared} images of {count} that are"
    what = f"'{split}:' {which} trained on: it says nothing about new images"
    return [Problem(dataset.file, dataset.line(split), what, True)]
