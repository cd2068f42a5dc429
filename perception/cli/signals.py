"""SIGINT (Ctrl-C), SIGTERM, SIGHUP (a terminal that closes) and SIGXCPU (``ulimit -t``) end a run
alike, and once."""

from __future__ import annotations

import signal
import time
from types import FrameType

CLOSE_S = 1.0
"""``streams.shutdown.CLOSE_S``: by then a run has released everything. Not imported, because
signals are handled before anything else is imported."""

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU")


class Interrupts:
    """Signal handlers: the first one interrupts; further ones while the outputs are closed are
    ignored, because they would leave half-written files.

    After ``CLOSE_S`` another interrupts again.
    """

    def __init__(self) -> None:
        self._first_s: float | None = None

    def install(self) -> None:
        """Handle them, except those that our parent ignores (nohup)."""
        for number in _handled():
            signal.signal(number, self._handle)

    def end(self) -> None:
        """The work is done and reported, and the process is about to end: ignore all signals.

        The interpreter would restore the default handlers, which kill, while threads still end.
        """
        for number in _handled():
            signal.signal(number, signal.SIG_IGN)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        now_s = time.monotonic()
        if self._first_s is None or now_s - self._first_s >= CLOSE_S:
            self._first_s = self._first_s or now_s
            raise KeyboardInterrupt


def _handled() -> list[int]:
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
