"""Matroska's elements, and the checksums of its clusters, which libav does not check.

A cluster holds some seconds of frames. Its checksum shows that a byte of it is wrong, and not
which (RFC 9559, 5.1.3; RFC 8794, 11.3.1).
"""

from __future__ import annotations

import bisect
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from oneglance.streams.files.layout import Wrong

EBML, SEGMENT, CLUSTER = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"

_CHECK = b"\xbf\x84"
"""How content that is checked begins: with an element of four bytes."""

HOLE = b""
"""What is called an element and is none."""

_TOP = frozenset(
    (
        *(b"\x11\x4d\x9b\x74", b"\x15\x49\xa9\x66", b"\x16\x54\xae\x6b", CLUSTER),
        *(b"\x1c\x53\xbb\x6b", b"\x19\x41\xa4\x69", b"\x10\x43\xa7\x70"),
        *(b"\x12\x54\xc3\x67", b"\xec", b"\xbf"),
    )
)
"""What a segment is made of, and a cluster."""
_BLOCK, _GROUP = b"\xa3", b"\xa0"
_BLOCKS = frozenset((_BLOCK, b"\xa1"))
_IN_CLUSTER = frozenset(
    (b"\xe7", _BLOCK, _GROUP, b"\xa7", b"\xab", b"\xec", b"\xbf", b"\x58\x54", b"\xaf")
)

_NUMBERS = frozenset((b"\xe7", b"\xa7", b"\xab"))
"""Of those, what is a number: a cluster's time, its place and the size of the one before it."""
_HEADS = frozenset((b"\x15\x49\xa9\x66", b"\x16\x54\xae\x6b"))
"""What is said of the file and its tracks; all else is about finding places in it."""
_TRACKS, _TRACK, _TRACK_NUMBER = b"\x16\x54\xae\x6b", b"\xae", b"\xd7"

_IN_GROUP = frozenset((b"\xa1", b"\x9b", b"\xfb", b"\xfa", b"\xa4", b"\x75\xa1", b"\x75\xa2"))

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


def _number(head: bytes) -> int | None:
    """The number, of one byte or more, that begins there; None: none does."""
    width = _width(head[0]) if head else 0
    if not 0 < width <= min(8, len(head)):
        return None
    return int.from_bytes(head[:width], "big") & ((1 << 7 * width) - 1)


def _width(lead: int) -> int:
    """Bytes of the number that begins with this byte; 9 when it cannot begin one."""
    return 9 - lead.bit_length()


class ClusterChecks:
    """Looks at the clusters of one file, each of them once.

    Checksums are believed if one of those nearby is right. A hole may swallow the heads of blocks
    and of clusters; libav goes on at the next cluster without a word.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._elements: list[Element] | None = None
        self._tracks: frozenset[int] = frozenset()
        self._are_right: dict[int, bool | None] = {}
        self._found: dict[int, Wrong] = {}

    def look(self, begin: int | None, end: int | None) -> Wrong:
        """See ``Look``."""
        try:
            with ExitStack() as files:
                return self._look(lambda: files.enter_context(self._file.open("rb")), begin, end)
        except OSError:
            return Wrong.NOTHING

    def is_header_wrong(self) -> bool:
        """Whether what says how its times and tracks are to be read is not as it was written."""
        try:
            with self._file.open("rb") as content:
                self._list(content)
                heads = [at for at, each in enumerate(self._elements or ()) if each.name in _HEADS]
                return any(
                    self._is_right(content, at) is False and self._can_trust(content, at)
                    for at in heads
                )
        except OSError:
            return False

    def _list(self, content: BinaryIO) -> None:
        if self._elements is None:
            self._elements = list(_in_segment(content))
            self._tracks = _track_numbers(content, self._elements)

    def _look(self, open_: Callable[[], BinaryIO], begin: int | None, end: int | None) -> Wrong:
        if self._elements is None:
            self._list(open_())
        assert self._elements is not None
        count = len(self._elements)
        first, last = self._at(begin or 0), count - 1 if end is None else self._at(end)
        if last < 0:
            return Wrong.NOTHING
        missing = [at for at in range(max(0, first), last + 1) if at not in self._found]
        if missing:
            content = open_()
            for at in missing:
                self._found[at] = self._state(content, at)
        states = [self._found[at] for at in range(max(0, first), last + 1)]
        found = Wrong.NOTHING
        if any(Wrong.LAYOUT in state for state in states):
            found |= Wrong.LAYOUT
            if end is not None and not self._is_row(open_(), begin, end):
                found |= Wrong.GAP
        return found if end is None else found | (states[-1] & Wrong.BYTES)

    def _is_row(self, content: BinaryIO, begin: int | None, end: int) -> bool:
        """Whether nothing is missing between two blocks, or before one."""
        assert self._elements is not None
        if begin is not None:
            after = _end_of_block(content, begin)
            return begin == end or (after is not None and self._leads(content, after, end))
        before = self._elements[: self._at(end)]
        begins = self._elements[len(before)].begin
        return all(each.name != HOLE for each in before) and self._leads(content, begins, end)

    def _at(self, place: int) -> int:
        assert self._elements is not None
        return bisect.bisect_right(self._elements, place, key=lambda each: each.begin) - 1

    def _state(self, content: BinaryIO, at: int) -> Wrong:
        assert self._elements is not None
        element = self._elements[at]
        if element.name == HOLE:
            return Wrong.LAYOUT
        if element.name != CLUSTER or (is_right := self._is_right(content, at)):
            return Wrong.NOTHING
        found = Wrong.NOTHING if self._is_laid_out(content, element) else Wrong.LAYOUT
        if is_right is False and self._can_trust(content, at):
            found |= Wrong.BYTES
        return found

    def _is_right(self, content: BinaryIO, at: int) -> bool | None:
        assert self._elements is not None
        if at not in self._are_right:
            self._are_right[at] = _matches(content, self._elements[at])
        return self._are_right[at]

    def _can_trust(self, content: BinaryIO, wrong: int) -> bool:
        assert self._elements is not None
        others = sorted(range(len(self._elements)), key=lambda at: abs(at - wrong))
        return any(self._is_right(content, at) for at in others[1 : 1 + _ASKED])

    def _leads(self, content: BinaryIO, at: int, place: int) -> bool:
        """Whether one element follows the other from there to the block whose content begins at
        ``place``."""
        while at < place:
            found = element_at(content, at)
            if found is None or found.name not in _TOP | _IN_CLUSTER | _IN_GROUP:
                return False
            if not self._is_sound(content, found):
                return False
            if found.name in _BLOCKS and found.begin == place:
                return True
            if found.name in (CLUSTER, _GROUP):
                at = found.begin
            elif found.end is None:
                return False
            else:
                at = found.end
        return False

    def _is_laid_out(self, content: BinaryIO, cluster: Element) -> bool:
        """Whether a cluster is a row of elements that belong there, to its last byte."""
        assert cluster.end is not None
        at = cluster.begin
        while at < cluster.end:
            found = element_at(content, at)
            if found is None or found.end is None or found.name not in _IN_CLUSTER:
                return False
            if not self._is_sound(content, found):
                return False
            at = found.end
        return at == cluster.end

    def _is_sound(self, content: BinaryIO, found: Element) -> bool:
        """Whether an element can be what it says: libav leaves a cluster at one that cannot."""
        if found.name in _NUMBERS:
            return found.end is not None and found.end - found.begin <= 8
        if found.name != _BLOCK:
            return True
        content.seek(found.begin)
        track = _number(content.read(8))
        return bool(track) and (not self._tracks or track in self._tracks)


def _in_segment(content: BinaryIO) -> Iterator[Element]:
    """Elements, and the holes between them."""
    size = content.seek(0, os.SEEK_END)
    head = element_at(content, 0)
    segment = None if head is None or head.end is None else element_at(content, head.end)
    if head is None or segment is None or (head.name, segment.name) != (EBML, SEGMENT):
        return
    at = segment.begin
    is_all = segment.end is not None and segment.end <= size
    while at + 2 <= size:
        found = element_at(content, at)
        is_long = found is not None and found.end is not None and found.end > size
        is_stream = found is not None and found.end is None
        if found is not None and found.name in _TOP and (is_stream or (is_long and not is_all)):
            return  # it was written as a stream, or is truncated
        if found is None or found.end is None or is_long or found.name not in _TOP:
            after = _next_cluster(content, at + 1, size)
            found = Element(HOLE, at, after)
        yield found
        assert found.end is not None
        at = found.end


def _track_numbers(content: BinaryIO, elements: list[Element]) -> frozenset[int]:
    """Of all tracks; none where they cannot be read."""
    found = set()
    for tracks in elements:
        at, until = tracks.begin, tracks.end or 0
        while tracks.name == _TRACKS and at < until:
            element = element_at(content, at)
            if element is None or element.end is None or element.end > until:
                return frozenset()
            if element.name == _TRACK_NUMBER:
                content.seek(element.begin)
                found.add(int.from_bytes(content.read(element.end - element.begin), "big"))
            at = element.begin if element.name == _TRACK else element.end
    return frozenset(found)


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


def _next_cluster(content: BinaryIO, at: int, size: int) -> int:
    content.seek(at)
    kept = b""
    while piece := content.read(_PIECE):
        found = (kept + piece).find(CLUSTER)
        if found >= 0:
            return content.tell() - len(kept + piece) + found
        kept = (kept + piece)[-3:]
    return size


def _end_of_block(content: BinaryIO, place: int) -> int | None:
    """Where the block ends whose content begins there; None: its head is gone."""
    for width in range(2, min(10, place + 1)):
        found = element_at(content, place - width)
        if found is not None and found.name in _BLOCKS and found.begin == place:
            return found.end
    return None
