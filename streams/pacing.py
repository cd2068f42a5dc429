"""Recordings played at the speed of the world."""

from __future__ import annotations

import threading
from collections.abc import Callable
from fractions import Fraction

from oneglance.streams.timestamps import MonotonicTimestamps

BEHIND_S = 1.0
"""A frame later than this is due now, and the ones after it are counted from there."""

LONGEST_GAP_S = 10.0
"""A leap in a recording's times of more than this is a splice: nobody waits for it."""

_USUAL_RATE = 30


class RealTimePacer:
    """Lets frames through at the times they were recorded at; ``clock`` in seconds, monotonic.

    ``times``: what makes the recording's times run forward, where they may not.
    """

    def __init__(
        self, clock: Callable[[], float], times: MonotonicTimestamps | None = None
    ) -> None:
        self._clock = clock
        self._times = times
        self._offset_s: float | None = None

    def due_s(self, timestamp_s: float) -> float:
        """When, on the clock, the frame of ``timestamp_s`` is due; never long before now."""
        if self._times is not None:
            timestamp_s = self._times.next_s(timestamp_s)
        now_s = self._clock()
        if self._offset_s is None or self._offset_s + timestamp_s < now_s - BEHIND_S:
            self._offset_s = now_s - timestamp_s
        return self._offset_s + timestamp_s

    def wait_for(self, timestamp_s: float, stopping: threading.Event) -> None:
        """Return when the frame of ``timestamp_s`` is due, or when ``stopping`` is set."""
        stopping.wait(max(0.0, self.due_s(timestamp_s) - self._clock()))


def pacer_for(frame_rate: Fraction | None, clock: Callable[[], float]) -> RealTimePacer:
    """The pace of a recording of that declared rate, whatever its times do: none runs back, and
    no leap of more than ``LONGEST_GAP_S`` (two frames of a slower one) is waited for."""
    period_s = 1 / float(frame_rate or _USUAL_RATE)
    longest_gap_s = max(LONGEST_GAP_S, 2 * period_s)
    return RealTimePacer(clock, MonotonicTimestamps(period_s, longest_gap_s=longest_gap_s))
