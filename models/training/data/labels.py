"""Label files: one ``class x y w h`` a line, normalised to 0..1, read without losing a line.

A polygon (``class x1 y1 x2 y2 x3 y3 …``) is read as its box, and KITTI's own lines are read too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from oneglance.models.tasks import normalised
from oneglance.models.training.data.text import YamlFile, read_text
from oneglance.streams.errors import DataError

SLACK = 1e-3
"""How far a box may leave 0..1 by the rounding of well-meant labels."""

MOST_OF_A_POINT = 1.5
"""A polygon has no point farther out: a 2 is the mark of a key point that can be seen."""

LEAST_EXTENT = 1e-6
"""Of a box in 0..1: less is written as nothing."""

MAX_LINES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """One box of a label file: centre and size, all in 0..1 of the image.

    ``crowd``: not one object of its class but a region with an unknown number of them.
    """

    class_id: int
    x: float
    y: float
    width: float
    height: float
    crowd: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a data set: where (``line`` counts from 1) and what.

    ``usable``: training can go on without guessing what was meant, and does so as ``what`` says.
    """

    file: Path
    line: int | None
    what: str
    usable: bool

    def __str__(self) -> str:
        where = f"{self.file}" if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.what}"


@dataclass(frozen=True, slots=True)
class Labels:
    """What a label file holds: the boxes that can be used, and every line that is not right.

    ``polygons``: how many of the boxes stand there as polygons.
    """

    boxes: tuple[LabelledBox, ...]
    problems: tuple[Problem, ...]
    polygons: int = 0


def differ(one: Labels, other: Labels) -> bool:
    """Whether two files cannot both be right of an image: in how many boxes of a class there are.

    Regions may be left out in one: few formats know them.
    """
    for class_id in {box.class_id for box in (*one.boxes, *other.boxes)}:
        least, most = zip(*(_counts(labels, class_id) for labels in (one, other)), strict=True)
        if max(least) > min(most):
            return True
    return False


def _counts(labels: Labels, class_id: int) -> tuple[int, int]:
    """How many boxes of a class there are, without and with regions."""
    crowds = [box.crowd for box in labels.boxes if box.class_id == class_id]
    return crowds.count(False), len(crowds)


def label_file(image: Path, folder: str = "labels") -> Path:
    """The label file that belongs to ``image``: the last ``images`` in its path is ``folder``.

    An image below no folder ``images`` has its label file beside it. With another ``folder`` than
    labels, VOC's ``JPEGImages`` and KITTI's ``image_2`` are such folders too.

    >>> label_file(Path("set/images/train/a.jpg")).as_posix()
    'set/labels/train/a.txt'
    """
    parts = list(image.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images" or (folder != "labels" and parts[i] in {"JPEGImages", "image_2"}):
            parts[i] = folder
            break
    return Path(*parts).with_suffix(".txt")


def key_point_numbers(source: YamlFile) -> int:
    """How many numbers a label has after its box: of key points, as ``kpt_shape:`` says.

    Raises:
        DataError: it is not two numbers.
    """
    shape = source.content.get("kpt_shape")
    if shape is None:
        return 0
    try:
        points, each = (int(number) for number in shape)
    except (TypeError, ValueError):
        points, each = 0, 0
    if points < 1 or each not in {2, 3}:
        raise DataError(
            f"{source.at('kpt_shape')}: 'kpt_shape:' is the number of key points and 2 or 3, "
            "the numbers of each: leave it out where labels have none"
        )
    return points * each


def scan_labels(
    file: Path, names: Mapping[int, str], image: Path | None = None, *, key_points: int = 0
) -> Labels:
    """Read a label file and say what is wrong with every line that is.

    A missing file is an image without boxes; a link to a missing one is not. A box that leaves the
    image is cut to it, a box without area and a line written twice are left out: usable problems.
    A line that cannot be understood (not five numbers, a number that is not finite, a width or
    height below zero, a class the set does not have) is not: what is there in the image is then
    unknown. ``image``: whose labels these are; needed for KITTI's lines alone, which count in its
    pixels. ``key_points``: how many numbers of key points, which are not read, may follow a box.
    """
    try:
        text = read_text(file)
    except FileNotFoundError:
        if file.is_symlink():
            return Labels((), (Problem(file, None, "is a link that leads nowhere", False),))
        return Labels((), ())
    except (OSError, UnicodeDecodeError) as error:
        reason = "not text" if isinstance(error, UnicodeDecodeError) else error.strerror
        return Labels((), (Problem(file, None, f"cannot be read: {reason}", False),))
    boxes: dict[LabelledBox, int] = {}
    problems: list[Problem] = []
    polygons = 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        fields = line.split()
        if len(fields) in KITTI_FIELDS and not is_number(fields[0]):
            read = _kitti(fields, names, image)
        else:
            if key_points and len(fields) == 5 + key_points and all(map(is_number, fields)):
                fields = fields[:5]
            read = _box(fields, names, polygons=not key_points)
            polygons += len(fields) > 5 and not isinstance(read, str)
        if isinstance(read, str):
            problems.append(Problem(file, number, read, usable=False))
            continue
        box, mended = read
        if box is not None and box in boxes:
            mended = f"the same box as in line {boxes[box]}: left out"
        elif box is not None:
            boxes[box] = number
        if mended is not None:
            problems.append(Problem(file, number, mended, usable=True))
    return Labels(tuple(boxes), tuple(problems), polygons)


Read = tuple[LabelledBox | None, str | None] | str
"""The box and what was mended; or what makes the line unusable."""


def _box(fields: Sequence[str], names: Mapping[int, str], *, polygons: bool) -> Read:
    shown = " ".join(fields) if len(fields) <= 6 else " ".join((*fields[:6], "…"))
    polygon = polygons and len(fields) > 6 and len(fields) % 2 == 1
    if len(fields) != 5 and not polygon:
        return f"expected 'class x y w h', got '{shown}'"
    try:
        class_value, *numbers = (float(field) for field in fields)
    except ValueError:
        return f"expected 'class x y w h', got '{shown}'"
    wrong = None
    if not all(map(math.isfinite, (class_value, *numbers))):
        wrong = f"a number is not finite: '{shown}'"
    elif class_value not in names:
        wrong = f"class {fields[0]} is not one of {_classes(names)}"
    elif max(map(abs, numbers)) > 2:
        wrong = f"pixels, not 0..1: '{shown}'"
    elif polygon and max(map(abs, numbers)) > MOST_OF_A_POINT:
        wrong = f"no polygon, a point lies far outside: '{shown}' (key points need 'kpt_shape:')"
    if wrong is not None:
        return wrong
    if polygon:
        return edges_to_box(int(class_value), _edges(numbers))
    x, y, width, height = numbers
    return _within(LabelledBox(int(class_value), x, y, width, height))


def _edges(points: Sequence[float]) -> tuple[float, float, float, float]:
    xs, ys = points[::2], points[1::2]
    return min(xs), min(ys), max(xs), max(ys)


def pixels_to_box(
    class_id: int,
    edges: tuple[float, float, float, float],
    size: tuple[float, float],
    *,
    crowd: bool = False,
) -> Read:
    """``edges_to_box`` of edges in pixels of an image of ``size`` (width, height)."""
    left, top, right, bottom = edges
    width, height = size
    if max(map(abs, edges)) <= 1 < min(size):
        return "lies within the first pixel: 0..1, where pixels are expected"
    unit = (left / width, top / height, right / width, bottom / height)
    return edges_to_box(class_id, unit, crowd=crowd)


def edges_to_box(
    class_id: int, edges: tuple[float, float, float, float], *, crowd: bool = False
) -> Read:
    """The box between ``edges`` (left, top, right, bottom, in 0..1), and what was mended of it."""
    left, top, right, bottom = edges
    centre, extent = ((left + right) / 2, (top + bottom) / 2), (right - left, bottom - top)
    return _within(LabelledBox(class_id, *centre, *extent, crowd))


def other_shape(said: tuple[float, float], image: Path | None) -> str | None:
    """Why boxes in pixels of an image of the size ``said`` (width, height) cannot be placed: the
    image is of another shape, as when it was turned or cropped; None where it is not.

    It may have been made smaller or larger, which rounds its sides.
    """
    found = None if image is None else image_size(image)
    if found is None:
        return None
    (width, height), (said_width, said_height) = found, said
    if abs(said_width * height - said_height * width) <= 0.03 * said_height * width:
        return None
    return (
        f"says that the image is {said_width:g}x{said_height:g} pixels, which is {width}x{height}: "
        "its boxes cannot be placed"
    )


KITTI_FIELDS = (15, 16)
"""Type, truncation, occlusion, angle, four edges in pixels, seven of 3D; results add a score."""


def _kitti(fields: Sequence[str], names: Mapping[int, str], image: Path | None) -> Read:
    what = f"KITTI's format ('{fields[0]}' and {len(fields) - 1} numbers)"
    class_id = class_by_name(fields[0], names)
    if class_id is None:
        return f"{what}, but 'names:' has no class '{fields[0]}'"
    if not all(map(is_number, fields[1:])):
        return f"{what} with a field that is no number: '{' '.join(fields)}'"
    size = None if image is None else image_size(image)
    if size is None:
        return f"{what}, whose pixels cannot be placed: its image cannot be read"
    left, top, right, bottom = (float(field) for field in fields[4:8])
    return pixels_to_box(class_id, (left, top, right, bottom), size)


def class_by_name(name: str, names: Mapping[int, str]) -> int | None:
    """The class id of a name, as it is written or else as ``normalised`` compares; None without."""
    for spelling in (str, normalised):
        for class_id, known in names.items():
            if spelling(known) == spelling(name):
                return class_id
    return None


def image_size(image: Path) -> tuple[int, int] | None:
    """(width, height) of an image in pixels, as it is shown and trained on: turned as its camera
    says; None where it cannot be read."""
    from oneglance.models.training.data.images import (  # Pillow: if needed
        UNREADABLE,
        open_image,
        shown_size,
    )

    try:
        with open_image(image) as opened:
            return shown_size(opened)
    except UNREADABLE:
        return None


def is_set(flag: object) -> bool:
    """Whether a flag says yes, as number, word or truth value.

    >>> is_set("True"), is_set("0"), is_set(1), is_set(None)
    (True, False, True, False)
    """
    return str(flag).strip().lower() in {"1", "1.0", "true", "yes", "y"}


def is_number(field: str) -> bool:
    """Whether a field is a finite number."""
    try:
        return math.isfinite(float(field))
    except ValueError:
        return False


def _within(box: LabelledBox) -> Read:
    """What of ``box`` lies in the image, and what had to be done for it."""
    if box.width < 0 or box.height < 0:
        return "has a width or height below zero: where the object is cannot be known"
    if box.width < LEAST_EXTENT or box.height < LEAST_EXTENT:
        return None, "the box has no area: left out"
    left, right = box.x - box.width / 2, box.x + box.width / 2
    top, bottom = box.y - box.height / 2, box.y + box.height / 2
    if min(left, top) >= -SLACK and max(right, bottom) <= 1 + SLACK:
        return box, None
    left, right, top, bottom = (min(max(side, 0.0), 1.0) for side in (left, right, top, bottom))
    if right <= left or bottom <= top:
        return None, "the box is outside the image (0..1): left out"
    centre, extent = ((left + right) / 2, (top + bottom) / 2), (right - left, bottom - top)
    box = LabelledBox(box.class_id, *centre, *extent, box.crowd)
    return box, "the box leaves the image (0..1): cut to it"


def _classes(names: Mapping[int, str]) -> str:
    ids = sorted(names)
    whole = ids == list(range(len(ids)))
    return f"0..{len(ids) - 1}" if whole and len(ids) > 3 else ", ".join(map(str, ids))


def refuse(problems: Sequence[Problem]) -> None:
    """Raise a DataError that lists ``problems``, each with file and line; return when none."""
    if not problems:
        return
    if len(problems) == 1:
        raise DataError(str(problems[0]))
    lines = [str(problem) for problem in problems[:MAX_LINES_SHOWN]]
    more = len(problems) - len(lines)
    if more:
        lines.append(f"… and {more} more: 'oneglance audit' lists them all")
    raise DataError("\n".join([f"{len(problems)} things are wrong:", *lines]))
