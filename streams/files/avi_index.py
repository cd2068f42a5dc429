"""The index of an AVI: which of its frames lies where.

AVI has no times: a frame's place in the index is its time. libav counts the chunks that it finds,
so that all frames after a hole come too early. Format: RIFF AVI, the ``idx1`` chunk.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

_ENTRY = np.dtype([("name", "S4"), ("flags", "<u4"), ("offset", "<u4"), ("size", "<u4")])
_CHUNK = re.compile(rb"\d\d|..(dc|db|wb)|LI|..ST|JU|..NK|id|..x1|ix|RI|..FF", re.DOTALL)
"""What a chunk begins with, of which some bytes may be wrong."""
_KEY = 0x10
"""Among the flags of a key frame."""
_HEADER = 8
_LARGEST = 64 << 20
_TAIL, _HEAD = 1 << 20, 1 << 20
_TRIED = 64
_LEAST = 8
"""One of so many must lead to a chunk of its own."""

_Entries = npt.NDArray[Any]
"""Of ``_ENTRY``: a day of frames is some forty megabytes so, and ten times as much as tuples."""


class AviIndex:
    """The index of one file; empty where there is none, or it does not fit."""

    def __init__(self, file: Path, stream: int) -> None:
        """``stream``: the number of the video in the file."""
        self._file = file
        self._places = np.empty(0, np.int64)
        self._numbers = np.empty(0, np.int64)
        self._is_filled = self._is_key = np.empty(0, np.bool_)
        try:
            with file.open("rb") as content:
                self._read(content, b"%02d" % stream)
        except OSError:
            return

    @property
    def count(self) -> int:
        """Frames in it, with those that the recorder left empty."""
        return len(self._is_filled)

    def number(self, place: int) -> int | None:
        """Which frame it is whose bytes begin there; None: none by the index."""
        at = int(np.searchsorted(self._places, place, side="right")) - 1
        return int(self._numbers[at]) if at >= 0 and self._places[at] == place else None

    def is_key(self, number: int) -> bool | None:
        """Whether that frame is a key frame; None: it is not in the index."""
        return bool(self._is_key[number]) if 0 <= number < len(self._is_key) else None

    def lost_between(self, number: int, other: int | None) -> int:
        """Frames between the two, without those that the recorder left empty; None: to the end."""
        return int(np.count_nonzero(self._is_filled[number + 1 : other]))

    def is_hole_behind(self, place: int, size: int, *, within: int = 1) -> bool:
        """Whether what lies behind a frame of that place and size, or behind one of so many chunks
        that follow, is nothing that an AVI holds: a hole begins there, or before, inside them."""
        try:
            with self._file.open("rb") as content:
                for _ in range(within):
                    place += size + size % 2
                    content.seek(place)
                    found = content.read(_HEADER)
                    if len(found) < _HEADER or _CHUNK.match(found) is None:
                        return len(found) == _HEADER
                    place, size = place + _HEADER, int.from_bytes(found[4:], "little")
        except OSError:
            return False
        return False

    def _read(self, content: BinaryIO, stream: bytes) -> None:
        size = content.seek(0, os.SEEK_END)
        at = _find_index(content, size)
        if at is None:
            return
        content.seek(at + 4)
        length = min(int.from_bytes(content.read(4), "little"), size - at - _HEADER)
        entries = np.frombuffer(content.read(length - length % _ENTRY.itemsize), _ENTRY)
        base = _base(content, entries, at)
        if base is None:
            return
        own = entries[np.isin(entries["name"], [stream + b"dc", stream + b"db"])]
        self._is_filled = own["size"] > 0
        self._is_key = own["flags"] & _KEY > 0
        numbers = np.flatnonzero(self._is_filled)
        places = base + own["offset"][numbers].astype(np.int64) + _HEADER
        order = np.argsort(places, kind="stable")
        self._places, self._numbers = places[order], numbers[order]


def _find_index(content: BinaryIO, size: int) -> int | None:
    """Where the last ``idx1`` begins that reaches no further than to the end of the file."""
    length = min(_TAIL, size)
    while True:
        begin = size - length
        content.seek(begin)
        tail = content.read()
        at = tail.rfind(b"idx1")
        while at >= 0:
            own = int.from_bytes(tail[at + 4 : at + _HEADER], "little")
            if own and own % _ENTRY.itemsize == 0 and at + _HEADER + own <= len(tail):
                return begin + at
            at = tail.rfind(b"idx1", 0, at)
        if length == min(_LARGEST, size):
            return None
        length = min(4 * length, _LARGEST, size)


def _base(content: BinaryIO, entries: _Entries, index: int) -> int | None:
    """What the entries count from: the file's beginning or the list of frames."""
    content.seek(0)
    tried = {0, content.read(_HEAD).find(b"movi")}
    if len(entries):
        offset, size = int(entries["offset"][-1]), int(entries["size"][-1])
        tried.add(index - (offset + _HEADER + size + size % 2))
    sample = entries[:: max(1, len(entries) // _TRIED)]
    fits = Counter({base: _fitting(content, sample, base) for base in tried if base >= 0})
    base, count = fits.most_common(1)[0]
    # A hole may have taken most of them; chance finds none.
    return base if count * _LEAST > len(sample) else None


def _fitting(content: BinaryIO, entries: _Entries, base: int) -> int:
    """How many of the entries lead to a chunk of that name and size."""
    count = 0
    for entry in entries:
        content.seek(base + int(entry["offset"]))
        count += content.read(_HEADER) == bytes(entry["name"]) + int(entry["size"]).to_bytes(
            4, "little"
        )
    return count
