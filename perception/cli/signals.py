"""Ctrl-C, a polite kill and a terminal that closes all end a run alike, and end it once."""

from __future__ import annotations

import signal
import time
from types import FrameType

CLOSE_S = 1.0
"""``streams.shutdown.CLOSE_S``: by then a run has let go of everything. Not imported, because
signals are heard before anything else is there."""

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Interrupts:
    """Signal handlers: the first signal interrupts, and what follows while the outputs are closed
    is not heard: half-written files are what people get who are impatient.

    After ``CLOSE_S`` a further one interrupts again.
    """

    def __init__(self) -> None:
        self._first_s: float | None = None

    def install(self) -> None:
        """Hear Ctrl-C, SIGTERM and SIGHUP, unless whoever started us had them ignored (nohup)."""
        for number in _heard():
            signal.signal(number, self._hear)

    def end(self) -> None:
        """The work is done and reported, and the process about to end: nothing is heard any more.

        The interpreter would give each signal its deadly meaning back while threads still end.
        """
        for number in _heard():
            signal.signal(number, signal.SIG_IGN)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        now_s = time.monotonic()
        if self._first_s is None or now_s - self._first_s >= CLOSE_S:
            self._first_s = self._first_s or now_s
            raise KeyboardInterrupt


def _heard() -> list[int]:
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
