"""Where the layout of a fragmented MP4 shows that frames are missing, which libav passes over.

Such a file is a row of boxes, a ``moof`` with a number for each fragment. A hole in it swallows
some, and libav plays what it finds behind, or ends (ISO/IEC 14496-12, 4.2 and 8.8.5).
"""

from __future__ import annotations

import bisect
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Flag
from pathlib import Path
from typing import BinaryIO

from oneglance.streams.files.boxes import BOXES, HEADER, box_at

_PIECE = 1 << 20
_LARGEST_STEP = 10_000


class Wrong(Flag):
    """What a file itself shows to be wrong with it."""

    NOTHING = 0
    BYTES = 1
    """Bytes around a packet are not as they were recorded."""
    LAYOUT = 2
    """Packets may be missing before one."""
    GAP = 4
    """Something is missing between the two, and what it was is not known."""
    BEGINNING = 8
    """Before the first packet lies the rest of one whose beginning is missing."""
    END = 16
    """More is missing behind the last packet than the file shows."""


Look = Callable[[int | None, int | None], Wrong]
"""What is wrong with a file between the packets that begin at one byte and at another. None: at
its beginning, and its end."""


@dataclass(frozen=True, slots=True)
class _Fragment:
    """Where it begins, and whether something is missing before it."""

    begin: int
    is_behind_hole: bool


class FragmentChecks:
    """Looks at the fragments of one file, once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._fragments: list[_Fragment] | None = None

    def look(self, begin: int | None, end: int | None) -> Wrong:
        """See ``Look``."""
        if self._fragments is None:
            try:
                with self._file.open("rb") as content:
                    self._fragments = list(_fragments(content))
            except OSError:
                self._fragments = []
        first = self._at(begin or 0)
        last = len(self._fragments) - 1 if end is None else self._at(end)
        between = self._fragments[first + 1 : last + 1]
        return Wrong.LAYOUT if any(each.is_behind_hole for each in between) else Wrong.NOTHING

    def _at(self, place: int) -> int:
        assert self._fragments is not None
        return bisect.bisect_right(self._fragments, place, key=lambda each: each.begin) - 1


def _fragments(content: BinaryIO) -> Iterator[_Fragment]:
    size = content.seek(0, os.SEEK_END)
    at, last, number, is_hole = 0, 0, None, False
    while at + HEADER <= size:
        name, length = box_at(content, at)
        end = size if length is None else at + length
        if name not in BOXES or end < at + HEADER or (name == b"moof" and end > size):
            last, is_hole = at, True
            at = _next_fragment(content, at + 1, size)
            continue
        if name == b"moof":
            content.seek(at + 20)
            own = int.from_bytes(content.read(4), "big")
            is_hole |= number is not None and 1 < own - number <= _LARGEST_STEP
            yield _Fragment(at, is_hole)
            number, is_hole = own, False
        at = end
    if is_hole and number is not None and not _is_empty(content, last, size):
        yield _Fragment(size, is_behind_hole=True)


def _next_fragment(content: BinaryIO, at: int, size: int) -> int:
    """Where the next one begins after something that is no box; or the end."""
    content.seek(at)
    kept = b""
    while piece := content.read(_PIECE):
        found = (kept + piece).find(b"moof", 4)
        if found >= 4:
            return content.tell() - len(kept + piece) + found - 4
        kept = (kept + piece)[-HEADER:]
    return size


def _is_empty(content: BinaryIO, at: int, size: int) -> bool:
    """Whether nothing but zeros follows: room that a recorder had laid aside."""
    content.seek(at)
    while at < size and (piece := content.read(_PIECE)):
        if piece.strip(b"\0"):
            return False
        at += len(piece)
    return True
