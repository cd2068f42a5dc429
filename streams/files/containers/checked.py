"""What the containers share that say themselves what is missing between their packets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from oneglance.streams.files.layout import Wrong

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream


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
