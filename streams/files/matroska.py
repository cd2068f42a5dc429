"""Matroska's elements, and the checksums of its clusters, which libav does not check.

A cluster holds some seconds of frames. Its checksum shows that a byte of it is wrong, and not
which (RFC 9559, 5.1.3; RFC 8794, 11.3.1).
"""

from __future__ import annotations

import bisect
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

EBML, SEGMENT, CLUSTER = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"

_CHECK = b"\xbf\x84"
"""How content that is checked begins: with an element of four bytes."""

_PIECE = 1 << 20
_ASKED = 8


@dataclass(frozen=True, slots=True)
class Element:
    """``begin`` of its content and ``end``, in bytes of the file; the end is None where it was
    written as a stream, without a length."""

    name: bytes
    begin: int
    end: int | None


def element_at(content: BinaryIO, at: int) -> Element | None:
    """The element that begins at that byte; None: none does.

    Raises:
        OSError: it cannot be read.
    """
    content.seek(at)
    head = content.read(12)
    if len(head) < 2:
        return None
    id_width = _width(head[0])
    width = _width(head[id_width]) if id_width < len(head) else 0
    if not 0 < id_width <= 4 or not 0 < width <= 8:
        return None
    start = id_width + width
    unknown = (1 << 7 * width) - 1
    length = int.from_bytes(head[id_width:start], "big") & unknown
    begin = at + start
    return Element(head[:id_width], begin, None if length == unknown else begin + length)


def _width(lead: int) -> int:
    """Bytes of the number that begins with this byte; 9 when it cannot begin one."""
    return 9 - lead.bit_length()


class ClusterChecks:
    """Looks up whether what lies at a place in a file is as it was recorded.

    A writer is believed if one of its checksums nearby is right.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._elements: list[Element] | None = None
        self._are_right: dict[int, bool | None] = {}
        self._last, self._is_last_wrong = range(0), False

    def is_wrong(self, place: int) -> bool:
        """Whether the cluster around that byte is not what its checksum says; False where it has
        none, or cannot be read completely."""
        if place not in self._last:
            try:
                with self._file.open("rb") as content:
                    self._last, self._is_last_wrong = self._look(content, place)
            except OSError:
                return False
        return self._is_last_wrong

    def _look(self, content: BinaryIO, place: int) -> tuple[range, bool]:
        """The cluster around a byte, and whether it is wrong."""
        if self._elements is None:
            self._elements = list(_in_segment(content))
        at = bisect.bisect_right(self._elements, place, key=lambda each: each.begin) - 1
        found = self._elements[at] if at >= 0 else None
        if found is None or found.end is None or not found.begin <= place < found.end:
            return range(0), False
        is_wrong = found.name == CLUSTER and self._is_right(content, at) is False
        return range(found.begin, found.end), is_wrong and self._can_trust(content, at)

    def _is_right(self, content: BinaryIO, at: int) -> bool | None:
        assert self._elements is not None
        if at not in self._are_right:
            self._are_right[at] = _matches(content, self._elements[at])
        return self._are_right[at]

    def _can_trust(self, content: BinaryIO, wrong: int) -> bool:
        assert self._elements is not None
        others = sorted(range(len(self._elements)), key=lambda at: abs(at - wrong))
        return any(self._is_right(content, at) for at in others[1 : 1 + _ASKED])


def _in_segment(content: BinaryIO) -> Iterator[Element]:
    head = element_at(content, 0)
    segment = None if head is None or head.end is None else element_at(content, head.end)
    if head is None or segment is None or (head.name, segment.name) != (EBML, SEGMENT):
        return
    size = content.seek(0, os.SEEK_END)
    found = element_at(content, segment.begin)
    while found is not None and found.end is not None and found.end <= size:
        yield found
        found = element_at(content, found.end)


def _matches(content: BinaryIO, element: Element) -> bool | None:
    """Whether it is what its checksum says; None: it has none, or is not all there."""
    assert element.end is not None
    content.seek(element.begin)
    check = content.read(6)
    if len(check) < 6 or check[:2] != _CHECK:
        return None
    left, found = element.end - element.begin - 6, 0
    while left > 0:
        piece = content.read(min(left, _PIECE))
        if not piece:
            return None
        left, found = left - len(piece), zlib.crc32(piece, found)
    return found == int.from_bytes(check[2:], "little")
