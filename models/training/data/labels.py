"""Label files: one ``class x y w h`` a line, normalised to 0..1, read without losing a line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from oneglance.streams.errors import DataError

SLACK = 1e-3
"""How far a box may leave 0..1 by the rounding of well-meant labels."""

MAX_LINES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """One box of a label file: centre and size, all in 0..1 of the image."""

    class_id: int
    x: float
    y: float
    width: float
    height: float


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
    """What a label file holds: the boxes that can be used, and every line that is not right."""

    boxes: tuple[LabelledBox, ...]
    problems: tuple[Problem, ...]


def label_file(image: Path, folder: str = "labels") -> Path:
    """The label file that belongs to ``image``: the last ``images`` in its path is ``folder``.

    An image below no folder ``images`` has its label file beside it.

    >>> label_file(Path("set/images/train/a.jpg")).as_posix()
    'set/labels/train/a.txt'
    """
    parts = list(image.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images":
            parts[i] = folder
            break
    return Path(*parts).with_suffix(".txt")


def scan_labels(file: Path, names: Mapping[int, str]) -> Labels:
    """Read a label file and say what is wrong with every line that is.

    A missing file is an image without boxes. A box that leaves the image is cut to it, a box
    without area and a line written twice are left out: usable problems. A line that cannot be
    understood (not five numbers, a number that is not finite, a class the set does not have)
    is not: what is there in the image is then unknown.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Labels((), ())
    except (OSError, UnicodeDecodeError) as error:
        reason = "not text" if isinstance(error, UnicodeDecodeError) else error.strerror
        return Labels((), (Problem(file, None, f"cannot be read: {reason}", False),))
    boxes: dict[LabelledBox, int] = {}
    problems: list[Problem] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        read = _box(line.split(), names)
        if isinstance(read, str):
            problems.append(Problem(file, number, read, usable=False))
            continue
        box, complaint = read
        if box is not None and box in boxes:
            complaint = f"the same box as in line {boxes[box]}: left out"
        elif box is not None:
            boxes[box] = number
        if complaint is not None:
            problems.append(Problem(file, number, complaint, usable=True))
    return Labels(tuple(boxes), tuple(problems))


def _box(
    fields: Sequence[str], names: Mapping[int, str]
) -> tuple[LabelledBox | None, str | None] | str:
    """The box and what was mended; or what makes the line unusable."""
    shown = " ".join(fields) if len(fields) <= 6 else " ".join((*fields[:6], "…"))
    if len(fields) > 6 and len(fields) % 2:
        return f"a polygon of {len(fields) // 2} points: write its box, 'class x y w h'"
    try:
        class_value, x, y, width, height = (float(field) for field in fields)
    except ValueError:
        return f"expected 'class x y w h', got '{shown}'"
    wrong = None
    if not all(map(math.isfinite, (class_value, x, y, width, height))):
        wrong = f"a number is not finite: '{shown}'"
    elif class_value not in names:
        wrong = f"class {fields[0]} is not one of {_classes(names)}"
    elif max(map(abs, (x, y, width, height))) > 2:
        wrong = f"pixels, not 0..1: '{shown}'"
    return wrong or _within(LabelledBox(int(class_value), x, y, width, height))


def _within(box: LabelledBox) -> tuple[LabelledBox | None, str | None]:
    """What of ``box`` lies in the image, and what had to be done for it."""
    if box.width <= 0 or box.height <= 0:
        return None, "the box has no area: left out"
    left, right = box.x - box.width / 2, box.x + box.width / 2
    top, bottom = box.y - box.height / 2, box.y + box.height / 2
    if min(left, top) >= -SLACK and max(right, bottom) <= 1 + SLACK:
        return box, None
    left, right, top, bottom = (min(max(side, 0.0), 1.0) for side in (left, right, top, bottom))
    if right <= left or bottom <= top:
        return None, "the box is outside the image (0..1): left out"
    centre, extent = ((left + right) / 2, (top + bottom) / 2), (right - left, bottom - top)
    return LabelledBox(box.class_id, *centre, *extent), "the box leaves the image (0..1): cut to it"


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
