"""Times that never run back, whatever the source's do."""

from __future__ import annotations

import math


class MonotonicTimestamps:
    """Presentation times made to run forward, whatever the source's do.

    A single frame whose time lies at or before the last one (two frames of one time) is put
    half a period after it, and the times after it stay as they are. When the next one lies
    before as well (a camera restarted its clock, a counter wrapped, every time is 0), a new
    count begins: frames follow at the distances they have from then on. With ``longest_gap_s``
    a leap forward of more than that is shortened to one period likewise.

    >>> times = MonotonicTimestamps(0.1)
    >>> [round(times.next_s(time_s), 2) for time_s in (5.0, 5.1, -7.0, -6.9, -6.8, -6.5)]
    [5.0, 5.1, 5.15, 5.25, 5.35, 5.65]
    """

    def __init__(self, period_s: float, *, longest_gap_s: float = math.inf) -> None:
        self._period_s = period_s
        self._longest_gap_s = longest_gap_s
        self._offset_s = 0.0
        self._out_of_order = 0
        self._last_s: float | None = None

    def next_s(self, time_s: float) -> float:
        """The time of the next frame, later than every one before it.

        ``time_s``: what the source says; what is no finite number is taken for unknown.
        """
        last_s = self._last_s
        if last_s is None:
            self._last_s = time_s if math.isfinite(time_s) else 0.0
            return self._last_s
        shown_s = time_s + self._offset_s
        if last_s < shown_s <= last_s + self._longest_gap_s and math.isfinite(shown_s):
            self._out_of_order = 0
        else:
            self._out_of_order += 1
            is_glitch = self._out_of_order == 1 and not last_s < shown_s < math.inf
            step_s = self._period_s / 2 if is_glitch else self._period_s
            shown_s = strictly_after(last_s + step_s, last_s)
            if not is_glitch and math.isfinite(time_s):
                self._offset_s = shown_s - time_s
        self._last_s = shown_s
        return shown_s


def strictly_after(time_s: float, last_s: float) -> float:
    """``time_s``, or the least time after ``last_s`` where it is none: for clocks that may show the
    same time twice, and whose frames must never be dated later than they are.

    >>> strictly_after(2.0, 1.0), strictly_after(1.0, 1.0) > 1.0
    (2.0, True)
    """
    return max(time_s, math.nextafter(last_s, math.inf))
