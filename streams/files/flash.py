"""Where the tags of an FLV show that frames are missing, which libav passes over.

Such a file is a row of tags, each followed by its own length. Where a hole swallowed a head or
such a length, libav goes on at the next tag that it finds (Adobe Flash Video File Format 10.1, E.3
and E.4).
"""

from __future__ import annotations

import bisect
import os
import re
from pathlib import Path
from typing import BinaryIO

from oneglance.streams.files.layout import Wrong

FLASH = b"FLV"
_HEAD, _LENGTH = 11, 4
_KINDS = frozenset((8, 9, 18))
"""Sound, video, data."""
_LIKE_A_HEAD = re.compile(rb"(?s)[\x08\x09\x12](?=.{7}\0\0\0)")
_PIECE = 1 << 20


class TagChecks:
    """Looks at the tags of one file, in their order and each of them once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._at: int | None = None
        """Up to where it was looked at."""
        self._holes: list[int] = []
        self._has_lengths = True

    def look(self, begin: int | None, end: int | None) -> Wrong:
        """See ``Look``."""
        if self._has_lengths:
            try:
                with self._file.open("rb") as content:
                    self._walk(content, begin, end)
            except OSError:
                self._has_lengths = False
        first = bisect.bisect_left(self._holes, begin or 0)
        last = len(self._holes) if end is None else bisect.bisect_left(self._holes, end)
        return Wrong.LAYOUT if first < last else Wrong.NOTHING

    def _walk(self, content: BinaryIO, begin: int | None, end: int | None) -> None:
        """Note where something lies that is no whole tag; a last one that is cut off is none."""
        size = content.seek(0, os.SEEK_END)
        at = self._at
        if at is None:
            content.seek(0)
            head = content.read(9)
            at = int.from_bytes(head[5:9], "big") + _LENGTH
            # Some recorders write other lengths.
            self._has_lengths = head[:3] == FLASH and _after(content, at) is not None
        at = max(at, begin or 0)
        while self._has_lengths and at + _HEAD + _LENGTH <= size and (end is None or at < end):
            after = _after(content, at)
            if after is None and _is_cut_off(content, at, size):
                break
            if after is None:
                self._holes.append(at)
                after = _next(content, at + 1, size)
            at = after
        self._at = at


def _after(content: BinaryIO, at: int) -> int | None:
    """Where the tag ends that begins there, its length behind it included; None: it is none."""
    length = _length(content, at)
    if length is None:
        return None
    content.seek(at + length)
    # By some recorders' count a head has ten bytes.
    stated = int.from_bytes(content.read(_LENGTH), "big")
    return at + length + _LENGTH if stated in (length, length - 1) else None


def _length(content: BinaryIO, at: int) -> int | None:
    content.seek(at)
    head = content.read(_HEAD)
    if len(head) < _HEAD or head[0] & 0x1F not in _KINDS or head[8:] != bytes(3):
        return None
    return _HEAD + int.from_bytes(head[1:4], "big")


def _is_cut_off(content: BinaryIO, at: int, size: int) -> bool:
    length = _length(content, at)
    return length is not None and at + length + _LENGTH > size


def _next(content: BinaryIO, at: int, size: int) -> int:
    """Where the next tag begins after something that is none; or the end."""
    while at + _HEAD + _LENGTH <= size:
        content.seek(at)
        piece = content.read(_PIECE)
        for found in _LIKE_A_HEAD.finditer(piece):
            if _after(content, at + found.start()) is not None:
                return at + found.start()
        at += max(1, len(piece) - _HEAD)
    return size
