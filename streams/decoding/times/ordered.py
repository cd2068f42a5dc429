"""Times of showing, of a container whose packets have those of decoding alone."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from oneglance.streams.decoding.times.display_order import Places, places_of
from oneglance.streams.decoding.times.shown_order import ShownAt, ShownOrder
from oneglance.streams.decoding.tracks import period_of
from oneglance.streams.files.integrity import declared_end

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

_KEPT = 128


class OrderedTimes:
    """Sets when the frames of packets are shown: as many are decoded by then."""

    def __init__(self, places: Places, period: float, delay: float = 0.0) -> None:
        """``period``: of a frame, in units of the packets' times; ``delay``: from when the first is
        decoded to when it is shown."""
        self._places, self._period, self.delay = places, period, delay
        self._order = ShownOrder()
        self._held: deque[tuple[int, Packet[VideoStream]]] = deque()
        self._numbers: list[int] = []  # of the last ones, and when they are decoded
        self._times: list[int] = []
        self._next = 0

    def enters(self, packet: Packet[VideoStream], lost: int) -> Iterator[Packet[VideoStream]]:
        """The next one, and how many are missing before it; those whose times are set by now, or
        never will be."""
        number = self._next + lost
        self._next = number + 1
        if packet.dts is None or (self._times and packet.dts < self._times[-1]):
            self._order.is_of_use = False  # its times may be those of showing
        else:
            self._numbers.append(number)
            self._times.append(packet.dts)
        self._held.append((number, packet))
        yield from self._known(self._order.enters(number, self._places(memoryview(packet))))
        if len(self._times) > 2 * _KEPT:
            del self._numbers[:_KEPT], self._times[:_KEPT]

    def rest(self) -> Iterator[Packet[VideoStream]]:
        """Those that are held."""
        yield from self._known(self._order.rest(self._next))

    def _known(self, found: list[ShownAt]) -> Iterator[Packet[VideoStream]]:
        for shown_at in found:
            _, packet = self._held.popleft()
            if shown_at.number is not None and packet.dts is not None:
                packet.pts = round(self._decoded_at(shown_at.number) + self.delay)
            elif self._order.is_of_use:
                packet.pts = None
            packet.is_corrupt |= shown_at.is_wrong
            yield packet

    def _decoded_at(self, number: int) -> float:
        """When that one is decoded, between others where it is missing."""
        at = bisect_left(self._numbers, number)
        if at < len(self._numbers) and self._numbers[at] == number:
            return self._times[at]
        if at == 0 or at == len(self._numbers):
            at = min(at, len(self._numbers) - 1)
            return self._times[at] + (number - self._numbers[at]) * self._period
        steps, length = (row[at] - row[at - 1] for row in (self._numbers, self._times))
        return self._times[at - 1] + (number - self._numbers[at - 1]) * length / steps


def ordered_times(stream: VideoStream) -> OrderedTimes | None:
    """Of a video; None: it is not read here in which order its frames are shown. What begins with
    its first frame, as it has no sound, begins at once."""
    codec, period = stream.codec_context, period_of(stream)
    found = places_of(codec.name, codec.extradata) if codec.name == "h264" else None
    if found is None or not period:
        return None
    return OrderedTimes(found[0], period, delay_of(stream) if _has_sound(stream) else 0.0)


def delay_of(stream: VideoStream) -> float:
    """From when its first frame is decoded to when it is shown, in units of its time base."""
    return stream.codec_context.reorder_depth * (period_of(stream) or 0.0)


def end_of(stream: VideoStream) -> int | None:
    """When the last frame of such a video should end; None: its container does not say."""
    end = declared_end(stream)
    return end if end is None or _has_sound(stream) else round(end - delay_of(stream))


def _has_sound(stream: VideoStream) -> bool:
    return bool(cast("InputContainer", stream.container).streams.audio)
