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

import av

from oneglance.streams.decoding.times.ordered import OrderedTimes, end_of, ordered_times
from oneglance.streams.decoding.tracks import period_of
from oneglance.streams.files.containers.checked import CheckedPackets
from oneglance.streams.files.layout import Wrong

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

_Looked = tuple["Packet[VideoStream]", Wrong]
"""A packet, and what is wrong before it."""
_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_BEFORE_DATA, _BEFORE_DATA_SIZE = 50, 16
"""Bytes of the data's own head, and of its name, which its length follows."""
_LOST = Wrong.LAYOUT | Wrong.GAP
_HEAD = 1 << 16
_LARGEST_PACKET = 1 << 20
_MOST_HELD = 32
_FIXED = 16
"""Bytes of what every packet says of itself."""
_LONGEST_HOLE = 1 << 20
_OFF = 0.5
"""Periods by which times may be uneven."""
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
    if not any(packet[:_FIXED]):
        return None
    try:
        return list(_objects(packet, stream))
    except IndexError:
        return None


def _objects_before_damage(packet: bytes, stream: int) -> list[MediaObject]:
    found = []
    try:
        for each in _objects(packet, stream):
            found.append(each)  # noqa: PERF402 - it ends where it is damaged
    except IndexError:
        pass
    return found


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
        self._place = self._reached = -1
        self._begun: list[MediaObject] = []  # there, and not given yet
        self._size = 0  # of each packet
        self._begin = 0  # of the first
        self._number = 0  # of the next frame
        self._is_first = True
        self._dts: int | None = None  # of the last
        self._delay = 0  # of what is shown later than it is decoded
        self._held: deque[_Looked] = deque()
        self._ordered: OrderedTimes | None = None
        self._last: Packet[VideoStream] | None = None
        self._error: av.error.FFmpegError | None = None
        self._lost, self._period = 0, 0.0  # frames before the last
        self._steps = 0  # by one, less others: some recorders may number otherwise

    def demux(self, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
        """Its packets.

        Raises:
            av.error.FFmpegError: the container cannot be read on.
        """
        with self._file.open("rb", buffering=0) as content:
            head = content.read(_HEAD)
            self._size, self._begin = _packet_size(head), head.find(_DATA) + _BEFORE_DATA
            last: Packet[VideoStream] | None = None  # what follows may show that it is torn
            for packet, wrong in self._looked_at(content, stream):
                if last is not None:
                    yield last
                last, self._wrong = packet, wrong
            at_end = self._at_end(content, stream.id)
            if last is not None and at_end and not self._begun:
                last.is_corrupt |= self._is_torn(content, self._reached, stream.id)
            if last is not None:
                yield last
            self._wrong = at_end
            if self._error is not None:
                raise self._error

    def _looked_at(self, content: BinaryIO, stream: VideoStream) -> Iterator[_Looked]:
        ordered = self._ordered = ordered_times(stream)
        self._period = period_of(stream) or 0.0
        try:
            for packet in self._container.demux(stream):
                wrong, self._lost = Wrong.NOTHING, 0
                if packet.size and packet.pos is not None and self._size:
                    wrong = self._see(content, packet, stream.id)
                    self._last = packet
                if packet.size or packet.dts is not None:
                    self._held.append((packet, wrong))
                    known = None if ordered is None else ordered.enters(packet, self._lost)
                    yield from self._ready(packet.dts) if known is None else self._known(known)
        except av.error.FFmpegError as error:
            self._error = error
        if ordered is not None:
            yield from self._known(ordered.rest())
            self.end = end_of(stream)
        yield from self._ready(None)

    def _known(self, packets: Iterator[Packet[VideoStream]]) -> Iterator[_Looked]:
        for _ in packets:
            yield self._held.popleft()

    def _ready(self, dts: int | None) -> Iterator[_Looked]:
        """Those held that are shown up to that time (None: all): libav makes such a time of that of
        a later packet, so a loss may follow that changes it."""
        held = self._held
        while held and (
            dts is None or held[0][0].pts is None or held[0][0].pts <= dts or len(held) > _MOST_HELD
        ):
            packet = held[0][0]
            if packet.pts is not None and packet.dts is not None and packet.pts > packet.dts:
                self._delay = packet.pts - packet.dts
            yield held.popleft()

    def _find(self, content: BinaryIO, place: int, size: int, stream: int) -> MediaObject | None:
        """A frame of that size, which libav says begins in the packet there.

        Raises:
            OSError: the file cannot be read.
        """
        if place != self._place:
            content.seek(place)
            self._begun = _objects_before_damage(content.read(self._size), stream)
            self._place, self._reached = place, max(place, self._reached)
        found = self._take(size)
        if found is None:  # it looked further for it, and goes on to say this place
            begin = place if place == self._reached else self._reached + self._size
            content.seek(begin)
            at, self._begun = _behind(content.read(_LONGEST_HOLE), self._size, stream, size)
            found = self._take(size)
            self._reached = self._reached if found is None else begin + at
        return found

    def _see(self, content: BinaryIO, packet: Packet[VideoStream], stream: int) -> Wrong:
        assert packet.pos is not None
        before = self._reached if not self._begun else None
        try:
            found = self._find(content, packet.pos, packet.size, stream)
            wrong = self._numbered(content, packet, found, stream)
            if self._lost and self._last is not None and before is not None:
                self._last.is_corrupt |= self._is_torn(content, before, stream)
        except OSError:
            return Wrong.NOTHING
        return wrong

    def _numbered(
        self,
        content: BinaryIO,
        packet: Packet[VideoStream],
        found: MediaObject | None,
        stream: int,
    ) -> Wrong:
        """What is wrong before that packet, by the number of its frame."""
        last, self._dts = self._dts, packet.dts
        number, self._number = self._number, self._number + 1
        if found is None or found.most == 1:
            self._lost = max(0, round(self._periods(last, packet.dts)) - 1) if found is None else 0
            self._number += self._lost
            return Wrong.LAYOUT if found is None else Wrong.NOTHING
        if self._is_first:
            self._is_first, self._number = False, found.number + 1
            if self._is_begin(content, found, stream):
                return Wrong.NOTHING
            self._lost = round(self._periods(0, packet.dts))
            if self._ordered is not None:
                self._ordered.delay = 0.0  # times count what is missing before the first
            return _LOST
        lost, self._number = (found.number - number) % found.most, found.number + 1
        self._steps += -1 if lost else 1
        takes_as_long = abs(self._periods(last, packet.dts) - lost - 1) < _OFF
        if not lost or (self._steps < 0 and not takes_as_long):
            return Wrong.NOTHING
        self._lost = lost
        if self._ordered is None and last is not None and packet.dts is not None:
            self._correct(last, packet.dts, lost)
        return _LOST

    def _periods(self, last: int | None, dts: int | None) -> float:
        """From one packet to another, as far as that is known."""
        if last is None or dts is None or not self._period:
            return 0.0
        return (dts - last) / self._period

    def _is_torn(self, content: BinaryIO, reached: int, stream: int) -> bool:
        """Whether what the last frame lies in, which is the last that begins in the packet there,
        or what follows is no packet: a hole begins behind the frame, or before its end."""
        content.seek(reached)
        at, found = reached, objects_in(content.read(self._size), stream)
        while found is not None and (at == reached or not found):
            at += self._size  # the rest of the frame
            packet = content.read(self._size)
            if len(packet) < self._size:
                return False
            found = objects_in(packet, stream)
        return found is None

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
            for at in range(self._reached + self._size, end - self._size + 1, self._size):
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


def _behind(
    content: bytes, packet_size: int, stream: int, size: int
) -> tuple[int, list[MediaObject]]:
    """The first packet in which a frame of that size begins, and all that begin in it."""
    at = content.find(_BEGIN)
    while at >= 0:
        found = _objects_before_damage(content[at : at + packet_size], stream)
        if any(each.size == size for each in found):
            return at, found
        at = content.find(_BEGIN, at + 1)
    return 0, []


def _packet_size(head: bytes) -> int:
    """Bytes of each packet of the file; 0 where it does not say."""
    at = head.find(_PROPERTIES)
    if not 0 <= at <= len(head) - 104:
        return 0
    least, most = (int.from_bytes(head[at + 92 + n : at + 96 + n], "little") for n in (0, 4))
    return least if least == most <= _LARGEST_PACKET else 0
