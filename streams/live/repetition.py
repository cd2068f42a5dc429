"""A connection that gives again what the one before gave: a recording, and no camera.

Where a web server gives no length, a finished recording ends as a camera does that hangs up, and
is fetched again. What a camera gives then is new; a recording begins with the same bytes and times.
So do images that come in parts (MJPEG), of which there are cameras and recordings, too.
"""

from __future__ import annotations

import time
import zlib
from array import array
from collections.abc import Callable, Iterator
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


HELD_S = 2.0
"""So long at most are equal images held back that may turn out to be the end of a recording."""

MOST_HELD = 1 << 26
"""And so many bytes of them."""


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
        self._may_end_here, self._was_varied = False, False
        self._first: int | None = None
        self._is_varied = False
        self._before: array[int] = array("I")
        self._now: array[int] = array("I")
        self._alike = 0  # packets at the beginning of both

    def begin(self, *, is_timed: bool = True, shows_end: bool = False) -> None:
        """Another connection is played. ``is_timed``: its times show one play from the next. A
        camera's images have none, so how the connections ended must show it too: the one before,
        or this one, where it ``shows_end``.
        """
        now, before = self._now, self._before
        if now:  # otherwise nothing has changed: it was the same one, opened otherwise
            self._is_believed = self.has_ended and self._is_varied
        self._is_timed, self.has_ended = is_timed, False
        # Less of the same is no news; its last packet may be one in part.
        if len(now) > len(before) or self._alike < len(now) - 1:
            self._before = now if len(now) < MOST_PACKETS else array("I")
        self._now, self._alike = array("I"), 0
        self._was_varied = self._is_varied if now else self._was_varied
        self._first, self._is_varied = None, False
        self._may_end_here = shows_end and not is_timed

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
        """Whether it may be a repetition, and may not: too little came, or its end shows it."""
        return self._is_short if self._can_repeat else self.awaits_this_end

    @property
    def awaits_this_end(self) -> bool:
        """Whether images came again, and how this connection ends says what they are of."""
        may_be = self._may_end_here and self._is_same and self._was_varied
        return may_be and not self._is_believed

    def await_no_longer(self) -> None:
        """Whatever its end says, that would be too late."""
        self._may_end_here = False

    @property
    def is_sure(self) -> bool:
        """Whether all that came was given by the connection before."""
        return self._can_repeat and not self._is_short

    @property
    def _is_short(self) -> bool:
        return len(self._now) < min(SURE, len(self._before))

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

    While nobody knows whether it is one, they are held back: ``SURE`` at most; images whose end
    shows it for ``HELD_S``. Those are left out where they were one.
    """

    def __init__(
        self,
        container: InputContainer,
        repetition: Repetition,
        *,
        has_ended: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``has_ended``: whether what came to an end did so as its answer had announced."""
        self.format = container.format
        self._container, self._repetition = container, repetition
        self._has_ended, self._clock = has_ended, clock

    def demux(self, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
        """The packets of ``stream``.

        Raises:
            av.error.FFmpegError: the container cannot be read on.
        """
        held: list[Packet[VideoStream]] = []
        held_bytes, until_s = 0, self._clock() + HELD_S
        try:
            for packet in self._container.demux(stream):
                if packet.size:  # the last one says that there are no more
                    self._repetition.see(packet)
                held.append(packet)
                held_bytes += packet.size
                if held_bytes > MOST_HELD or self._clock() > until_s:
                    self._repetition.await_no_longer()
                if not self._repetition.is_open:
                    yield from held
                    held.clear()
        except av.error.FFmpegError as error:
            if not self._is_repetition(held, stream, error):
                yield from held
            raise
        if not self._is_repetition(held, stream):
            yield from held

    def _is_repetition(
        self,
        held: list[Packet[VideoStream]],
        stream: VideoStream,
        error: av.error.FFmpegError | None = None,
    ) -> bool:
        """Whether what is held back at the end was given before, and the end shows it."""
        if not (held and self._repetition.awaits_this_end):
            return False
        # A closing boundary is no image, and what libav says of it is no end yet.
        if isinstance(error, av.error.InvalidDataError) and self._goes_on(stream):
            return False
        if not self._has_ended():
            return False
        self._repetition.has_ended = True
        return self._repetition.is_whole

    def _goes_on(self, stream: VideoStream) -> bool:
        try:
            return any(packet.size for packet in self._container.demux(stream))
        except av.error.FFmpegError:
            return False
