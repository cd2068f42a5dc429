"""SIGINT (Ctrl-C), SIGTERM, SIGHUP (a terminal that closes) and SIGXCPU (``ulimit -t``) end a run
alike, and once."""

from __future__ import annotations

import signal
import sys
import time
from _thread import get_ident, start_new_thread
from contextlib import suppress
from types import FrameType
from weakref import ref

CLOSE_S = 1.0
"""``streams.shutdown.CLOSE_S``: by then a run has released everything. Not imported, because
signals are handled before anything else is imported."""

_AGAIN_S = 0.01
"""By then whoever dropped an interruption has gone on."""

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU")


class Interruption(KeyboardInterrupt):
    """What our handlers raise, wherever the main thread is: also in the middle of an import, of a
    library's ``except:`` or of C code, which drop exceptions."""


class Interrupts:
    """Signal handlers: the first one interrupts; further ones while the outputs are closed are
    ignored, because they would leave half-written files.

    After ``CLOSE_S`` another interrupts again. One that a library dropped before anybody
    ``heard`` it is raised once more, where the main thread has come to. To be made
    on that thread.
    """

    def __init__(self) -> None:
        self._main = get_ident()
        self._first_s: float | None = None
        self._raised: ref[Interruption] | None = None

    def install(self) -> None:
        """Handle them, except those that our parent ignores (nohup)."""
        for number in _handled():
            signal.signal(number, self._handle)
        sys.unraisablehook = _unraisable

    def end(self) -> None:
        """The work is done and reported, and the process is about to end: ignore all signals.

        The interpreter would restore the default handlers, which kill, while threads still end.
        """
        for number in _handled():
            signal.signal(number, signal.SIG_IGN)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        now_s = time.monotonic()
        if self._first_s is None or now_s - self._first_s >= CLOSE_S:
            self._first_s = self._first_s or now_s
            interruption = Interruption()
            self._raised = ref(interruption, lambda _: self._gone(number))
            try:
                raise interruption
            finally:
                del interruption  # its traceback holds this frame, and would keep it alive

    def _gone(self, number: int) -> None:
        """Nobody holds the exception any more, neither as what is raised nor as its context."""
        if _Heard.interruption:
            return
        self._first_s = None
        # Not from here: it would be raised in this callback, which drops exceptions, too.
        with suppress(RuntimeError):  # no thread may be started: the user's next one counts
            start_new_thread(self._raise_again, (number,))

    def _raise_again(self, number: int) -> None:
        time.sleep(_AGAIN_S)
        if hasattr(signal, "pthread_kill"):  # wakes the main thread where it waits
            signal.pthread_kill(self._main, number)
        else:
            signal.raise_signal(number)


class _Heard:
    """Whether an interruption has come to where the command is ended because of it."""

    interruption = False


def heard() -> None:
    """An interruption has come to where it ends the command, and may be forgotten."""
    _Heard.interruption = True


def _unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """Say nothing of an interruption in a finalizer: it is raised again."""
    if not isinstance(unraisable.exc_value, Interruption):
        sys.__unraisablehook__(unraisable)


def _handled() -> list[int]:
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
