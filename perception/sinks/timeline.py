"""From capture times to a video's presentation times: pure arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

_FINE_HZ = 90_000
"""Ticks a second that every frame time is resolved with; MPEG's own clock."""

_MOST_HZ = 1_000_000
_RATES = (Fraction(1, 10), Fraction(1000))
_FALLBACK_RATE = Fraction(30)

_JITTER_S = 1.05e-3
"""Matroska rounds times to a millisecond: this near to its place in a constant rate, a frame
belongs there."""


_LONGEST_SAMPLE = 2**31 - 1
"""Ticks that a frame of an MP4 may be shown for: what is longer, libav writes as 1 tick."""

LONGEST_SHOWN_S = 600.0
"""A frame that is to be shown for longer is written again: readers of an unfinished file and
players that seek find one, and no clock is so fine that its ticks overflow."""

LONGEST_GAP_S = 48 * 3600.0
"""A leap in time of more than this is a clock that was set, and not a pause to be filmed."""


class Timeline:
    """Gives frames their ticks: from 0, strictly growing, true to the capture times.

    ``rate``: frames a second, as declared, or a guess when nothing usable was. ``time_base``:
    seconds a tick; a declared rate's period is a whole number of ticks, so that frames of
    30000/1001 a second stay exactly that, and frames off the grid keep their own times.

    A time equal to the last frame's, or less than a period before it, becomes one tick after
    it. When time jumps back farther, or ahead by more than ``LONGEST_GAP_S``, it goes on one
    period after the last frame.

    >>> timeline = Timeline(Fraction(30000, 1001))
    >>> [timeline.tick(time_s) for time_s in (5.0, 5.033, 5.067, 5.09)]
    [0, 3003, 6006, 8100]
    """

    def __init__(self, frame_rate: Fraction | None) -> None:
        usable = frame_rate is not None and _RATES[0] <= frame_rate <= _RATES[1]
        self.rate = frame_rate if usable and frame_rate is not None else _FALLBACK_RATE
        hertz = self.rate.numerator * math.ceil(_FINE_HZ / self.rate.numerator)
        self._has_grid = usable and hertz <= _MOST_HZ
        self.time_base = Fraction(1, hertz if self._has_grid else _FINE_HZ)
        self._period = round(1 / (self.rate * self.time_base))
        self._origin_s: float | None = None
        self._last = -1
        self._longest = min(round(LONGEST_SHOWN_S / self.time_base), _LONGEST_SAMPLE)
        self._longest_gap = round(LONGEST_GAP_S / self.time_base)

    def repeats(self, last: int, tick: int) -> range:
        """When the frame shown at ``last`` is to be written again, the next being at ``tick``."""
        return range(last + self._longest, tick, self._longest)

    def tick(self, timestamp_s: float) -> int:
        """Ticks from the first frame to the one captured at ``timestamp_s``."""
        if self._origin_s is None:
            self._origin_s = timestamp_s
        tick = self._nearest(timestamp_s - self._origin_s)
        if self._last >= 0 and not (
            self._last - self._period <= tick <= self._last + self._longest_gap
        ):
            tick = self._last + self._period
            self._origin_s = timestamp_s - float(tick * self.time_base)
        self._last = max(tick, self._last + 1)
        return self._last

    def _nearest(self, elapsed_s: float) -> int:
        if self._has_grid:
            period_s = float(1 / self.rate)
            place = round(elapsed_s / period_s)
            if abs(elapsed_s - place * period_s) <= min(_JITTER_S, period_s / 4):
                return place * self._period
        return round(elapsed_s * self.time_base.denominator)
