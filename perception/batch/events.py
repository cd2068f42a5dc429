"""What a pool says while it runs clips, whatever it is made of."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from oneglance.perception.batch.listing import Clip
from oneglance.perception.batch.schema import FAILED, ClipRow

if TYPE_CHECKING:
    import pyarrow as pa

TRIES = 2
"""How often a clip is begun."""

KILLED, STALLED = "WorkerKilled", "ClipStalled"
"""Kinds of error of a clip that was given up."""


@dataclass(frozen=True, slots=True)
class Done:
    """A clip that is over: its row, and its detections in memory or, of many, in a file."""

    row: ClipRow
    tables: list[pa.Table] = field(default_factory=list)
    spilled: list[Path] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Progress:
    """Frames of the clips in hand that were looked at since the last one."""

    frames: int


def given_up(clip: Clip, why: str, begun: datetime, *, stall_s: float | None = None) -> ClipRow:
    """The row of a clip whose workers ended ``TRIES`` times: of ``why``, or because it gave no
    frame for ``stall_s``."""
    if stall_s is not None:
        why = f"it gave no frame for {stall_s:g} s, {TRIES} times"
    return ClipRow(
        uri=clip.name,
        status=FAILED,
        error_kind=KILLED if stall_s is None else STALLED,
        error=f"{clip.name} was given up: {why}",
        started=begun,
        took=(datetime.now(UTC) - begun).total_seconds(),
        node=platform.node() or "unknown",
        attempts=TRIES,
    )
