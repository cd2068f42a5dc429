"""What the packets of an MPEG program stream hold of its video, and where they are no row.

A program stream is a row of packs and packets, each of which says where the next one begins
(ISO/IEC 13818-1, 2.5.3 and 2.4.3.6; ISO/IEC 11172-1, 2.4.3).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

PREFIX = b"\0\0\1"
FIRST_CODE = 0xB9
"""From which on start codes are not of the video."""
_END, _PACK = FIRST_CODE, 0xBA
_ELEMENTARY = frozenset((0xBD, *range(0xC0, 0xF0), 0xFD))
"""What the codes of packets end with that libav reads."""
_WINDOW = 1 << 18
_LONGEST_PACK = 14 + 7 + 4
_LONGEST_HEADER = 6 + 16 + 3 + 255
_LONGEST_FILLING = 512
"""Zeros that a recorder may write between two packs; a disk loses as many together."""
_LARGEST_HOLE = 1 << 16
"""Bytes that are lost together at an end; a recorder lays more aside."""
_DISK_SECTOR = 2048
_PTS, _BOTH = 0x80, 0xC0


@dataclass(slots=True)
class Chunk:
    """What one packet holds of the video.

    ``at``: its place among all bytes of the video; ``content``: in the file. ``pts`` and ``dts``
    are those of the first frame that begins in it; ``is_ill``: they are not written as times are.
    ``is_behind_hole``: something is missing before it; ``is_torn``: in it.
    """

    at: int
    size: int
    content: int
    pts: int | None
    dts: int | None
    is_ill: bool
    is_behind_hole: bool
    is_torn: bool

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.at + self.size


class Window:
    """The bytes of a file, read in large pieces."""

    def __init__(self, content: BinaryIO) -> None:
        self._content = content
        self._begin, self._bytes = 0, b""
        self.size = content.seek(0, os.SEEK_END)

    def read(self, at: int, size: int) -> bytes:
        """So many bytes from there on, fewer at the end.

        Raises:
            OSError: they cannot be read.
        """
        inside = at - self._begin
        if inside < 0 or inside + size > len(self._bytes):
            self._content.seek(at)
            self._begin, inside = at, 0
            self._bytes = self._content.read(max(size, _WINDOW))
        return self._bytes[inside : inside + size]

    def find_code(self, at: int) -> int | None:
        """Where the next start code begins; None: there is none."""
        head = self.read(at, len(PREFIX) + 1)
        if head.startswith(PREFIX) and len(head) > len(PREFIX):
            return at
        while len(piece := self.read(at, _WINDOW // 2)) > len(PREFIX):
            found = piece.find(PREFIX, 0, -1)
            if found >= 0:
                return at + found
            at += len(piece) - len(PREFIX)
        return None

    def is_zeros(self, at: int, end: int) -> bool:
        """Whether there is nothing else between the two."""
        return not self.read(at, end - at).strip(b"\0")

    def is_code(self, at: int) -> bool:
        """Whether a start code of the stream begins there."""
        code = self.read(at, len(PREFIX) + 1)
        return code.startswith(PREFIX) and code[len(PREFIX) :] >= bytes((_END,))


class ProgramWalk:
    """The video of one file, as libav finds it: at the next start code behind what is none."""

    def __init__(self, window: Window, stream: int) -> None:
        """``stream``: libav's number of it."""
        self._window = window
        self._code = stream & 0xFF if stream < 0x200 else stream >> 8
        self._at = 0  # of the next among all bytes of the video
        self._expected: int | None = 0  # where the next start code should be
        self._well = self._ill = 0  # times, by how they are written
        self._is_hole = self._is_padded = False
        self._last: Chunk | None = None
        self.is_end_lost = False
        """Whether something follows the last packet that is none, once all chunks were given."""

    def chunks(self) -> Iterator[Chunk]:
        """Of the whole video, in order; what is missing in one is known when the next is asked for.

        Raises:
            OSError: the file cannot be read.
        """
        window, at = self._window, 0
        while (found := window.find_code(at)) is not None:
            header = window.read(found, _LONGEST_HEADER)
            if header[3] < _END:  # one of the video's own
                at = found + len(PREFIX) + 1
                continue
            if found != self._expected:
                self._meet(found)
            if self._last is not None:
                yield self._last
                self._last = None
            at = self._pass(found, header)
        expected = self._expected
        self.is_end_lost = self._is_hole or not (expected is None or self._is_end(expected))
        if self._last is not None:
            if self.is_end_lost:
                self._tear(self._last)
            yield self._last

    def _pass(self, found: int, header: bytes) -> int:
        """Where to go on behind what begins there."""
        if header[3] == _PACK and header[4] >> 6 == 1 and len(header) > _LONGEST_PACK:
            size = 14 + (header[13] & 7)  # most often a packet follows at once
            if header.startswith(PREFIX, size) and header[size + 3] in _ELEMENTARY:
                found, header = found + size, header[size:]
        packet = _parsed(header)
        size = 0 if packet is None else packet.size
        leads_on = header[3] in _ELEMENTARY or self._leads_on(found + size)
        if packet is None or not leads_on:
            self._expected, self._is_hole = None, True
            return found + len(PREFIX) + 1
        if header[3] == self._code:
            self._take(found, packet)
        self._expected = found + size
        return found + size

    def _take(self, found: int, packet: _Packet) -> None:
        content, end = found + packet.begin, min(found + packet.size, self._window.size)
        is_ill = packet.is_ill and self._ill < self._well
        self._ill, self._well = self._ill + packet.is_ill, self._well + (packet.pts is not None)
        is_cut = end < found + packet.size
        size, times = max(0, end - content), (packet.pts, packet.dts)
        self._last = Chunk(self._at, size, content, *times, is_ill, self._is_hole, is_cut)
        self._at, self._is_hole = self._at + size, False

    def _meet(self, found: int) -> None:
        """A start code that is not where it should be."""
        window, expected = self._window, self._expected
        if expected is None or (expected == 0 and window.read(0, 1) != b"\0"):
            return  # some recorders write something of their own before the first
        is_zeros = window.is_zeros(expected, found)
        if is_zeros and found - expected < _LONGEST_FILLING:
            return
        # Writers of MPEG-1 may leave a disk's sectors empty, also before the first frame.
        is_empty = is_zeros and found % _DISK_SECTOR == 0 and window.read(4, 1) < b"\x40"
        self._is_padded |= is_empty and self._at == 0 and self._last is None and expected > 0
        if is_empty and self._is_padded:
            return
        self._is_hole = True
        if self._last is not None:
            self._tear(self._last)

    def _tear(self, chunk: Chunk) -> None:
        """What is wrong behind a chunk may have begun in it."""
        end = chunk.content + chunk.size
        chunk.is_torn |= not self._window.is_zeros(end, end + 4) or self._holds_code(chunk)

    def _holds_code(self, chunk: Chunk) -> bool:
        """Whether what should be a packet's content runs over the next one."""
        content = self._window.read(chunk.content, chunk.size + len(PREFIX))
        at = content.find(PREFIX, 0, -1)
        while at >= 0:
            if content[at + 3] >= _END:
                return True
            at = content.find(PREFIX, at + 3, -1)
        return False

    def _leads_on(self, at: int) -> bool:
        return self._window.is_code(at) or self._window.is_zeros(at, at + 4)

    def _is_end(self, at: int) -> bool:
        """Whether nothing follows but room that a recorder had laid aside."""
        window = self._window
        if at >= window.size or window.read(at - 4, 4) == PREFIX + bytes((_END,)):
            return True
        is_hole = _LONGEST_FILLING <= window.size - at <= _LARGEST_HOLE
        return not is_hole and window.is_zeros(at, at + _LARGEST_HOLE)


class _Packet(NamedTuple):
    """One of the stream's own: its ``size``, and where in it the content begins."""

    size: int
    begin: int = 0
    pts: int | None = None
    dts: int | None = None
    is_ill: bool = False


def _parsed(head: bytes) -> _Packet | None:
    """What begins with those bytes; None: libav does not take it for anything."""
    try:
        if head[3] == _PACK:
            if head[4] >> 6 == 1:
                return _Packet(14 + (head[13] & 7))
            return _Packet(12) if head[4] >> 4 == 2 else None
        if head[3] == _END:
            return _Packet(4)
        size = 6 + (head[4] << 8 | head[5])
        return _elementary(head, size) if head[3] in _ELEMENTARY else _Packet(size)
    except IndexError:
        return None


def _elementary(head: bytes, size: int) -> _Packet | None:
    at = 6
    while at < size and head[at] == 0xFF:  # stuffing
        at += 1
    if at >= size:
        return None
    if head[at] >> 6 == 1:  # how large a buffer must be
        at += 2
    if head[at] >> 6 == 2:
        flags, begin = head[at + 1], at + 3 + head[at + 2]
        at += 3
    else:
        flags = {2: _PTS, 3: _BOTH}.get(head[at] >> 4, 0)
        if not flags and head[at] != 0x0F:
            return None
        begin = at + {0: 1, _PTS: 5, _BOTH: 10}[flags]
    if begin > size:
        return None
    if not flags & _PTS:
        return _Packet(size, begin)
    pts, is_ill = _time(head[at : at + 5]), not _is_time(head[at : at + 5], flags >> 6)
    if flags & _BOTH == _PTS:
        return _Packet(size, begin, pts, pts, is_ill)
    dts, is_ill_too = _time(head[at + 5 : at + 10]), not _is_time(head[at + 5 : at + 10], 1)
    return _Packet(size, begin, pts, dts, is_ill or is_ill_too)


def _time(coded: bytes) -> int:
    high, middle, low = coded[0] >> 1 & 7, coded[1] << 7 | coded[2] >> 1, coded[3] << 7
    return high << 30 | middle << 15 | low | coded[4] >> 1


def _is_time(coded: bytes, mark: int) -> bool:
    return coded[0] >> 4 == mark and bool(coded[0] & coded[2] & coded[4] & 1)
