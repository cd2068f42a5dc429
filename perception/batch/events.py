"""What a pool is given to do, and what it says while it does it, whatever it is made of."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from oneglance.perception.batch.listing import Clip
from oneglance.perception.batch.schema import FAILED, OK, ClipRow
from oneglance.streams.decoding.parts import Part, SeenPart, is_exact

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

TRIES = 2
"""How often a unit of work is begun."""

KILLED, STALLED = "WorkerKilled", "ClipStalled"
"""Kinds of error of a clip that was given up."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What one worker does without another: a clip, or the ``part`` of a long one that has that
    ``number``. ``is_whole``: a clip that is not to be split, however long it is."""

    clip: Clip
    part: Part | None = None
    number: int | None = None
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class Split:
    """A clip is long: these are its parts. ``size``: its bytes, by which a later run knows it."""

    clip: Clip
    parts: tuple[Part, ...]
    size: int


@dataclass(frozen=True, slots=True)
class PlayedPart:
    """What a part's rows are joined by. ``frames``, ``times_s``: numbers within the part, and
    times, of the frames that the network looked at; ``rate``: of those, in frames a second."""

    seen: SeenPart
    frames: npt.NDArray[np.int64]
    times_s: npt.NDArray[np.float64]
    rate: float


@dataclass(frozen=True, slots=True)
class Done:
    """A unit is over: its row, and its detections in memory or, of many, in a file. ``played``:
    of a part that could be played."""

    row: ClipRow
    tables: list[pa.Table] = field(default_factory=list)
    spilled: list[Path] = field(default_factory=list)
    number: int | None = None
    played: PlayedPart | None = None


def doubt(row: ClipRow, played: PlayedPart | None) -> str:
    """Why a part is not to be joined to others; empty: there is no reason."""
    if row.status != OK or played is None:
        return row.error or "it was not played"
    return "" if is_exact(played.seen) else played.seen.why or "frames are missing"


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
