"""The index of an AVI: which of its frames lies where.

AVI has no times: a frame's place in the index is its time. libav counts the chunks that it finds,
so that all frames after a hole come too early. Format: RIFF AVI, the ``idx1`` chunk.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from pathlib import Path
from typing import BinaryIO

_ENTRY = struct.Struct("<4sIII")
_HEADER = 8
_LARGEST = 64 << 20
_HEAD = 1 << 20
_TRIED = 64


class AviIndex:
    """The index of one file; empty where there is none, or it does not fit."""

    def __init__(self, file: Path, stream: int) -> None:
        """``stream``: the number of the video in the file."""
        self._numbers: dict[int, int] = {}
        self._is_empty: list[bool] = []
        try:
            with file.open("rb") as content:
                self._read(content, b"%02d" % stream)
        except OSError:
            return

    def number(self, place: int) -> int | None:
        """Which frame it is whose bytes begin there; None: none by the index."""
        return self._numbers.get(place)

    def lost_between(self, number: int, other: int | None) -> int:
        """Frames between the two, without those that the recorder left empty; None: to the end."""
        return self._is_empty[number + 1 : other].count(False)

    def _read(self, content: BinaryIO, stream: bytes) -> None:
        size = content.seek(0, os.SEEK_END)
        at = _find_index(content, size)
        if at is None:
            return
        content.seek(at + 4)
        length = min(int.from_bytes(content.read(4), "little"), size - at - _HEADER)
        entries = list(_ENTRY.iter_unpack(content.read(length - length % _ENTRY.size)))
        own = [each for each in entries if each[0][:2] == stream and each[0][2:] in (b"dc", b"db")]
        base = _base(content, entries, at)
        if base is None:
            return
        self._is_empty = [size == 0 for _, _, _, size in own]
        self._numbers = {
            base + offset + _HEADER: number
            for number, (_, _, offset, size) in enumerate(own)
            if size
        }


def _find_index(content: BinaryIO, size: int) -> int | None:
    """Where the last ``idx1`` begins that reaches no further than to the end of the file."""
    begin = max(0, size - _LARGEST)
    content.seek(begin)
    tail = content.read()
    at = tail.rfind(b"idx1")
    while at >= 0:
        length = int.from_bytes(tail[at + 4 : at + _HEADER], "little")
        if length and length % _ENTRY.size == 0 and at + _HEADER + length <= len(tail):
            return begin + at
        at = tail.rfind(b"idx1", 0, at)
    return None


def _base(content: BinaryIO, entries: list[tuple[bytes, int, int, int]], index: int) -> int | None:
    """What the entries count from: the file's beginning or the list of frames."""
    content.seek(0)
    tried = {0, content.read(_HEAD).find(b"movi")}
    if entries:
        _, _, offset, size = entries[-1]
        tried.add(index - (offset + _HEADER + size + size % 2))
    step = max(1, len(entries) // _TRIED)
    fits = Counter({base: _fitting(content, entries[::step], base) for base in tried if base >= 0})
    base, count = fits.most_common(1)[0]
    return base if count * 2 > len(entries[::step]) else None


def _fitting(content: BinaryIO, entries: list[tuple[bytes, int, int, int]], base: int) -> int:
    """How many of the entries lead to a chunk of that name and size."""
    count = 0
    for name, _, offset, size in entries:
        content.seek(base + offset)
        count += content.read(_HEADER) == name + size.to_bytes(4, "little")
    return count
