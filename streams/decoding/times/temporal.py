"""When frames of MPEG-1 and MPEG-2 are shown, in a container that counts packets.

A frame's number in its group is that of showing, and a group begins behind all that was decoded
before it (ISO/IEC 13818-2, 6.3.8 and 6.3.9).
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from oneglance.streams.decoding.times.display_order import places_of

_FRAME = b"\0\0\1\0"
_B = 3
_APART = 16
"""Frames by which showing and decoding may be apart, and more."""


class FrameTimes(Protocol):
    """Times that frames carry themselves, in units of a container that counts packets."""

    is_certain: bool
    """Whether the frames' times count from where the container's do."""
    is_guess: bool
    """Whether nothing shows when the last frame is shown."""

    @property
    def ends_in_b(self) -> bool:
        """Whether the last frame that was read is a B-frame, which is shown when it is decoded."""

    def slots(self, data: memoryview, dts: int) -> list[int] | None:
        """When each frame of a packet is shown, [] for a place holder; ``dts`` is the packet's
        place. None: its frames say no time, or one far from there, and the place must do, for all
        that follow as well."""


class Shown:
    """When frames were shown, and when one is whose head cannot be read: a B-frame, if nothing else
    is shown one before its place, otherwise as long after it as others."""

    def __init__(self) -> None:
        self._ahead: int | None = None
        self._taken: deque[int] = deque(maxlen=2 * _APART)

    def see(self, shown_at: int, dts: int, *, is_b: bool) -> None:
        """One of that place, and when it is shown."""
        if not is_b and dts:
            self._ahead = shown_at - dts
        self._taken.append(shown_at)

    def is_guess(self, dts: int, *, is_b: bool) -> bool:
        """Whether nothing came yet that shows it."""
        return dts > 0 and not is_b and self._ahead is None

    def guess(self, dts: int) -> tuple[int, bool]:
        """When the one of that place is shown, and whether it is a B-frame."""
        is_b = dts > 0 and dts - 1 not in self._taken
        shown_at = self.place(dts, is_b=is_b)
        self._taken.append(shown_at)
        return shown_at, is_b

    def place(self, dts: int, *, is_b: bool) -> int:
        """When one is shown of which no more is known."""
        return dts - 1 if is_b else dts + (self._ahead or 0)


class TemporalTimes:
    """``FrameTimes`` of MPEG-1 and MPEG-2, of one frame a packet."""

    def __init__(self) -> None:
        known = places_of("mpeg2video", None)
        assert known is not None
        self._place, _ = known
        self._origin: int | None = None  # of the last group
        self._shown = Shown()
        self.is_certain = self.is_guess = self.ends_in_b = False

    def slots(self, data: memoryview, dts: int) -> list[int] | None:
        """See ``FrameTimes``."""
        place, at = self._place(data), bytes(data).find(_FRAME)
        if (place is not None and place.begins) or (place is None and dts == 0):
            # Of the first, what would be shown before it may have been cut off.
            is_first = self._origin is None and place is not None
            self._origin, self.is_certain = dts - (place.number if is_first and place else 0), True
        if self._origin is None:
            return None
        self.is_guess = False
        if place is None:
            shown_at, self.ends_in_b = self._shown.guess(dts)
            self.is_guess = self._shown.is_guess(dts, is_b=self.ends_in_b)
            return [shown_at]
        self.ends_in_b = is_b = data[at + 5] >> 3 & 7 == _B
        shown_at = self._origin + place.number
        is_near = shown_at == dts - 1 if is_b else dts <= shown_at <= dts + _APART
        if not is_near:
            shown_at = self._shown.place(dts, is_b=is_b)
            self.is_guess = self._shown.is_guess(dts, is_b=is_b)
            if is_b:  # the head of its group was lost
                self._origin = shown_at - place.number
        self._shown.see(shown_at, dts, is_b=is_b)
        return [shown_at]
