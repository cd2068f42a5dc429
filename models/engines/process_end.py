"""Detections in threads, and the end of the process, which waits for those that have begun.

C++ that comes back (from an inference, from OpenCV) to an interpreter which is gone aborts the
process. So the end waits until no detection is under way, and threads begin none any more.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_WAIT_S = 5.0
"""Longest wait of the process's end for detections that have begun."""


class EndGate:
    """Lets any number of detections run at once, and no thread begin one while the process ends."""

    def __init__(self) -> None:
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._changed = threading.Condition()
        self._running = 0
        self._ending = False

    @contextmanager
    def working(self) -> Iterator[None]:
        """Around a detection. Once the process ends, a thread stops here for good; the main one
        goes on: what it does then comes before the interpreter's own end."""
        with self._changed:
            while self._ending and threading.current_thread() is not threading.main_thread():
                self._changed.wait()
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running = max(0, self._running - 1)  # forked in the middle of it
                self._changed.notify_all()

    def end(self, longest_wait_s: float = LONGEST_WAIT_S) -> None:
        """The process ends: let no thread begin, and wait until nothing runs."""
        with self._changed:
            self._ending = True
            self._changed.wait_for(lambda: not self._running, longest_wait_s)

    def after_in_child(self) -> None:
        """A forked child begins anew: whoever ran is not here."""
        self._begin_anew()


gate = EndGate()
"""The one of this process."""

atexit.register(gate.end)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=gate.after_in_child)
