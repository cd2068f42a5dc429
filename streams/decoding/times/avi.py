"""Times of the frames of an AVI.

AVI counts packets. Where frames are shown in another order than decoded, where one packet holds two
(packed B-frames) and place holders stand for others, that count is no time of showing; the frames'
own headers have it.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import TYPE_CHECKING

import av

from oneglance.streams.decoding.bitstream import CodedFrame
from oneglance.streams.decoding.nal_units import H264_NUMBERS
from oneglance.streams.decoding.times.display_order import Places, places_of
from oneglance.streams.decoding.times.shown_order import ShownAt, ShownOrder
from oneglance.streams.decoding.times.temporal import FrameTimes, TemporalTimes
from oneglance.streams.decoding.times.vop_times import OwnTimes
from oneglance.streams.files.avi_index import AviIndex

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

_SOUND = 64
"""Chunks of sound, and of what ends a file, behind the last frame."""
_HEAD = 512
_PACKED = re.compile(rb"\0\0\x01\xb2DivX\d+b\d+p")
"""What encoders write in the user data before the first frame of a stream that packs B-frames."""


class OrderTimes:
    """``FrameTimes`` of H.264, whose packets are looked at before."""

    is_certain, ends_in_b = True, False

    def __init__(self, places: Places, index: AviIndex | None) -> None:
        self._places = places
        self.order = ShownOrder() if index is None else ShownOrder(index.is_key)
        self._shown_at: deque[ShownAt] = deque()
        self.is_guess = self.is_wrong = False

    def enters(self, data: memoryview, number: int, is_behind_empty: bool) -> int:
        """The next packet; how many are known by now, in order. ``is_behind_empty``: places before
        it are left empty, which frames do not count."""
        self.order.is_of_use &= not is_behind_empty
        return self._know(self.order.enters(number, self._places(data)))

    def rest(self, end: int) -> int:
        """Likewise, behind the last one, of so many in all."""
        return self._know(self.order.rest(end))

    def _know(self, shown_at: list[ShownAt]) -> int:
        self._shown_at.extend(shown_at)
        return len(shown_at)

    def slots(self, data: memoryview, dts: int) -> list[int]:  # noqa: ARG002 - of ``FrameTimes``
        """See ``FrameTimes``."""
        shown_at = self._shown_at.popleft()
        self.is_guess, self.is_wrong = shown_at.number is None, shown_at.is_wrong
        return [dts if shown_at.number is None else shown_at.number]


def _own_times(stream: VideoStream, index: AviIndex | None) -> FrameTimes | None:
    """What its frames carry themselves; None: nothing that is read here."""
    codec, extradata, time_base = (
        stream.codec_context.name,
        stream.codec_context.extradata,
        stream.time_base,
    )
    if codec == "mpeg4" and time_base is not None:
        return OwnTimes(extradata, time_base)
    if codec in ("mpeg1video", "mpeg2video"):
        return TemporalTimes()
    found = places_of(codec, extradata) if codec == "h264" else None
    return None if found is None else OrderTimes(found[0], index)


@dataclass(slots=True)
class _Entered:
    """A packet's true ``number``, and how many frames a hole swallowed before it."""

    number: int
    lost: int
    lost_key: bool
    is_torn: bool = False


class AviTimes:
    """When the frames of an AVI are shown, which knows their places alone, in its time base."""

    def __init__(self, stream: VideoStream, index: AviIndex | None) -> None:
        """``index``: of its file."""
        self._own, self._index = _own_times(stream, index), index
        self._declared = stream.frames
        self._swallowed = self._next = self._lost = 0
        self._entered: deque[_Entered] = deque()
        self._is_odd = self._knows = self._was_ahead = False
        self._shown_at: list[int] = []
        self.packets = 0
        """Frames up to the last packet, place holders too, which libav passes over."""

    def ahead(self, packets: Iterator[Packet[VideoStream]]) -> Iterator[Packet[VideoStream]]:
        """Those packets, each when it is known when its frame is shown, or never will be.

        Raises:
            av.error.FFmpegError: there is no more to be read of them; those before were given.
        """
        own = self._own if isinstance(self._own, OrderTimes) else None
        held: deque[Packet[VideoStream]] = deque()
        known = 0
        error: av.error.FFmpegError | None = None
        try:
            for packet in packets:
                if packet.dts is None and not packet.size:
                    continue
                lost, number = self._numbered(packet)
                if not self._entered and not self._next:
                    self._next = number - lost  # a part of a file
                    if own is not None:
                        own.order.begins_at(number - lost)
                skipped = number - self._next - lost
                if (lost or skipped > 0) and held and self._is_torn(held[-1]):
                    self._entered[-1].is_torn = True
                    if self._index is not None and not self._index.count:
                        if 0 < self._declared <= number:
                            continue  # what is left of the index, which libav takes for a frame
                        lost, skipped = skipped, 0
                self._next = number + 1
                # The one before is not given before it is known what follows it.
                for _ in range(known):
                    yield held.popleft()
                self._entered.append(_Entered(number, lost, self._has_key(number - lost, number)))
                held.append(packet)
                known = 1 if own is None else own.enters(memoryview(packet), number, skipped > 0)
        except av.error.FFmpegError as raised:
            error = raised
        self._ends(held[-1] if held else None)
        if own is not None:
            own.rest(self._next + self._lost)
        yield from held
        if error is not None:
            raise error

    def _ends(self, last: Packet[VideoStream] | None) -> None:
        """What is missing behind the last one."""
        if self._index is None or last is None:
            return
        self._lost = self._index.lost_between(self._next - 1, None)
        if not self._index.count and self._is_torn(last, within=_SOUND):
            self._lost = max(0, self._declared - self._next)  # the index was lost as well
        if self._lost:
            self._entered[-1].is_torn = self._is_torn(last)

    def _is_torn(self, packet: Packet[VideoStream], *, within: int = 1) -> bool:
        """Whether a hole reaches into the one before what is missing, or may do so; or begins
        behind one of so many chunks that follow."""
        if self._index is None or packet.pos is None:
            return False
        return self._index.is_hole_behind(packet.pos, packet.size, within=within)

    def _has_key(self, begin: int, end: int) -> bool:
        """Whether there may be a key frame among those of these numbers."""
        index = self._index
        return index is not None and any(
            index.is_key(number) is not False for number in range(begin, end)
        )

    def _numbered(self, packet: Packet[VideoStream]) -> tuple[int, int]:
        """How many frames a hole swallowed before that packet, and its true number."""
        index, number = self._index, packet.dts
        if number is None:
            return 0, self._next
        true = None if index is None or packet.pos is None else index.number(packet.pos)
        if index is None or true is None or true < self._next:
            return 0, number + self._swallowed
        self._swallowed = true - number
        return index.lost_between((self._next or min(number, true)) - 1, true), true

    def enters(
        self, packet: Packet[VideoStream], coded: CodedFrame
    ) -> tuple[CodedFrame, int, int | None]:
        """The next of those packets: its frame, with what a hole swallowed before it or reaches
        into; how many that are; and when it is shown: None where its file does not know, or its
        packets hold more than one."""
        entered, data = self._entered.popleft(), memoryview(packet)
        lost, expected = entered.lost, entered.number
        if isinstance(self._own, TemporalTimes) and expected > self.packets + lost:
            self._own = None  # some places are left empty, which groups do not count
        times = None if self._own is None else self._own.slots(data, expected)
        if times is None:
            self._own, times = None, [expected]
        if self._index is not None and self._index.count:  # fewer may follow the last ones
            times = [min(shown_at, max(expected, self._index.count - 1)) for shown_at in times]
        self._is_odd |= len(times) > 1 or _PACKED.search(bytes(data[:_HEAD])) is not None
        self._is_odd |= self._is_out_of_place(times, expected, is_behind_loss=lost > 0)
        # Once it is certain, from a frame on that none is shown before which was decoded earlier.
        self._knows |= self._own is not None and self._own.is_certain and not self._own.ends_in_b
        self._knows &= self._own is not None and not self._is_odd
        is_known = self._knows and len(times) == 1
        is_known &= self._own is None or not self._own.is_guess
        self.packets = max(self.packets, expected + 1)
        for shown_at in times:
            heappush(self._shown_at, shown_at)
        own_time = times[0] if is_known else None
        has_numbers = False
        if isinstance(self._own, OrderTimes):
            packet.pts = own_time
            entered.is_torn |= self._own.is_wrong
            has_numbers = lost < H264_NUMBERS and not entered.lost_key
        if entered.is_torn:
            coded = replace(coded, fault="a hole in its data")
        if lost and not has_numbers:
            coded = replace(coded, lost_before=lost)
        return coded, lost, own_time

    def _is_out_of_place(self, times: list[int], expected: int, *, is_behind_loss: bool) -> bool:
        """Whether a frame is shown when none from its place can be: its film's rate was changed.

        A B-frame is shown one before its place, as the frame that it leans on was decoded before;
        that one at its own place, or as many later as B-frames follow it.
        """
        own, was_ahead, self._was_ahead = self._own, self._was_ahead, False
        if not isinstance(own, OwnTimes | TemporalTimes) or not own.is_certain or len(times) != 1:
            return False
        if own.ends_in_b:
            return times[0] != expected - 1
        self._was_ahead = times[0] > expected
        return times[0] < expected or (was_ahead and not is_behind_loss)

    def ends(self) -> tuple[int, int]:
        """When it ends, and how many frames a hole swallowed behind the last packet."""
        if not self._lost and self._index is not None:  # only place holders follow
            self.packets = max(self.packets, self._index.count)
        return self.packets + self._lost, self._lost

    def next(self) -> int | None:
        """When the next frame of those that entered is shown."""
        return heappop(self._shown_at) if self._shown_at else None
