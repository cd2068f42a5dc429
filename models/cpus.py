"""How many processors this process may use: not how many the machine has."""

from __future__ import annotations

import math
import os
from pathlib import Path

from oneglance.streams.errors import UsageError

_CGROUP = Path("/sys/fs/cgroup")


def available_cpus(cgroup: Path = _CGROUP) -> int:
    """Processors this process may run on: its affinity mask, capped by its cgroup's quota.

    A container limited to half a processor gets 1. Reads cgroup v2 (``cpu.max``) and v1.
    """
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    quota = _cgroup_quota(cgroup)
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def thread_count(asked: int | None) -> int:
    """``asked``, or every processor this process may use.

    Raises:
        UsageError: fewer than one.
    """
    if asked is not None and asked < 1:
        raise UsageError(f"threads must be at least 1, not {asked}")
    return asked or available_cpus()


def _cgroup_quota(cgroup: Path) -> float | None:
    """Processors' worth of time the cgroup grants; None for no limit."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            words = " ".join((cgroup / name).read_text() for name in files).split()
            quota, period = int(words[0]), int(words[1])
        except (OSError, ValueError, IndexError):
            continue  # absent, or "max": no limit here
        return quota / period if quota > 0 and period > 0 else None
    return None
