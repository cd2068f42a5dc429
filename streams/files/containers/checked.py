"""What the containers share that say themselves what is missing between their packets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import av

from oneglance.streams.files.layout import Wrong

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

_GIVES_UP = {"mpegts": av.error.BlockingIOError, "ogg": av.error.InvalidDataError}
"""What libav says of a piece in which it found no packet; it can be asked to go on behind it."""
_PIECE = 1 << 16
_TRIES = 1 << 10
"""Pieces that a hole may be long."""


class CheckedPackets:
    """A container that gives the packets of a file's video; see ``look``.

    ``knows_end``: that it, or its container, says when the video should end."""

    knows_end = True

    def __init__(self, container: InputContainer, file: Path) -> None:
        self.format = container.format
        self.end: int | None = None
        """When the last frame ends, once all packets were given; None: it is not known."""
        self._container, self._file = container, file
        self._wrong = Wrong.NOTHING

    def look(self, begin: int | None, end: int | None) -> Wrong:  # noqa: ARG002 - a Look
        """What is wrong before the last packet that was given; see ``Look``."""
        return self._wrong

    def demux(self, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
        """Its packets.

        Raises:
            av.error.FFmpegError: the container cannot be read on.
        """
        raise NotImplementedError


def read_on(
    container: InputContainer | CheckedPackets, stream: VideoStream
) -> Iterator[Packet[VideoStream]]:
    """Its packets, also behind a hole in which libav gives up.

    Raises:
        av.error.FFmpegError: the container cannot be read on, or ends in a hole, or one is longer
            than any.
    """
    gives_up, tries, begin = _GIVES_UP.get(container.format.name), 0, 0
    if gives_up is None:
        yield from container.demux(stream)
        return
    error: av.error.FFmpegError | None = None
    while tries < _TRIES:
        try:
            for packet in container.demux(stream):
                place = packet.pos or 0
                if error is None:
                    begin = place
                elif place - begin >= _PIECE:  # not the one that the hole cut off
                    error, tries = None, 0
                yield packet
            break
        except gives_up as raised:
            error, tries = raised, tries + 1
    if error is not None:
        raise error
