"""Inference and ``fork``: a child process must answer or be refused, and never hang.

A forked child has one thread. Whatever lock another thread of the parent held at that moment
stays locked in the child for ever, and an engine's own worker threads are gone. So a fork waits
until no inference and no loading is under way, and an engine is loaded anew in the child. Where
the wait is too long (an inference that is stuck), the child is told so instead.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from oneglance.streams.errors import UsageError

LONGEST_WAIT_S = 5.0
"""Longest wait of a fork for inferences that have begun."""


class ForkGate:
    """Lets any number of inferences run at once, and none while the process forks."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._running = 0
        self._forking = False
        self._busy = False

    @contextmanager
    def working(self) -> Iterator[None]:
        """Around everything that may hold an engine's locks.

        Raises:
            UsageError: this process was forked in the middle of an inference of its parent.
        """
        with self._changed:
            while self._forking:
                self._changed.wait()
            if self._busy:
                raise UsageError(
                    "this process was forked while its parent was in the middle of an inference: "
                    "fork before the first one, or start workers with multiprocessing's 'spawn'"
                )
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def before_fork(self) -> None:
        """Wait until nothing runs, and let nothing begin."""
        self._changed.acquire()
        while self._forking:  # another thread forks at the same time
            self._changed.wait()
        self._forking = True
        end_s = time.monotonic() + LONGEST_WAIT_S
        while self._running and (left_s := end_s - time.monotonic()) > 0:
            self._changed.wait(left_s)
        self._changed.release()

    def after_in_parent(self) -> None:
        """Go on."""
        with self._changed:
            self._forking = False
            self._changed.notify_all()

    def after_in_child(self) -> None:
        """Begin anew: whoever ran or waited is not here any more."""
        busy = self._busy or self._running > 0
        self.__init__()  # type: ignore[misc]  # every lock of the parent's is of no use here
        self._busy = busy


gate = ForkGate()
"""The one of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=gate.before_fork,
        after_in_parent=gate.after_in_parent,
        after_in_child=gate.after_in_child,
    )
