"""What this CPU is called, and which of the instruction sets that decide speed it has."""

from __future__ import annotations

import platform
from pathlib import Path

INSTRUCTION_SETS = (
    *("avx", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"),
    *("asimd", "asimddp", "bf16", "i8mm", "sve"),
)
"""Linux's names, x86 first, then Arm's. fp32 takes AVX2 or AVX-512, int8 VNNI or dot products,
bf16 its own."""


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The CPU's model name, as far as the system says."""
    return _entry(cpuinfo, ("model name", "Hardware")) or platform.processor() or "unknown CPU"


def instruction_sets(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, ...]:
    """Those of ``INSTRUCTION_SETS`` that the CPU has; () where the system does not say."""
    flags = set(_entry(cpuinfo, ("flags", "Features")).split())
    return tuple(name for name in INSTRUCTION_SETS if name in flags)


def describe_cpu() -> str:
    """Name and instruction sets in one phrase.

    >>> describe_cpu() != ""
    True
    """
    return ", ".join((cpu_name(), *instruction_sets()))


def _entry(cpuinfo: Path, names: tuple[str, ...]) -> str:
    """The value of the first line that has one of ``names``; "" without one."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in names:
            return value.strip()
    return ""
