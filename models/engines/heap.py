"""What the C library's heap keeps for itself, and how to have less of it.

glibc has an arena for each thread that asks while others do, and gives little of what was freed in
one back to the system. Elsewhere nothing is done.

https://sourceware.org/glibc/wiki/MallocInternals
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

_ARENA_MAX = -8
"""``M_ARENA_MAX`` of glibc's ``malloc.h``."""


def return_freed_memory() -> None:
    """Give the system back what has been freed (2 ms after a model was loaded).

    What loading freed is kept for the thread that did, and those that detect take more instead:
    6 MB for road4-n in OpenVINO.
    """
    if (trim := _function("malloc_trim")) is not None:
        trim(0)


def limit_arenas(most: int) -> None:
    """Let threads that come share ``most`` arenas: for a program to decide, before it starts them.

    Four workers on two CPUs hold 2 to 5 MB less for it, at the same rate. Who has set
    ``MALLOC_ARENA_MAX`` is left alone.
    """
    if "MALLOC_ARENA_MAX" not in os.environ and (set_ := _function("mallopt")) is not None:
        set_(_ARENA_MAX, most)


def _function(name: str) -> Any:
    """The C library's own; None where it has none of that name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
