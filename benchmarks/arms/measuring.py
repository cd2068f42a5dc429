"""What an arm measures of itself.

Standard library only: a peer's environment imports it too.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

MARK = "@@arm "
"""Begins the one line of standard output that is the arm's answer, a JSON object."""

STARTED = "ONEGLANCE_BENCH_STARTED_S"
"""Environment variable: the monotonic clock when the arm's process was asked for."""

_ENERGY = Path("/sys/class/powercap/intel-rapl:0/energy_uj")


class TooFewFrames(Exception):
    """The clip ended before enough frames were timed."""


def answer(**figures: Any) -> None:
    """Print the arm's answer, with what every arm reports: its peak memory and CPU time."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "peak_mb": peak_memory_mb(),
        "cpu_s": own.ru_utime + own.ru_stime,
        **figures,
    }
    print(MARK + json.dumps(figures), flush=True)


def intervals_ms(stamps_s: Sequence[float], *, warmup: int) -> list[float]:
    """Milliseconds between stamps, the first ``warmup`` frames left out.

    ``n`` stamps give ``n - 1 - warmup`` intervals.

    Raises:
        TooFewFrames: no interval is left.

    >>> intervals_ms([0.0, 9.0, 9.1, 9.3], warmup=1)
    [100.0, 200.0]
    """
    timed = [round(1e3 * (b - a), 4) for a, b in pairwise(stamps_s)][warmup:]
    if not timed:
        raise TooFewFrames(
            f"the clip ended after {len(stamps_s)} frames; {warmup + 2} are needed to time one "
            f"after {warmup} for warm-up"
        )
    return timed


def since_started_s() -> float | None:
    """Seconds since this process was asked for; None when nobody noted the time."""
    started = os.environ.get(STARTED)
    return None if started is None else time.monotonic() - float(started)


def peak_memory_mb(pid: int | str = "self") -> float | None:
    """Most resident memory the process ever held (VmHWM), in 10⁶ bytes; None off Linux."""
    return _kilobytes(Path(f"/proc/{pid}/status"), "VmHWM:")


def process_cpu_ms(pid: int) -> float | None:
    """CPU time of a process, with that of its threads that have ended; None off Linux.

    By the clock of clock_getcpuclockid(3), whose number Linux makes from the process's:
    ``/proc/PID/stat`` counts in steps of 10 ms, and what lies below ``/proc/PID/task`` is gone with
    its thread, as a loop's workers are before its last line is read.
    """
    if sys.platform != "linux":
        return None
    try:
        return 1e3 * time.clock_gettime((~pid << 3) | 2)
    except OSError:  # it has ended
        return None


def pss_mb(pids: Sequence[int | str] = ("self",)) -> float | None:
    """Proportional memory of processes together, in 10⁶ bytes: pages shared count once."""
    parts = [_kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss:") for pid in pids]
    known = [part for part in parts if part is not None]
    return sum(known) if parts and len(known) == len(parts) else None


def resident_mb() -> float | None:
    """Resident memory now, in 10⁶ bytes; microseconds to read, unlike PSS, which takes
    milliseconds that a live loop would feel."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * resource.getpagesize() / 1e6


def _kilobytes(file: Path, key: str) -> float | None:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(key)]
    return int(found[0]) * 1024 / 1e6 if found else None


def energy_j() -> float | None:
    """The CPU package's energy counter; None where the machine does not say."""
    try:
        return int(_ENERGY.read_text()) / 1e6
    except (OSError, ValueError):
        return None


def parser(description: str | None, *, model: bool = True) -> argparse.ArgumentParser:
    """The arguments every arm takes."""
    arguments = argparse.ArgumentParser(description=description)
    if model:
        arguments.add_argument("--model", type=Path, required=True)
    arguments.add_argument("--clip", required=True)
    arguments.add_argument("--frames", type=int, default=200, help="timed frames")
    arguments.add_argument("--warmup", type=int, default=20, help="frames before them")
    return arguments
