"""An ASF's packets, and where the numbers of its frames show that some are missing.

libav goes on at the next packet of the file that it can read, without a word. Every frame of a
stream (a "media object") has a number, which stands with its length in each part of it (Advanced
Systems Format, 5.2).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from oneglance.streams.files.containers.checked import CheckedPackets
from oneglance.streams.files.layout import Wrong

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_BEFORE_DATA, _BEFORE_DATA_SIZE = 50, 16
"""Bytes of the data's own head, and of its name, which its length follows."""
_LOST = Wrong.LAYOUT | Wrong.GAP
_HEAD = 1 << 16
_LARGEST_PACKET = 1 << 20
_MOST_HELD = 32
_LONGEST_HOLE = 1 << 20
_BEGIN = b"\x82\0\0"
"""Error correction, which packets begin with; libav looks for it."""
_WIDTHS = (0, 1, 2, 4)
"""Bytes of a number by the two bits that say so."""


@dataclass(frozen=True, slots=True)
class MediaObject:
    """A frame that begins in a packet: its ``number``, which comes round after ``most``, and its
    ``size`` in bytes."""

    number: int
    size: int
    most: int


def objects_in(packet: bytes, stream: int) -> list[MediaObject] | None:
    """The frames of that stream that begin in a packet of the file; None: it is none."""
    try:
        return list(_objects(packet, stream))
    except IndexError:
        return None


def _objects(packet: bytes, stream: int) -> Iterator[MediaObject]:
    reader = _Reader(packet)
    flags = reader.number(1)
    if flags & 0x80:  # error correction comes first
        reader.at += flags & 15
        flags = reader.number(1)
    fields = reader.number(1)
    length = reader.coded(flags >> 5) or len(packet)
    reader.coded(flags >> 1)
    end = length - reader.coded(flags >> 3)
    reader.at += 6  # when it is sent, and how long that takes
    payloads = reader.number(1) if flags & 1 else 1
    for _ in range(payloads & 63):
        of = reader.number(1) & 127
        number, offset = reader.coded(fields >> 4), reader.coded(fields >> 2)
        replicated = reader.coded(fields)
        begin = reader.at
        reader.at += replicated
        size = reader.coded(payloads >> 6) if flags & 1 else end - reader.at
        if size < 0 or reader.at + size > len(packet):
            raise IndexError
        if of == stream and offset == 0 and replicated >= 8:
            whole = int.from_bytes(packet[begin : begin + 4], "little")
            yield MediaObject(number, whole, 1 << 8 * _WIDTHS[fields >> 4 & 3])
        reader.at += size


class _Reader:
    def __init__(self, packet: bytes) -> None:
        self._packet = packet
        self.at = 0

    def number(self, width: int) -> int:
        self.at += width
        if self.at > len(self._packet):
            raise IndexError
        return int.from_bytes(self._packet[self.at - width : self.at], "little")

    def coded(self, bits: int) -> int:
        return self.number(_WIDTHS[bits & 3])


class AsfPackets(CheckedPackets):
    """A container that gives the packets of an ASF's video; see ``look``."""

    def __init__(self, container: InputContainer, file: Path) -> None:
        super().__init__(container, file)
        self._place = -1
        self._begun: list[MediaObject] = []  # there, and not given yet
        self._size = 0  # of each packet
        self._begin = 0  # of the first
        self._number = 0  # of the next frame
        self._is_first = True
        self._dts: int | None = None  # of the last
        self._delay = 0  # of what is shown later than it is decoded
        self._held: deque[tuple[Packet[VideoStream], Wrong]] = deque()
        self._steps = 0  # by one, less others: some recorders may number otherwise

    def demux(self, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
        """Its packets.

        Raises:
            av.error.FFmpegError: the container cannot be read on.
        """
        with self._file.open("rb", buffering=0) as content:
            head = content.read(_HEAD)
            self._size, self._begin = _packet_size(head), head.find(_DATA) + _BEFORE_DATA
            for packet in self._container.demux(stream):
                wrong = Wrong.NOTHING
                if packet.size and packet.pos is not None and self._size:
                    wrong = self._see(content, packet, stream.id)
                self._held.append((packet, wrong))
                yield from self._ready(packet.dts)
            yield from self._ready(None)
            self._wrong = self._at_end(content, stream.id)

    def _ready(self, dts: int | None) -> Iterator[Packet[VideoStream]]:
        """Those held that are shown up to that time (None: all): libav makes such a time of that of
        a later packet, so a loss may follow that changes it."""
        held = self._held
        while held and (
            dts is None or held[0][0].pts is None or held[0][0].pts <= dts or len(held) > _MOST_HELD
        ):
            packet, self._wrong = held.popleft()
            if packet.pts is not None and packet.dts is not None and packet.pts > packet.dts:
                self._delay = packet.pts - packet.dts
            yield packet

    def _see(self, content: BinaryIO, packet: Packet[VideoStream], stream: int) -> Wrong:
        place, size = packet.pos, packet.size
        assert place is not None
        try:
            if place != self._place:
                content.seek(place)
                self._begun = objects_in(content.read(self._size), stream) or []
                self._place = place
            found = self._take(size)
            if found is None:  # libav looked further for it
                content.seek(place)
                self._begun = _behind(content.read(_LONGEST_HOLE), self._size, stream, size)
                found = self._take(size)
        except OSError:
            return Wrong.NOTHING
        last, self._dts = self._dts, packet.dts
        number, self._number = self._number, self._number + 1
        if found is None:
            return Wrong.LAYOUT
        if found.most == 1:
            return Wrong.NOTHING
        if self._is_first:
            self._is_first, self._number = False, found.number + 1
            return Wrong.NOTHING if self._is_begin(content, found, stream) else _LOST
        lost, self._number = (found.number - number) % found.most, found.number + 1
        self._steps += -1 if lost else 1
        if not lost or self._steps < 0:
            return Wrong.NOTHING
        if last is not None and packet.dts is not None:
            self._correct(last, packet.dts, lost)
        return _LOST

    def _is_begin(self, content: BinaryIO, found: MediaObject, stream: int) -> bool:
        """Whether no frame begins before the first, nor anything that is no packet lies there."""
        end = self._place + self._size
        for at in range(self._begin, min(end, self._begin + _LONGEST_HOLE), self._size):
            content.seek(at)
            begun = objects_in(content.read(self._size), stream)
            if begun is None or begun:
                return begun is not None and begun[0] == found
        return True

    def _at_end(self, content: BinaryIO, stream: int) -> Wrong:
        """Whether frames begin behind the last one, or something lies there that is no packet."""
        if not self._size or self._is_first:
            return Wrong.NOTHING
        try:
            content.seek(self._begin + _BEFORE_DATA_SIZE - _BEFORE_DATA)
            end = self._begin - _BEFORE_DATA + int.from_bytes(content.read(8), "little")
            end = min(end, content.seek(0, os.SEEK_END))
            for at in range(self._place + self._size, end - self._size + 1, self._size):
                content.seek(at)
                begun = objects_in(content.read(self._size), stream)
                if begun is None or begun:
                    return _LOST
        except OSError:
            return Wrong.NOTHING
        return _LOST if self._begun else Wrong.NOTHING

    def _correct(self, last: int, dts: int, lost: int) -> None:
        """Of what is held, the times that libav made of the packet behind a loss: as long after
        they are decoded as those before, where one of the lost was decoded then."""
        wrong = [each for each, _ in self._held if each.pts is not None and each.pts >= dts]
        for number, packet in enumerate(sorted(wrong, key=lambda each: each.pts or 0), 1):
            packet.pts = last + number * (dts - last) // (lost + 1)
            usual = None if packet.dts is None or not self._delay else packet.dts + self._delay
            if len(wrong) == 1 and usual is not None and last < usual < dts:
                packet.pts = usual

    def _take(self, size: int) -> MediaObject | None:
        """The next frame of that size among those that begin there."""
        at = next((at for at, each in enumerate(self._begun) if each.size == size), None)
        if at is None:
            return None
        found, self._begun = self._begun[at], self._begun[at + 1 :]
        return found


def _behind(content: bytes, packet_size: int, stream: int, size: int) -> list[MediaObject]:
    """The frames of the first packet in which one of that size begins."""
    at = content.find(_BEGIN)
    while at >= 0:
        found = objects_in(content[at : at + packet_size], stream) or []
        if any(each.size == size for each in found):
            return found
        at = content.find(_BEGIN, at + 1)
    return []


def _packet_size(head: bytes) -> int:
    """Bytes of each packet of the file; 0 where it does not say."""
    at = head.find(_PROPERTIES)
    if not 0 <= at <= len(head) - 104:
        return 0
    least, most = (int.from_bytes(head[at + 92 + n : at + 96 + n], "little") for n in (0, 4))
    return least if least == most <= _LARGEST_PACKET else 0
