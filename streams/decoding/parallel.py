"""How many threads decode: one, but for large recordings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.video.stream import VideoStream

MANY_PIXELS = 2560 * 1440
"""From that size on one thread decodes more slowly than the network looks at frames."""

MOST_THREADS = 4
"""Each keeps frames of its own, 12 MB at 4K."""

_CODINGS = frozenset(("hevc",))
"""Not H.264: with several threads libav's decoder gives damaged frames out as whole ones."""


def use_threads(stream: VideoStream) -> None:
    """Decode a recording by several threads, each at a frame of its own, if it is large.

    Frames come out a few packets later, which nobody notices in a recording; live, that would be
    age. What goes wrong is reported as late, and no longer says with which packet.
    """
    context = stream.codec_context
    if context.name in _CODINGS and context.width * context.height >= MANY_PIXELS:
        context.thread_type = "FRAME"
        context.thread_count = min(MOST_THREADS, cpus())


def cpus() -> int:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
