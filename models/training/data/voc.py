"""Pascal VOC's label files: one XML file an image, boxes in its pixels, classes by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from defusedxml import DefusedXmlException, ElementTree

from oneglance.models.training.data.labels import (
    LabelledBox,
    Labels,
    Problem,
    Read,
    class_by_name,
    image_size,
    is_number,
    is_set,
    other_shape,
    pixels_to_box,
)
from oneglance.models.training.data.text import read_bytes

_REGION_MARKS = ("difficult", "crowd", "iscrowd", "ignore")
"""The first is VOC's own; converters from COCO and from others keep theirs."""

_EDGES = ("xmin", "ymin", "xmax", "ymax")


def scan_voc(file: Path, names: Mapping[int, str], image: Path | None = None) -> Labels:
    """Read an XML file as ``scan_labels`` reads a text file.

    VOC counts pixels from 1 and includes the last one. What it calls difficult is a region of
    which nothing is known, as its own evaluation has it. ``image``: for the size of the image
    where the file does not say it.
    """
    try:
        root: Any = ElementTree.fromstring(read_bytes(file))
    except OSError as error:
        return _nothing(file, f"cannot be read: {error.strerror}")
    except (ElementTree.ParseError, DefusedXmlException, ValueError, LookupError) as error:
        return _nothing(file, f"is not XML: {str(error).splitlines()[0]}")
    if root.tag != "annotation":
        return _nothing(file, f"is not Pascal VOC's: <{root.tag}>, not <annotation>")
    size = _size(root) or (None if image is None else image_size(image))
    if size is None:
        return _nothing(file, "says no <size> of the image, which cannot be read either")
    if (what := other_shape(size, image)) is not None:
        return _nothing(file, what)
    boxes: dict[LabelledBox, None] = {}
    problems: list[Problem] = []
    for number, found in enumerate(root.iter("object"), 1):
        name = (found.findtext("name") or "").strip()
        class_id = class_by_name(name, names)
        edges = [(found.findtext(f"bndbox/{edge}") or "").strip() for edge in _EDGES]
        if class_id is None:
            what = f"object {number} is a '{name}', which 'names:' does not have"
            problems.append(Problem(file, None, what, usable=False))
            continue
        if not all(map(is_number, edges)):
            what = f"object {number}, a '{name}', has no <bndbox> with four numbers"
            problems.append(Problem(file, None, what, usable=False))
            continue
        read = _box(found, class_id, [float(edge) for edge in edges], size)
        if isinstance(read, str):
            what = f"object {number}, a '{name}', {read}"
            problems.append(Problem(file, None, what, usable=False))
            continue
        box, mended = read
        if box is not None and box in boxes:
            mended = "the same box as one before: left out"
        elif box is not None:
            boxes[box] = None
        if mended is not None:
            problems.append(Problem(file, None, f"object {number}: {mended}", usable=True))
    return Labels(tuple(boxes), tuple(problems))


def _box(found: Any, class_id: int, edges: Sequence[float], size: tuple[float, float]) -> Read:
    left, top, right, bottom = edges
    if len(found.findall("bndbox")) > 1:
        return "has several <bndbox>"
    # Some count from 0 all the same: no box starts before the image for that.
    pixels = max(left - 1, 0.0), max(top - 1, 0.0), right, bottom
    region = any(is_set(found.findtext(mark)) for mark in _REGION_MARKS)
    return pixels_to_box(class_id, pixels, size, crowd=region)


def _size(root: Any) -> tuple[float, float] | None:
    """(width, height) as the file says; None where it says none."""
    width, height = (root.findtext(f"size/{side}") or "" for side in ("width", "height"))
    if is_number(width) and is_number(height) and float(width) > 0 and float(height) > 0:
        return float(width), float(height)
    return None


def _nothing(file: Path, what: str) -> Labels:
    return Labels((), (Problem(file, None, what, usable=False),))
