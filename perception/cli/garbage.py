"""The search for garbage waits until a program has started."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def collecting_later() -> Iterator[Callable[[], None]]:
    """Nothing is searched for garbage until what is given is called, and what is there by then
    not before the end.

    Until its first frame a run makes hundreds of thousands of objects, most of them of modules
    that it imports and that stay. To look through them takes 75 ms, the longer part while the
    first frames pass, and nothing else may run meanwhile. A program that has switched the
    collector off is left as it is.
    """
    was_enabled = gc.isenabled()

    def started() -> None:
        if was_enabled and not gc.isenabled():
            gc.freeze()
            gc.enable()

    gc.disable()
    try:
        yield started
    finally:
        if was_enabled:
            gc.unfreeze()
            gc.enable()
