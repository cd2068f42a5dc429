"""COCO's label file: one JSON file for many images, boxes in their pixels, classes by name."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from unicodedata import normalize

from oneglance.models.training.data.labels import (
    LabelledBox,
    Labels,
    Problem,
    Read,
    class_by_name,
    is_set,
    other_shape,
    pixels_to_box,
)
from oneglance.models.training.data.masks import mask_edges
from oneglance.models.training.data.text import read_text
from oneglance.streams.errors import DataError


class CocoFile:
    """A JSON file of COCO's form, read.

    Raises:
        DataError: it cannot be read, or is of another form.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._stems: dict[str, str] | None = None
        try:
            content = json.loads(read_text(file), object_pairs_hook=_keys_once)
            categories = content["categories"]
            _each_once("category", (category["id"] for category in categories))
            self._categories = {c["id"]: str(c["name"]) for c in categories}
            self._images: dict[str, list[dict[str, Any]]] = {}
            _each_once("image", (image["id"] for image in content["images"]))
            for image in content["images"]:
                parts = _parts(image["file_name"])
                self._images.setdefault(parts[-1], []).append(image | {"parts": parts})
            self._objects: dict[Any, list[dict[str, Any]]] = {}
            for found in content["annotations"]:
                self._objects.setdefault(found["image_id"], []).append(found)
            _refuse_unknown_images(self._objects.keys(), [i["id"] for i in content["images"]])
        except OSError as error:
            raise DataError(f"cannot read {file}: {error.strerror}") from None
        except RecursionError:
            raise DataError(f"{file} is not of COCO's form: too many brackets") from None
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{file} is not of COCO's form: {type(error).__name__} {error}"
            ) from None

    def speaks_of(self, image: Path) -> bool:
        """Whether it names ``image``, be it without a box."""
        return self._entry(image) is not None

    def nearly(self, image: Path) -> str | None:
        """What it calls the image that ``image`` seems to be: in other cases, with another suffix
        or none; None where it names ``image`` itself, or nothing like it."""
        if self.speaks_of(image):
            return None
        if self._stems is None:
            self._stems = {}
            for name in self._images:
                for spelling in (name, Path(name).stem):
                    self._stems.setdefault(spelling.lower(), name)
        found = self._stems.get(normalize("NFC", image.stem).lower())
        if found is None or image.with_name(found).exists():
            return None
        folders = {parts[-2:-1] for parts in (entry["parts"] for entry in self._images[found])}
        return found if folders & {(), (image.parent.name,)} else None

    def labels(self, image: Path, names: Mapping[int, str]) -> Labels | None:
        """What it says of ``image``, as ``scan_labels`` does of a text file; None: nothing.

        An annotation with ``iscrowd`` is a region with an unknown number of objects. One that has
        a mask alone is read as the box around it.
        """
        entry = self._entry(image)
        if entry is None:
            return None
        if entry["ambiguous"]:
            what = f"names several images that {image} may be: give their folders in 'file_name'"
            return Labels((), (Problem(self.file, None, what, usable=False),))
        try:
            width, height = float(entry["width"]), float(entry["height"])
            if not (width > 0 and height > 0):
                raise ValueError("no size")
        except (KeyError, TypeError, ValueError):
            what = f"says no width and height of {entry['file_name']}"
            return Labels((), (Problem(self.file, None, what, usable=False),))
        if (what := other_shape((width, height), image) or "") and self._objects.get(entry["id"]):
            what = f"{entry['file_name']}: {what}"
            return Labels((), (Problem(self.file, None, what, usable=False),))
        boxes: dict[LabelledBox, None] = {}
        problems: list[Problem] = []
        for found in self._objects.get(entry["id"], ()):
            where = f"annotation {found.get('id')} ({entry['file_name']})"
            read = self._box(found, names, (width, height))
            if isinstance(read, str):
                problems.append(Problem(self.file, None, f"{where} {read}", usable=False))
                continue
            box, mended = read
            if box is not None and box in boxes:
                mended = "the same box as one before: left out"
            elif box is not None:
                boxes[box] = None
            if mended is not None:
                problems.append(Problem(self.file, None, f"{where}: {mended}", usable=True))
        return Labels(tuple(boxes), tuple(problems))

    def _entry(self, image: Path) -> dict[str, Any] | None:
        """The entry whose path ends as the image's does, on most parts; whether others do too."""
        tail = tuple(normalize("NFC", part) for part in image.parts[::-1])
        entries = self._images.get(tail[0], [])
        shared = [_shared(tail, entry["parts"][::-1]) for entry in entries]
        if not entries:
            return None
        most = max(shared)
        return entries[shared.index(most)] | {"ambiguous": shared.count(most) > 1}

    def _box(
        self, found: Mapping[str, Any], names: Mapping[int, str], size: tuple[float, float]
    ) -> Read:
        category = found.get("category_id")
        name = self._categories.get(category) if isinstance(category, Hashable) else None
        if name is None:
            return f"is of category {category!r}, which the file does not have"
        class_id = class_by_name(name, names)
        if class_id is None:
            return f"is a '{name}', which 'names:' does not have"
        edges = _edges(found.get("bbox")) or mask_edges(found.get("segmentation"))
        if edges is None:
            return "has no 'bbox' of four numbers, and no 'segmentation' that can be read"
        crowd = is_set(found.get("iscrowd")) or is_set(found.get("ignore"))
        return pixels_to_box(class_id, edges, size, crowd=crowd)


def read_coco(file: Path) -> CocoFile:
    """The file, read once as long as it does not change.

    Raises:
        DataError: as ``CocoFile``.
    """
    try:
        known = file.stat()
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}") from None
    return _read(file, known.st_mtime_ns, known.st_size)


@lru_cache(maxsize=8)
def _read(file: Path, changed_ns: int, size: int) -> CocoFile:
    del changed_ns, size
    return CocoFile(file)


def _keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        _each_once("key", (key for key, _ in pairs))
    return found


def _each_once(what: str, ids: Iterable[Any]) -> None:
    seen: set[Any] = set()
    for each in ids:
        if each in seen:
            raise ValueError(f"{what} {each!r} stands there twice")
        seen.add(each)


def _refuse_unknown_images(of_objects: Iterable[Any], images: Iterable[Any]) -> None:
    """Raise a ValueError where ids are text here and numbers there, or none fits.

    A part of the images may have been taken out, without their annotations.
    """
    known, unknown = set(images), set(of_objects)
    unknown -= known
    none_fits = unknown and len(unknown) == len(set(of_objects))
    if none_fits or {str(each) for each in unknown} & {str(each) for each in known}:
        first = min(map(repr, unknown))
        raise ValueError(f"an annotation is of image {first}, which it does not have")


def _edges(box: Any) -> tuple[float, float, float, float] | None:
    """Left, top, right, bottom of a COCO box; None where it is none."""
    try:
        left, top, width, height = (float(side) for side in box)
    except (TypeError, ValueError):
        return None
    edges = (left, top, left + width, top + height)
    return edges if all(map(math.isfinite, edges)) else None


def _parts(name: str) -> tuple[str, ...]:
    """Of a path, as one letter where an accent may be two; see ``folders.same_name``."""
    parts = normalize("NFC", name).replace("\\", "/").split("/")
    return tuple(part for part in parts if part not in {"", "."})


def _shared(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    same = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        same += 1
    return same
