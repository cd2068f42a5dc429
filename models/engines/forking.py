"""Inference and ``fork``: a child process must answer or be refused, and never hang.

A forked child has one thread. Whatever lock another thread of the parent held at that moment
stays locked in the child for ever, and an engine's own worker threads are gone. So a fork waits
until no inference and no loading is under way, and an engine is loaded anew in the child. Where
the wait is too long (an inference that is stuck), the child gets an error instead, and so it does
where loading never ends: an engine's threads hold locks of their own for a moment after their
work, which a fork waits out but cannot see.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from oneglance.streams.errors import ModelError, UsageError

T = TypeVar("T")

LONGEST_WAIT_S = 5.0
"""Longest wait of a fork for inferences that have begun."""

SETTLES_S = 0.05
"""How long after an inference its threads are given to go to sleep, before a fork."""

LONGEST_LOAD_S = 30.0
"""Longest wait in a child for its engine to be loaded anew."""


class ForkGate:
    """Lets any number of inferences run at once, and none while the process forks."""

    def __init__(self) -> None:
        self._begin_anew(busy=False)

    def _begin_anew(self, *, busy: bool) -> None:
        self._changed = threading.Condition()  # re-entrant: a signal handler may fork
        self._running = 0
        self._ended_s = -math.inf
        self._forking = False
        self._forked_busy = busy

    @contextmanager
    def working(self) -> Iterator[None]:
        """Around everything that may hold an engine's locks.

        Raises:
            UsageError: this process was forked in the middle of an inference of its parent.
        """
        with self._changed:
            while self._forking:
                self._changed.wait()
            if self._forked_busy:
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
                self._ended_s = time.monotonic()
                self._changed.notify_all()

    def before_fork(self, longest_wait_s: float = LONGEST_WAIT_S) -> None:
        """Let nothing begin, and wait until nothing runs."""
        with self._changed:
            while self._forking:  # another thread forks at the same time
                self._changed.wait()
            self._forking = True
            self._changed.wait_for(lambda: not self._running, longest_wait_s)
            settled_s = self._ended_s + SETTLES_S
        time.sleep(max(0.0, settled_s - time.monotonic()))

    def after_in_parent(self) -> None:
        """Go on."""
        with self._changed:
            self._forking = False
            self._changed.notify_all()

    def after_in_child(self) -> None:
        """Begin anew: whoever ran or waited is not here any more."""
        self._begin_anew(busy=self._forked_busy or self._running > 0)


gate = ForkGate()
"""The one of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=gate.before_fork,
        after_in_parent=gate.after_in_parent,
        after_in_child=gate.after_in_child,
    )


def loaded_anew(load: Callable[[], T], file: Path, *, longest_s: float = LONGEST_LOAD_S) -> T:
    """What ``load`` returns or raises, in a child process.

    Raises:
        ModelError: it does not end.
    """
    outcome: Future[T] = Future()

    def work() -> None:
        try:
            outcome.set_result(load())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            outcome.set_exception(error)

    threading.Thread(target=work, name="oneglance-load", daemon=True).start()
    if not wait([outcome], longest_s).done:
        raise ModelError(
            f"{file} cannot be loaded anew in this process, which was forked (no answer within "
            f"{longest_s:g} s): start workers with multiprocessing's 'spawn'"
        )
    return outcome.result()


def stamp(file: Path) -> tuple[int, int]:
    """What changes when a file is written anew: its size, and when that was.

    Raises:
        ModelError: it is gone.
    """
    try:
        found = file.stat()
    except OSError as error:
        raise ModelError(f"cannot read model {file}: {error.strerror}") from None
    return found.st_size, found.st_mtime_ns


def check_unchanged(file: Path, before: tuple[int, int]) -> None:
    """See that a model which is to be loaded anew is still the one of that ``stamp``.

    Raises:
        ModelError: it is not.
    """
    if stamp(file) != before:
        raise ModelError(f"{file} was changed since it was loaded: load it again in this process")
