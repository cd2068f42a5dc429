"""Times of frames whose container says some of them only.

What is decoded between two frames with times is counted, and when each is shown follows from its
place in the order of showing. Behind a loss libav goes on counting as if there was none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from oneglance.streams.decoding.times.display_order import Place, places_of
from oneglance.streams.decoding.tracks import period_of
from oneglance.streams.files.layout import Wrong

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

_MOST_HELD = 64
_OFF = 0.5
"""Periods by which a counted time may differ from one that is known."""
_FAR = 10
"""Periods by which one that stands alone is wrong; times of cameras may be uneven."""
_MOST_UNEVEN = 12
_TRIES = 3
"""Misfits after which numbers are taken for other ones."""
_LONGEST = 300
"""Periods between decoding and showing that nobody waits."""


@dataclass(slots=True)
class TimedPacket:
    """``wrong``: before it. ``times``: when it is shown and decoded, by its container. ``place``:
    what its own header says of when it is shown. ``is_ill``: its container's times are none."""

    packet: Packet[VideoStream]
    wrong: Wrong
    times: tuple[int, int] | None
    place: Place | None = None
    is_ill: bool = False


class CountedTimes:
    """Sets the times of a video's packets that have none, or that libav counted over a loss."""

    def __init__(self, stream: VideoStream) -> None:
        context = stream.codec_context
        self._period = period_of(stream) or 0.0
        self._is_counted = context.name not in ("h264", "hevc")  # by libav, where nothing is lost
        self._order = _Order(context.name, context.extradata, self._period)
        self._dts: float | None = None  # of the last frame
        self._is_behind_loss = self._is_unknown = False
        self._uneven = 0  # frames for which steps must be even again until they can be counted
        self._held: list[TimedPacket] = []
        self._off: TimedPacket | None = None  # among them, whose times are not as was counted

    def enters(self, frame: TimedPacket) -> Iterator[TimedPacket]:
        """The next frame; all of which the times are set by now."""
        if not self._period:
            yield frame
            return
        self._is_behind_loss |= bool(frame.wrong) or frame.packet.is_corrupt or frame.is_ill
        if frame.wrong:  # how many are missing behind those held is not known
            yield from self.rest()
            self._order.is_doubtful = True
        frame.place = self._order.place(frame.packet)
        # How many were decoded before it is known behind it, by the next with times.
        self._is_unknown |= bool(frame.wrong) or (frame.place is not None and frame.place.begins)
        self._held.append(frame)
        if frame.times is not None:
            yield from self._meets(frame, frame.times)
        is_held = self._is_unknown or self._off is not None or self._is_ahead(frame)
        if not is_held or len(self._held) > _MOST_HELD:
            yield from self.rest()

    def rest(self) -> Iterator[TimedPacket]:
        """Those that are held."""
        held, self._held, self._off = self._held, [], None
        for frame in held:
            self._set(frame)
            yield frame

    def _meets(self, frame: TimedPacket, times: tuple[int, int]) -> Iterator[TimedPacket]:
        """One that says its times."""
        off, apart = self._off, self._apart(times[1])
        if off is not None and apart <= _OFF * self._period:
            off.times, self._off = None, None  # that one was wrong
        elif off is not None:
            self._held.remove(frame)
            yield from self.rest()
            self._held.append(frame)
            apart = self._apart(times[1])
        if apart > _FAR * self._period and not self._is_unknown:
            self._off = frame
            return
        if not self._is_unknown:
            is_even = apart <= _OFF * self._period
            self._uneven = (
                max(0, self._uneven - 1) if is_even else min(_MOST_UNEVEN, self._uneven + 4)
            )
        self._is_unknown = False
        self._dts = times[1] - len(self._held) * self._period
        self._order.count_back(self._held, times[0])

    def _is_ahead(self, frame: TimedPacket) -> bool:
        """Whether libav took the time of one from a later packet, which has not come: what is
        missing until then is in it."""
        dts = frame.packet.dts
        if self._is_behind_loss or not self._is_counted or dts is None:
            return False
        return any(
            each.times is None and each.packet.pts is not None and each.packet.pts > dts
            for each in self._held
        )

    def _apart(self, dts: int) -> float:
        """How far that is from what was counted for the last that is held."""
        return 0 if self._dts is None else abs(self._dts + len(self._held) * self._period - dts)

    def _set(self, frame: TimedPacket) -> None:
        packet, order = frame.packet, self._order
        self._dts = None if self._dts is None else self._dts + self._period
        if frame.times is not None:
            packet.pts, packet.dts = order.learn(
                frame.place, *frame.times, is_behind_loss=self._is_behind_loss
            )
            self._dts = packet.dts
            return
        if self._is_counted and not self._is_behind_loss and packet.dts is not None:
            self._dts = packet.dts
            if packet.pts is not None:
                order.learn(frame.place, packet.pts, packet.dts)
            return
        if self._dts is None or (self._uneven and not self._is_behind_loss):
            return
        dts = round(self._dts)
        shown = order.shown(frame.place, dts)
        if shown is not None and not order.is_reordered:
            self._dts = dts = shown
        is_counted = self._is_counted and frame.place is None
        if shown is None and is_counted and packet.pts is not None and packet.dts is not None:
            shown = packet.pts + dts - packet.dts
        packet.pts, packet.dts = shown, dts


class _Order:
    """When frames are shown, by their places and the times of some."""

    def __init__(self, codec: str, extradata: bytes | None, period: float) -> None:
        found = places_of(codec, extradata)
        self._places, unit = found or (lambda _data: None, 0.0)
        self._period, self._unit = period, unit * period
        self._origin: float | None = None  # when number 0 is shown
        self._delay: float | None = None  # from when a frame is decoded to when it may be shown
        self._misfits = 0
        self.is_reordered = self.is_doubtful = False
        """Whether frames are shown otherwise than decoded; and whether the one that numbers are
        counted from may have been lost."""

    def place(self, packet: Packet[VideoStream]) -> Place | None:
        """Of the next packet."""
        return self._places(memoryview(packet))

    def shown(self, place: Place | None, dts: int) -> int | None:
        """When one is shown that does not say it; None: it is not known."""
        other = None if self.is_reordered else dts
        if place is None or not self._unit:
            return other
        if place.begins:
            is_known = self._delay is not None and not self.is_doubtful
            self._origin = dts + (self._delay or 0) if is_known else None
        shown = self._at(place, dts)
        # None is shown before it is decoded.
        return other if shown is None or shown < dts - _OFF * self._period else round(shown)

    def count_back(self, held: list[TimedPacket], pts: int) -> None:
        """From the last of those, which says its time, to those behind a loss."""
        place = held[-1].place
        if self.is_doubtful and place is not None:
            self.is_doubtful = False
            if not any(each.place is not None and each.place.begins for each in held):
                self._origin = pts - place.number * self._unit

    def learn(
        self, place: Place | None, pts: int, dts: int, *, is_behind_loss: bool = False
    ) -> tuple[int, int]:
        """From a frame with times; its times, of which one may be wrong."""
        self.is_reordered |= pts != dts
        if place is None:
            return pts, dts
        if place.begins:
            self._delay = pts - place.number * self._unit - dts
        elif (shown := self._at(place, dts)) is not None and not self.is_doubtful:
            if abs(pts - shown) <= _OFF * self._period:
                self._misfits = 0
            elif not 0 <= pts - dts <= _LONGEST * self._period:
                return round(shown), dts
            elif not is_behind_loss:
                self._misfit()
        self._origin = pts - place.number * self._unit
        return pts, dts

    def _at(self, place: Place, dts: float) -> float | None:
        """When what has that place is shown, as near as can be to when it is decoded."""
        if self._origin is None:
            return None
        shown, round_ = self._origin + place.number * self._unit, place.most * self._unit
        rounds = round((dts + (self._delay or 0) - shown) / round_) if round_ else 0
        return shown + rounds * round_

    def _misfit(self) -> None:
        """Numbers do not go with times as they did."""
        self._misfits += 1
        if self._misfits == _TRIES:  # there are encoders that count frames, or fields
            self._unit = self._period if self._unit != self._period else self._period / 2
        elif self._misfits > 2 * _TRIES:
            self._unit = 0.0
