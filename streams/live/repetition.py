"""A connection that gives again what the one before gave: a recording, and no camera.

Where a web server gives no length, a finished recording ends as a camera does that hangs up, and
is fetched again. What a camera gives then is new; a recording begins with the same bytes and times.
So do images that come in parts (MJPEG), of which there are cameras and recordings, too.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING

import av

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

SURE = 50
"""So many equal packets are no chance; of fewer, all there are. An encoder that starts anew at a
black image may begin like the one before."""

MOST_PACKETS = 1 << 20
"""Of a longer connection nothing is remembered: 4 MB, eleven hours at 25 frames a second."""


class Repetition:
    """What the connections to one address gave, each compared with the one before, packet by
    packet (``Compared`` shows them).
    """

    def __init__(self) -> None:
        self.awaits_end = False
        """Whether it is of interest how the next connection ends."""
        self.has_ended = False
        """Whether this connection ended as its answer had announced."""
        self._is_timed, self._is_believed = True, False
        self._first: int | None = None
        self._is_varied = False
        self._before: array[int] = array("I")
        self._now: array[int] = array("I")
        self._alike = 0  # packets at the beginning of both

    def begin(self, *, is_timed: bool = True) -> None:
        """Another connection is played. ``is_timed``: its times show one play from the next. A
        camera's images have none, so how the connections ended must show it too.
        """
        now, before = self._now, self._before
        if now:  # otherwise nothing has changed: it was the same one, opened otherwise
            self._is_believed = self.has_ended and self._is_varied
        self._is_timed, self.has_ended = is_timed, False
        # Less of the same is no news; its last packet may be one in part.
        if len(now) > len(before) or self._alike < len(now) - 1:
            self._before = now if len(now) < MOST_PACKETS else array("I")
        self._now, self._alike = array("I"), 0
        self._first, self._is_varied = None, False

    def see(self, packet: Packet[VideoStream]) -> None:
        """The next packet of this connection."""
        index, times = len(self._now), f"{packet.pts} {packet.dts}"
        content = zlib.crc32(bytes(packet))
        self._first = content if self._first is None else self._first
        self._is_varied |= content != self._first
        mark = zlib.crc32(times.encode(), content)
        if self._is_same and index < len(self._before) and self._before[index] == mark:
            self._alike += 1
        if index < MOST_PACKETS:
            self._now.append(mark)

    @property
    def _is_same(self) -> bool:
        return len(self._before) > 0 and self._alike == len(self._now)

    @property
    def _can_repeat(self) -> bool:
        return self._is_same and (self._is_timed or self._is_believed)

    @property
    def is_open(self) -> bool:
        """Whether it may be a repetition, and may not: too little came."""
        is_short = len(self._now) < min(SURE, len(self._before))
        return self._can_repeat and is_short

    @property
    def is_sure(self) -> bool:
        """Whether all that came was given by the connection before."""
        return self._can_repeat and not self.is_open

    @property
    def is_whole(self) -> bool:
        """Whether that was all that it gave."""
        if not self._is_same or len(self._now) != len(self._before):
            return False
        # One image may be all that a camera sees, or what stands in for it.
        is_known = self._is_varied and (self._is_believed or self.has_ended)
        return self._is_timed or is_known


class Compared:
    """A container that shows its packets to a ``Repetition`` before it gives them.

    While nobody knows whether it is one, they are held back: ``SURE`` at most.
    """

    def __init__(self, container: InputContainer, repetition: Repetition) -> None:
        self.format = container.format
        self._container, self._repetition = container, repetition

    def demux(self, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
        """The packets of ``stream``.

        Raises:
            av.error.FFmpegError: the container cannot be read on.
        """
        held: list[Packet[VideoStream]] = []
        try:
            for packet in self._container.demux(stream):
                if packet.size:  # the last one says that there are no more
                    self._repetition.see(packet)
                held.append(packet)
                if not self._repetition.is_open:
                    yield from held
                    held.clear()
        except av.error.FFmpegError:
            yield from held
            raise
        yield from held
