"""Waiting in tests: for what happens, never for a while; and time as a busy machine gives it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LONG_S = 60.0
"""Longer than anything that ends takes, even on a busy machine: only what hangs reaches it."""

ENDED_S = 10.0
"""How soon a program that is asked to stop has ended: it is a process of its own, whose share of a
busy machine nobody here can measure. What it must not wait for takes ``LONG_S``."""

_TICK_S = 0.01


class Stopwatch:
    """Seconds since it was made, without those that the machine gave to others.

    A thread of its own only sleeps. By as much as it wakes too late this process could not run,
    and whoever promised to be done within a second could not either. On an idle machine that is
    nothing, and the promise is held to the letter.
    """

    def __init__(self) -> None:
        self._late_s = 0.0
        self._began_s = self._looked_s = time.monotonic()
        self._stopped_s: float | None = None
        self._over = threading.Event()
        threading.Thread(target=self._doze, name="stopwatch", daemon=True).start()

    def _doze(self) -> None:
        while not self._over.wait(_TICK_S):
            now_s = time.monotonic()
            self._late_s += max(0.0, now_s - self._looked_s - 2 * _TICK_S)
            self._looked_s = now_s

    def elapsed_s(self) -> float:
        """What was ours of the time that has passed."""
        if self._stopped_s is not None:
            return self._stopped_s
        now_s = time.monotonic()
        late_s = self._late_s + max(0.0, now_s - self._looked_s - 2 * _TICK_S)
        return now_s - self._began_s - late_s

    def stop(self) -> float:
        """Stop it and end its thread; what it shows then."""
        self._stopped_s = self.elapsed_s()
        self._over.set()
        return self._stopped_s


@contextmanager
def within(promised_s: float) -> Iterator[Stopwatch]:
    """Fail when what is done inside takes longer than promised, by a ``Stopwatch``."""
    watch = Stopwatch()
    try:
        yield watch
    finally:
        took_s = watch.stop()
    assert took_s < promised_s, f"it took {took_s:.2f} s, not less than {promised_s:g} s"


def wait_until(
    done: Callable[[], object], what: object = "it", *, within_s: float = LONG_S
) -> None:
    """Return as soon as ``done``; fail, and say what was waited for, when it never is.

    ``within_s``: by a ``Stopwatch``.
    """
    watch = Stopwatch()
    try:
        while not done():
            if watch.elapsed_s() > within_s:
                reported = what() if callable(what) else what
                raise AssertionError(f"not within {within_s:g} s: {reported}")
            time.sleep(0.005)  # between two looks
    finally:
        watch.stop()
