"""Recordings played at the speed of the world."""

from __future__ import annotations

import threading
from collections.abc import Callable

BEHIND_S = 1.0
"""Who is later than this has lost the beat: the count begins again from now."""


class RealTimePacer:
    """Lets frames through at the times they were recorded at; ``clock`` in seconds, monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._offset_s: float | None = None

    def due_s(self, timestamp_s: float) -> float:
        """When, on the clock, the frame of ``timestamp_s`` is due; never long before now."""
        now_s = self._clock()
        if self._offset_s is None or self._offset_s + timestamp_s < now_s - BEHIND_S:
            self._offset_s = now_s - timestamp_s
        return self._offset_s + timestamp_s

    def wait_for(self, timestamp_s: float, stopping: threading.Event) -> None:
        """Return when the frame of ``timestamp_s`` is due, or when ``stopping`` is set."""
        stopping.wait(max(0.0, self.due_s(timestamp_s) - self._clock()))
