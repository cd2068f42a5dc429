"""An Ogg's packets at their own times, and where its pages show that some are missing.

libav leaves out a page whose checksum is wrong, goes on at the next one and gives its first frame
the time of those that were lost. The pages of a stream are numbered, each says how long its packets
are, and its granule position how many frames there are up to its end (RFC 3533, 6; Theora
specification, A.2.3; the mapping of VP8 is that of libav's own writer).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import av

from oneglance.streams.files.containers.checked import CheckedPackets, read_on
from oneglance.streams.files.layout import Wrong

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

PAGE = b"OggS"
_BEGIN = PAGE + b"\0"  # of the only version
_HEAD, _LONGEST_TABLE = 27, 255
_CONTINUED, _LAST = 1, 4
_PIECE = 1 << 16
_UNKNOWN = (1 << 64) - 1
_SHOWN = 0x10
"""Of the first byte of a VP8 frame (RFC 6386, 9.1)."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page from byte ``begin`` to ``end`` of the file, its content from ``content`` on.

    ``lengths`` of the packets in it, in bytes that lie there. ``is_continued``: the first began
    before; ``continues``: the last goes on behind it. ``granule``: None where no packet ends there.
    ``is_last``: of its stream.
    """

    begin: int
    content: int
    end: int
    serial: bytes
    number: int
    granule: int | None
    is_last: bool
    lengths: tuple[int, ...]
    is_continued: bool
    continues: bool

    @property
    def starts(self) -> int:
        """How many packets begin in it."""
        return len(self.lengths) - self.is_continued


def page_at(content: BinaryIO, at: int) -> Page | None:
    """The page that begins at that byte; None: none does.

    Raises:
        OSError: it cannot be read.
    """
    content.seek(at)
    head = content.read(_HEAD + _LONGEST_TABLE)
    if not head.startswith(PAGE) or len(head) < _HEAD or len(head) < _HEAD + head[_HEAD - 1]:
        return None
    begin = _HEAD + head[_HEAD - 1]
    lengths, length = [], 0
    for lacing in head[_HEAD:begin]:
        length += lacing
        if lacing < _LONGEST_TABLE:
            lengths.append(length)
            length = 0
    continues = begin > _HEAD and head[begin - 1] == _LONGEST_TABLE
    if continues:
        lengths.append(length)
    granule = int.from_bytes(head[6:14], "little")
    return Page(
        at,
        at + begin,
        at + begin + sum(lengths),
        head[14:18],
        int.from_bytes(head[18:22], "little"),
        None if granule == _UNKNOWN else granule,
        bool(head[5] & _LAST),
        tuple(lengths),
        bool(head[5] & _CONTINUED) and bool(lengths),
        continues,
    )


class OggPackets(CheckedPackets):
    """A container that gives the packets of an Ogg's video; see ``look``."""

    def __init__(self, container: InputContainer, file: Path) -> None:
        super().__init__(container, file)
        self._page: Page | None = None
        self._given = 0  # of the packets that begin in it
        self._times: list[int] = []  # of those, where libav's may be wrong

    def demux(self, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
        """Its packets; a frame that only repeats the one before has none.

        Raises:
            av.error.FFmpegError: the container cannot be read on.
        """
        count = _count_of(stream.codec_context.name, stream.codec_context.extradata)
        if count is None:
            yield from self._container.demux(stream)
            return
        with self._file.open("rb", buffering=0) as content:
            with suppress(av.error.InvalidDataError):  # a hole at the end, which its pages show
                for packet in read_on(self._container, stream):
                    if packet.size:
                        self._see(content, packet, count)
                        yield packet
                    elif packet.pts is None:
                        yield packet
            self._see_end(content, count)

    def _see(self, content: BinaryIO, packet: Packet[VideoStream], count: _Count) -> None:
        self._wrong = Wrong.NOTHING
        place = packet.pos
        if place is None:
            return
        try:
            if self._page is None or place != self._page.begin:
                page = page_at(content, place)
                self._wrong = Wrong.NOTHING if page is None else self._before(content, page)
                is_other = page is None or (self._page and self._page.serial != page.serial)
                self._page, self._given, self._times = page, 0, []
                if page is not None and self._wrong and not is_other:
                    self._times = _times(content, page, count)
            number, self._given = self._given, self._given + 1
            if self._times[number : number + 1]:
                packet.pts = packet.dts = self._times[number]
            if self._page and self._page.continues and self._given == self._page.starts:
                packet.is_corrupt |= not _is_joined(content, self._page, packet.size)
        except OSError:
            self._page = None

    def _before(self, content: BinaryIO, following: Page) -> Wrong:
        """Whether packets are missing between the last page and the following one."""
        page = self._page
        is_lost, number, pages = False, None, _pages(content, 0, following.begin)
        if page is not None:
            is_lost, number = self._given < page.starts, page.number + 1
            pages = _pages_behind(content, page, following.begin)
        for each in pages:
            if each.serial == (following if page is None else page).serial:
                is_lost |= number is not None and each.number != number
                # Pages without a frame come first, and say so.
                is_lost |= each != following and each.starts > 0 and each.granule != 0
                number = each.number + 1
        return Wrong.LAYOUT | Wrong.GAP if is_lost else Wrong.NOTHING

    def _see_end(self, content: BinaryIO, count: _Count) -> None:
        """Whether packets are missing behind the last page, and how many."""
        self._wrong, last = Wrong.NOTHING, self._page
        if last is None:
            return
        at, is_lost, has_hole = last.end, self._given < last.starts, False
        try:
            for each in _pages_behind(content, last):
                has_hole |= each.begin != at
                at = each.end
                if each.serial == last.serial:
                    is_lost |= each.starts > 0 or each.number != last.number + 1
                    last = each
            has_hole |= at < content.seek(0, os.SEEK_END)
        except OSError:
            return
        is_cut = has_hole and not last.is_last
        if is_lost or is_cut:
            self._wrong = Wrong.LAYOUT | Wrong.GAP
        if is_cut:
            self._wrong |= Wrong.END
        if last.granule is not None:
            self.end = count.frames(last.granule) + last.continues


def _pages_behind(content: BinaryIO, page: Page, place: int | None = None) -> Iterator[Page]:
    """Those that follow it to the one at ``place`` (None: the end), that one included."""
    return _pages(content, page.end, place, page.content)


def _pages(
    content: BinaryIO, at: int, place: int | None, since: int | None = None
) -> Iterator[Page]:
    """Likewise, of pages from byte ``at`` on; where none begins there, of those after ``since``."""
    since = at + 1 if since is None else since
    while place is None or at <= place:
        page = page_at(content, at)
        if page is not None and (place is None or page.end <= place or at == place):
            yield page
            at, since = page.end, page.content
            continue
        found = _find(content, since, place)
        if found is None or at == place:
            return
        at, since = found, found + 1


def _find(content: BinaryIO, at: int, place: int | None) -> int | None:
    """Where the next page begins, up to that place; None: there is none."""
    kept = b""
    content.seek(at)
    while piece := content.read(_PIECE):
        found = (kept + piece).find(_BEGIN)
        if found >= 0:
            found += at - len(kept)
            return found if place is None else min(found, place)
        at += len(piece)
        kept = piece[1 - len(_BEGIN) :]
        if place is not None and at > place:
            return place
    return place


def _is_joined(content: BinaryIO, page: Page, size: int) -> bool:
    """Whether the last packet that begins in a page was joined from all of its parts."""
    length, number = page.lengths[-1], page.number
    for each in _pages_behind(content, page):
        if each.serial != page.serial:
            continue
        number += 1
        if each.number != number or not each.is_continued:
            return False
        length += each.lengths[0]
        if len(each.lengths) > 1 or not each.continues:
            return length == size
    return length == size


@dataclass(frozen=True, slots=True)
class _Count:
    """``frames``: how many there are up to a granule position. ``lasts``: how many frames a packet
    lasts that begins with that byte."""

    frames: Callable[[int], int]
    lasts: Callable[[bytes], int]


def _times(content: BinaryIO, page: Page, count: _Count) -> list[int]:
    """When each packet that begins in a page is shown, in frames; [] where nothing says so."""
    if page.granule is None:  # a part of one, or of two
        behind = (each for each in _pages_behind(content, page) if each.serial == page.serial)
        end = next((each for each in behind if each.granule is not None), None)
        return [] if end is None or page.is_continued else _begins(content, end, count)[:1]
    begins = _begins(content, page, count)
    return begins[page.is_continued :][: page.starts]


def _begins(content: BinaryIO, page: Page, count: _Count) -> list[int]:
    """When each packet of a page is shown in which one ends."""
    assert page.granule is not None
    lasts, at = [], page.content
    for number, length in enumerate(page.lengths):
        is_part = page.is_continued and number == 0
        content.seek(at)
        lasts.append(1 if is_part or not length else count.lasts(content.read(1)))
        at += length
    ends = len(lasts) - page.continues
    first = count.frames(page.granule) - sum(lasts[:ends])
    return list(accumulate(lasts, initial=first))[: len(lasts)]


def _vp8(granule: int) -> int:
    return (granule >> 32) - (not granule >> 30 & 3)


def _count_of(codec: str, extradata: bytes | None) -> _Count | None:
    """How that coding (libav's name) counts; None: it is not known here."""
    if codec == "vp8":
        return _Count(_vp8, lambda first: int(not first or bool(first[0] & _SHOWN)))
    header = (extradata or b"")[2:44]  # a length stands before it
    if codec != "theora" or header[:7] != b"\x80theora" or len(header) < 42:
        return None
    shift = int.from_bytes(header[40:42], "big") >> 5 & 31
    before = int(header[7:10] < b"\3\2\1")  # it counted from 0
    return _Count(
        lambda granule: (granule >> shift) + (granule & (1 << shift) - 1) + before, lambda _: 1
    )
