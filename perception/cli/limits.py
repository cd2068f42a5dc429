"""Limits of the process below which libraries hang or crash while they are imported."""

from __future__ import annotations

LEAST_BYTES = 1_000_000_000
"""Of address space. With less, OpenBLAS asks for memory without end and without hearing a signal,
or the process ends by a segmentation fault; from here on Python hears that there is none."""


def refusal() -> str | None:
    """Why this process cannot run at all, as a sentence; None where it can."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    if allowed == resource.RLIM_INFINITY or allowed >= LEAST_BYTES:
        return None
    return (
        f"this process may use {allowed / 1e6:.0f} MB of address space (ulimit -v), and oneglance "
        f"needs {LEAST_BYTES / 1e6:.0f} MB at least: raise the limit"
    )
