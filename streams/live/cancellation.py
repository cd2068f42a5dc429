"""Cancellation tokens for calls into libav.

While libav waits for a network it calls its interrupt callback some ten times a second. PyAV's
callback compares the clock with the time-out and has no other way to be cancelled. So PyAV is
given a clock of ours: it shows the time, except to a cancelled thread, for which it is later than
any time-out. Then libav returns, closes its socket and reports that it was interrupted. Tokens
belong to threads, so two connections to one address are cancelled apart.

When the process ends, all calls are cancelled and waited for: a callback into an interpreter that
is gone would crash the process.

A call that does not reach the callback cannot be cancelled: a slow name server, a camera's driver.
With a PyAV that uses another clock, calls end at their time-outs; a test shows it.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from av.container import core

from oneglance.streams import shutdown

_LEAP_S = 1e12
"""Longer than any time-out (``threading.TIMEOUT_MAX`` is some 1e10)."""

_inside: dict[object, tuple[threading.Event, ...]] = {}
"""The cancellation tokens of each ``cancelled_by`` block that a thread is in."""


class _Here(threading.local):
    """Of this thread: its cancellation tokens, and how often libav looked since one was set."""

    tokens: tuple[threading.Event, ...] = ()
    looks = 0


_here = _Here()


@contextmanager
def cancelled_by(*tokens: threading.Event) -> Iterator[None]:
    """In this block, libav's calls by this thread end soon after any of ``tokens`` is set.

    They must have been given a time-out, however long. They raise ``av.error.ExitError``, or
    whatever libav makes of it half-way through a handshake.
    """
    if getattr(core, "time", None) is time:
        vars(core)["time"] = _Clock()
    before, block = _here.tokens, object()
    _here.tokens = _inside[block] = (*before, *tokens)
    try:
        yield
    finally:
        del _inside[block]
        _here.tokens = before


def current_cancellations() -> tuple[threading.Event, ...]:
    """This thread's cancellation tokens: a thread that works for it shall have them too."""
    return _here.tokens


def is_cancelled() -> bool:
    """Whether any of this thread's cancellation tokens is set."""
    return any(token.is_set() for token in _here.tokens)


@atexit.register
def _stop_all() -> None:
    deadline_s = time.monotonic() + shutdown.LIBAV_AT_EXIT_S
    while (blocks := list(_inside.values())) and time.monotonic() < deadline_s:
        for token in {token for tokens in blocks for token in tokens}:
            token.set()
        time.sleep(0.005)


class _Clock:
    """The module ``time`` as PyAV shall see it."""

    def monotonic(self) -> float:
        now_s = time.monotonic()
        if not is_cancelled():
            return now_s
        # Further at each look: PyAV also notes by this clock when a wait begins.
        _here.looks += 1
        return now_s + _here.looks * _LEAP_S

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)
