"""A NUT's packets, and where something lies between them that is no part of a NUT.

libav looks for the next syncpoint behind what it cannot read, without a word. Frames follow one
another with a short head each, or with a packet of NUT's own between them, which begins with a
startcode and its length (NUT Open Container Format, "Syntax").
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from oneglance.streams.decoding.tracks import period_of
from oneglance.streams.files.containers.checked import CheckedPackets
from oneglance.streams.files.layout import Wrong

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

NUT = b"nut/multimedia container\0"
NUT_INDEX = bytes.fromhex("4e58dd672f23e64e")
_STARTCODE, _STARTCODE_LENGTH = b"N", 8
_CHECKED_HEAD = 4096
"""Bytes from which on the head of a packet of NUT's own has a checksum."""
_CHECKSUM = 4
_LATEST_VERSION = 3
"""From the next one on, a frame may have more bytes than libav gives out."""
_LONGEST_HEAD = 48
"""Bytes of a frame's head: a code and at most nine numbers, of which few are longer than a byte."""
_ELIDED = 16
"""Bytes that all frames begin with need not stand in the file."""
_LOST = Wrong.LAYOUT | Wrong.GAP
_HOLE = bytes(4)


class NutPackets(CheckedPackets):
    """A container that gives the packets of a NUT's video; see ``look``."""

    def __init__(self, container: InputContainer, file: Path) -> None:
        super().__init__(container, file)
        self._at = len(NUT)  # where the last frame ends
        self._knows = True

    def demux(self, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
        """Its packets.

        Raises:
            av.error.FFmpegError: the container cannot be read on.
        """
        held: Packet[VideoStream] | None = None
        is_lost = False  # something, before the next
        with self._file.open("rb", buffering=0) as content:
            self._knows = 0 < _header(content)[0] <= _LATEST_VERSION
            for packet in self._container.demux():
                if packet.size and packet.pos is not None:
                    wrong = self._between(content, packet.pos)
                    self._at = packet.pos + packet.size
                    if held is not None:
                        held.is_corrupt |= wrong is _Between.REST
                        yield held
                        held, self._wrong = None, Wrong.NOTHING
                    is_lost |= wrong is not _Between.NOTHING
                if packet.stream_index != stream.index:
                    continue
                if held is not None:
                    yield held
                held = cast("Packet[VideoStream]", packet)
                self._wrong, is_lost = (_LOST if is_lost else Wrong.NOTHING), False
            if held is not None:  # it is empty, and says that nothing follows
                size = content.seek(0, os.SEEK_END)
                index = _index(content, size)
                is_lost |= index is not None and self._at > index  # a frame swallowed it
                is_lost |= self._between(content, size, is_end=True) is not _Between.NOTHING
                self._wrong = _LOST if is_lost else Wrong.NOTHING
                self.end = _end(content, index, stream) if is_lost else None
                yield held

    def _between(self, content: BinaryIO, place: int, *, is_end: bool = False) -> _Between:
        """What lies between the last frame and the content of the one there (or the end)."""
        at = self._at
        if not self._knows or (not is_end and -_ELIDED <= place - at <= _LONGEST_HEAD):
            return _Between.NOTHING
        if place < at - _ELIDED:
            return _Between.REST
        content.seek(at)
        begin = content.read(len(_HOLE))
        while at < place - (0 if is_end else _LONGEST_HEAD):
            after = _after(content, at)
            if after is None or after > place:
                content.seek(at)
                is_index = is_end and content.read(len(NUT_INDEX)) == NUT_INDEX  # cut in itself
                return _Between.NOTHING if is_index else _kind(begin)
            at = after
        return _Between.NOTHING


class _Between(Enum):
    """``REST``: what lies there may be the rest of the frame before, where something is missing."""

    NOTHING = 0
    HOLE = 1
    REST = 2


def _kind(begin: bytes) -> _Between:
    return _Between.HOLE if begin == _HOLE else _Between.REST


def _header(content: BinaryIO) -> tuple[int, int, int]:
    """The version, and how many streams and time bases there are; -1 where it cannot be read."""
    content.seek(len(NUT))
    reader = _Numbers(content.read(_STARTCODE_LENGTH + 64))
    if _length(reader) is None:
        return -1, -1, -1
    version, streams, _distance, bases = (reader.next() for _ in range(4))
    return version or -1, streams or -1, bases or -1


def _index(content: BinaryIO, size: int) -> int | None:
    """Where the index begins, which ends the file with its length and a checksum; None: it does
    not."""
    content.seek(size - 12)
    at = size - int.from_bytes(content.read(8), "big")
    if not 0 <= at < size:
        return None
    content.seek(at)
    return at if content.read(len(NUT_INDEX)) == NUT_INDEX else None


def _end(content: BinaryIO, index: int | None, stream: VideoStream) -> int | None:
    """When the last frame ends, by the index, of a file with one stream; None: it is not known."""
    period = period_of(stream)
    if index is None or _header(content)[1:] != (1, 1) or not period:
        return None
    content.seek(index)
    reader = _Numbers(content.read(_STARTCODE_LENGTH + 64))
    last = None if _length(reader) is None else reader.next()
    return None if last is None else last + round(period)


def _after(content: BinaryIO, at: int) -> int | None:
    """Where the packet of NUT's own ends that begins there; None: none does."""
    content.seek(at)
    reader = _Numbers(content.read(_STARTCODE_LENGTH + 32))
    length = _length(reader)
    return None if length is None else at + reader.at + length


def _length(reader: _Numbers) -> int | None:
    if not reader.content.startswith(_STARTCODE):
        return None
    reader.at = _STARTCODE_LENGTH
    length = reader.next()
    if length is not None and length > _CHECKED_HEAD:
        reader.at += _CHECKSUM
    return length


class _Numbers:
    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0

    def next(self) -> int | None:
        """The number there, seven bits a byte; None: it does not end."""
        value = 0
        for at in range(self.at, len(self.content)):
            value = value << 7 | self.content[at] & 0x7F
            if self.content[at] < 0x80:
                self.at = at + 1
                return value
        return None
