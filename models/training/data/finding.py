"""Where a data set's labels seem to lie, when they are not where they are looked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from oneglance.models.training.data.coco_labels import read_coco
from oneglance.models.training.data.labels import Problem, label_file
from oneglance.streams.errors import DataError

if TYPE_CHECKING:
    from oneglance.models.training.data.datasets import Dataset

LOOKED_AT = 100_000
"""So many files of a data set's folder are looked at."""

_LARGEST_JSON = 500_000_000


def without_labels(dataset: Dataset, split: str, images: Sequence[Path]) -> list[Problem]:
    """A problem when not one of ``images`` has labels: each would be taught as showing nothing.

    It says where labels seem to lie and how the data set file names them. Where some have labels, a
    problem for each other one whose label file seems to lie there under another name.
    """
    missing = [image for image in images if not dataset.has_labels(image)]
    if len(missing) < len(images) or not images:
        return list(_misnamed(dataset, missing))
    what = (
        f"{split}: not one of {len(images)} images has a label file; looked for "
        f"{dataset.label_file(images[0])}, for instance; {_seen(dataset, images)}"
    )
    return [Problem(dataset.file, dataset.line(split), what, usable=False)]


def shared_labels(dataset: Dataset, images: Sequence[Path]) -> list[Problem]:
    """A usable problem for each of ``images`` whose label file is one before's, too."""
    firsts: dict[Path, Path] = {}
    return [
        Problem(image, None, what, usable=True)
        for image in images
        if (first := firsts.setdefault(file := dataset.label_file(image), image)) is not image
        and dataset.has_labels(image)
        for what in [f"has the label file of {first.name}, {file}: is that right for both?"]
    ]


def _misnamed(dataset: Dataset, images: Sequence[Path]) -> Iterator[Problem]:
    """Images beside whose place for labels lies a file that is called almost as it should be: in
    other cases, or by the whole name of the image."""
    listed: dict[Path, dict[str, Path]] = {}
    for image in images:
        for coco in dataset.coco_files_of(image)[0]:
            if (name := read_coco(coco).nearly(image)) is not None:
                what = f"{coco} does not name it, but {name} seems to be it: call it {image.name}"
                yield Problem(image, None, what, usable=False)
        wanted = dataset.label_file(image)
        if (folder := wanted.parent) not in listed:
            with suppress(OSError):
                listed[folder] = {file.name.lower(): file for file in folder.iterdir()}
        there = listed.setdefault(folder, {})
        for name in (wanted.stem, image.name):
            for suffix in (".txt", ".xml"):
                file = there.get(f"{name}{suffix}".lower())
                owner = None if file is None else image.with_name(file.stem + image.suffix)
                if owner is not None and (owner == image or not owner.exists()):
                    right = wanted.with_suffix(suffix).name
                    what = f"has no label file, but {file} seems to be it: call it {right}"
                    yield Problem(image, None, what, usable=False)


def _seen(dataset: Dataset, images: Sequence[Path]) -> str:
    by_stem = {name: image for image in images for name in (image.stem, image.name)}
    places: Counter[Path] = Counter()
    firsts: dict[Path, Path] = {}
    lists: list[Path] = []
    for file in islice(_below(dataset.root), LOOKED_AT):
        suffix = file.suffix.lower()
        if suffix == ".json":
            lists.append(file)
        elif suffix in {".txt", ".xml"} and file.stem in by_stem:
            places[file.parent] += 1
            firsts.setdefault(file.parent, file)
    for problem in _misnamed(dataset, images[:1]):
        return problem.what
    for place, _ in places.most_common():
        file = firsts[place]
        image = by_stem[file.stem]
        if (right := image.stem + file.suffix.lower()) != file.name:
            return f"{file} seems to belong to {image}: call it {right}, and so the others"
        for name in dict.fromkeys(part for part in reversed(file.parent.parts)):
            if label_file(image, name).with_suffix(file.suffix) == file:
                return f"they seem to lie in {place}: say 'annotations: {name}'"
        return (
            f"they seem to lie in {place}: move or link them there, or the images beside them "
            f"({file.name} belongs to {image})"
        )
    files = [_relative(file, dataset.root) for file in lists if _names_one(file, dataset)]
    if files:
        value = files[0] if len(files) == 1 else f"[{', '.join(files)}]"
        return f"COCO's files name them: say 'annotations: {value}'"
    return "none were seen; where images really show nothing, empty label files say so"


def _below(folder: Path) -> Iterator[Path]:
    """Files below ``folder``, the nearest first."""
    waiting = [folder]
    while waiting:
        deeper: list[Path] = []
        for here in waiting:
            try:
                entries = sorted(here.iterdir())
            except OSError:
                continue
            deeper += [entry for entry in entries if entry.is_dir() and not entry.is_symlink()]
            yield from (entry for entry in entries if not entry.is_dir())
        waiting = deeper


def _names_one(file: Path, dataset: Dataset) -> bool:
    """Whether a JSON file is COCO's and names an image of any split."""
    try:
        if file.stat().st_size > _LARGEST_JSON:
            return False
        found = read_coco(file)
    except (OSError, DataError):
        return False
    for split in dataset.folders:
        try:
            images = dataset.images(split)
        except DataError:
            continue
        if any(found.speaks_of(image) for image in images[:100]):
            return True
    return False


def _relative(file: Path, root: Path) -> str:
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)
