"""GIF images, found by the blocks that they are made of.

libav parts a GIF where it finds a graphic control block. An image need not have one, and is then
joined to the one before it and never shown; a comment behind the last image is taken for one. Nor
does its decoder say where an image ends too early: the rest of it is what was there before.
Format: GIF89a (https://www.w3.org/Graphics/GIF/spec-gif89a.txt).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av

from oneglance.streams.decoding.padding import packet_of

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from oneglance.streams.decoding.accounting import DecodeStats

logger = logging.getLogger(__name__)

_SIGNATURES = (b"GIF87a", b"GIF89a")
_SCREEN, _DESCRIPTOR = 13, 10
_EXTENSION, _IMAGE, _TRAILER = _BLOCKS = b"!,;"
_CONTROL = b"!\xf9\x04"
_SHORTEST, _USUAL = 2, 10
"""Hundredths of a second: what is shown for less is shown for the usual time, as libav does."""


@dataclass(frozen=True, slots=True)
class GifImage:
    """``content``: its blocks, with all that stands before it. ``lasts``: hundredths of a second.
    ``hides_all``: nothing of the images before it is seen. ``is_whole``: it has an end."""

    content: bytes
    lasts: int
    hides_all: bool
    is_whole: bool = True


class GifSplitter:
    """Gives out complete images as their bytes come, each when another block follows: otherwise
    zeros inside it would pass for its end. What is no block, and all that follows it, is one more
    image, which is not whole; see ``rest``.

    ``is_complete``: the GIF has ended as it should, and what follows is none of it.
    """

    def __init__(self) -> None:
        self.is_complete = False
        self._held = b""
        self._canvas = (0, 0)

    def feed(self, content: bytes) -> list[GifImage]:
        """The images that are complete with ``content``."""
        self._held += content
        found = []
        while not self.is_complete and (image := self._next()) is not None:
            found.append(image)
        return found

    def rest(self) -> GifImage | None:
        """At the end: what is there of an image that nothing follows. It is whole where nothing
        but the GIF's trailer is missing."""
        if not self._held or self.is_complete:
            return None
        return self._next(is_last=True) or GifImage(self._held, _USUAL, False, is_whole=False)

    def _next(self, *, is_last: bool = False) -> GifImage | None:
        held, at = self._held, 0
        lasts, is_opaque = _USUAL, True
        if held[:6] in _SIGNATURES and len(held) >= _SCREEN:
            self._canvas = _pair(held, 6)
            at = _SCREEN + _table_size(held[10])
        while at < len(held):
            kind = held[at]
            if kind == _EXTENSION:
                if held.startswith(_CONTROL, at) and at + 6 <= len(held):
                    delay = int.from_bytes(held[at + 4 : at + 6], "little")
                    lasts = delay if delay >= _SHORTEST else _USUAL
                    is_opaque = not held[at + 3] & 1
                at = _after_blocks(held, at + 2)
            elif kind == _IMAGE and at + _DESCRIPTOR <= len(held):
                is_all = _pair(held, at + 1) == (0, 0) and _pair(held, at + 5) == self._canvas
                # The table of colours, and a byte for the decoder.
                end = _after_blocks(held, at + _DESCRIPTOR + _table_size(held[at + 9]) + 1)
                is_end = is_last and end == len(held)
                if not is_end and (end >= len(held) or held[end] not in _BLOCKS):
                    return None
                self._held = held[end:]
                return GifImage(held[:end], lasts, is_opaque and is_all)
            else:
                self.is_complete = kind == _TRAILER
                return None
        return None


def _pair(content: bytes, at: int) -> tuple[int, int]:
    first, second = content[at : at + 2], content[at + 2 : at + 4]
    return int.from_bytes(first, "little"), int.from_bytes(second, "little")


def _table_size(flags: int) -> int:
    """Bytes of the table of colours that these flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_blocks(content: bytes, at: int) -> int:
    """Where a row of blocks ends, each with its length before it and an empty one at the end;
    beyond the end of ``content`` where that is not there.
    """
    while at < len(content) and content[at]:
        at += 1 + content[at]
    return at + 1


class GifImages:
    """A container that gives a GIF's packets with one image in each, at its own time."""

    def __init__(self, container: InputContainer, source: str, stats: DecodeStats) -> None:
        """``stats``: learns whether the GIF ended as it should."""
        self.format = container.format
        self._container, self._source, self._stats = container, source, stats
        self._splitter = GifSplitter()
        self._pts = 0

    def demux(self, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
        """A packet for each image.

        Raises:
            av.error.FFmpegError: the container cannot be read on.
        """
        try:
            for packet in self._container.demux(stream):
                for image in self._splitter.feed(bytes(packet)):
                    yield self._packet(image, stream)
        except av.error.FFmpegError:
            yield from self._rest(stream)
            raise
        yield from self._rest(stream)

    def _rest(self, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
        image = self._splitter.rest()
        lacks_marker = image is not None and image.is_whole
        self._stats.is_end_lost = not self._splitter.is_complete and not lacks_marker
        if lacks_marker:
            logger.warning(
                "%s lacks the last byte of a GIF: all of its images are complete, and whether more "
                "followed is not known",
                self._source,
            )
        if image is not None:
            yield self._packet(image, stream)

    def _packet(self, image: GifImage, stream: VideoStream) -> Packet[VideoStream]:
        packet = packet_of(image.content)
        packet.stream = stream
        if stream.time_base is not None:
            packet.time_base = stream.time_base
        packet.pts = packet.dts = self._pts
        packet.duration = image.lasts
        packet.is_keyframe, packet.is_corrupt = image.hides_all, not image.is_whole
        self._pts += image.lasts
        return packet
