"""How many CPUs this process may use: not how many the machine has."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from oneglance.streams.errors import UsageError

MOST_THREADS = 1024
"""What an inference may ask for: libraries start as many as they are told, and a hundred thousand
take all memory, and no signal ends them meanwhile."""

_CGROUP = Path("/sys/fs/cgroup")
_PROC = Path("/proc/self")


def available_cpus(cgroup: Path = _CGROUP, *, proc: Path = _PROC) -> int:
    """CPUs this process may run on: its affinity mask, capped by its cgroups' quotas.

    A quota binds everything below it, so the smallest counts of those of this process's own
    cgroup and of every cgroup above it that can be seen from here. A process limited to half a
    CPU gets 1. Reads cgroup v2 (``cpu.max``) and v1.

    ``cgroup``: the root of the cgroup file system, which is looked at whatever ``proc`` says.
    ``proc``: holds ``cgroup`` (in which groups this process is) and ``mountinfo`` (where those
    lie); what is missing there is no limit.
    """
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    folders = [cgroup, cgroup / "cpu", *_own_cgroups(proc)]
    quotas = [quota for folder in folders if (quota := _quota(folder)) is not None]
    return max(1, min([allowed, *map(math.ceil, quotas)]))


def thread_count(asked: int | None) -> int:
    """``asked``, or every CPU this process may use.

    Raises:
        UsageError: fewer than one, or more than ``MOST_THREADS``.
    """
    if asked is not None and asked < 1:
        raise UsageError(f"threads must be at least 1, not {asked}")
    if asked is not None and asked > MOST_THREADS:
        raise UsageError(f"threads must be at most {MOST_THREADS}, not {asked}")
    return asked or available_cpus()


def _quota(folder: Path) -> float | None:
    """CPUs' worth of time the cgroup in ``folder`` grants; None for no limit."""
    for files in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            words = " ".join((folder / name).read_text() for name in files).split()
            quota, period = int(words[0]), int(words[1])
        except (OSError, ValueError, IndexError):
            continue  # absent, or "max": no limit here
        return quota / period if quota > 0 and period > 0 else None
    return None


def _own_cgroups(proc: Path) -> Iterator[Path]:
    """The folders of the cgroups that limit this process's time: its own and all above them."""
    try:
        memberships = (proc / "cgroup").read_text().splitlines()
        mounts = (proc / "mountinfo").read_text().splitlines()
    except (OSError, ValueError):  # no Linux, or a jail that hides them
        return
    groups = dict(_parse_membership(line) for line in memberships if line.count(":") >= 2)
    for line in mounts:
        words, _, rest = line.partition(" - ")
        fields, file_system = words.split(), rest.split()
        if len(fields) < 5 or len(file_system) < 3:
            continue
        group = None
        if file_system[0] == "cgroup2":
            group = groups.get("")
        elif file_system[0] == "cgroup" and "cpu" in file_system[2].split(","):
            group = groups.get("cpu")
        if group is not None:
            yield from _upwards(Path(_unescaped(fields[4])), _unescaped(fields[3]), group)


def _parse_membership(line: str) -> tuple[str, str]:
    """``4:cpu,cpuacct:/a/b`` is the group ``/a/b`` of ``cpu``; ``0::/a`` that of cgroup v2, ""."""
    _, controllers, group = line.split(":", 2)
    return ("cpu" if "cpu" in controllers.split(",") else controllers), group


def _upwards(mount_point: Path, mounted: str, group: str) -> Iterator[Path]:
    """From the folder of ``group`` up to the mount point, where the group ``mounted`` lies."""
    try:
        below = PurePosixPath(group).relative_to(mounted)
    except ValueError:  # a container may see its own group alone, mounted by its outer name
        below = PurePosixPath()
    if ".." in below.parts:  # above the root of our namespace: not to be seen from here
        below = PurePosixPath()
    for part in (below, *below.parents):
        yield mount_point / part


def _unescaped(field: str) -> str:
    """A path of ``mountinfo``, where a space is ``\\040``."""
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), field)
