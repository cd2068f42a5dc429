"""A batch run from its list of clips to its summary."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from oneglance.models.cpus import available_cpus
from oneglance.perception.batch.clip import Settings
from oneglance.perception.batch.events import Done
from oneglance.perception.batch.listing import Clip, list_clips
from oneglance.perception.batch.local import LocalPool
from oneglance.perception.batch.manifest import BatchOutput
from oneglance.perception.batch.schema import OK, ClipRow
from oneglance.perception.batch.splitting import PartedRun, Pool
from oneglance.streams.errors import UsageError

SHOWN = 5
"""Slowest and broken clips that the summary names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """The options of ``oneglance batch``, each with the meaning it has there."""

    uris: Sequence[str]
    out: str | os.PathLike[str]
    settings: Settings = field(default_factory=Settings)
    workers: int | None = None
    fresh: bool = False
    commit_s: float = 60.0
    stall_s: float = 120.0
    address: str | None = None
    gpus: float = 0.0


@dataclass(slots=True)
class BatchSummary:
    """What a run did; ``skipped``: clips that an earlier one had finished."""

    clips: int = 0
    skipped: int = 0
    done: int = 0
    frames: int = 0
    detections: int = 0
    seconds: float = 0.0
    took_s: float = 0.0
    broken: list[ClipRow] = field(default_factory=list)
    slowest: list[ClipRow] = field(default_factory=list)
    broken_count: int = 0

    @property
    def left(self) -> int:
        """Clips that have no row yet."""
        return self.clips - self.skipped - self.done

    def add(self, row: ClipRow) -> None:
        """A clip that is over."""
        self.done += 1
        self.frames += row.frames
        self.detections += row.detections
        self.seconds += row.seconds
        if row.status != OK:
            self.broken_count += 1
            self.broken = [*self.broken, row][:SHOWN]
        self.slowest = sorted([*self.slowest, row], key=lambda each: -each.took)[:SHOWN]


def run_batch(
    options: BatchOptions,
    summary: BatchSummary,
    progress: Callable[[BatchSummary, int], None] = lambda _summary, _frames: None,
) -> None:
    """Run every clip that has no row yet, and write the tables; ``summary`` is kept up to date.

    ``progress`` is called at least four times a second with it and the frames looked at so far.
    However it ends, what is written is valid, and the same call goes on from there.

    Raises:
        OneglanceError: the clips cannot be listed, the model or an option cannot be used, or the
            output cannot be written.
    """
    _check(options)
    clips = list_clips(options.uris)
    summary.clips = len(clips)
    started_s, frames = time.monotonic(), 0
    output = BatchOutput(
        options.out, options.settings.facts(), fresh=options.fresh, commit_s=options.commit_s
    )
    with closing(output):
        finished = output.finished()
        waiting = longest_first(clip for clip in clips if clip.name not in finished)
        summary.skipped = len(clips) - len(waiting)
        output.unfinished.drop_others({clip.name for clip in waiting})
        run = PartedRun(_pool(options, output.scratch), output, track=options.settings.track)
        with closing(run.events(waiting)) as events:
            for event in events:
                if isinstance(event, Done):
                    output.add(event.row, event.tables, event.spilled)
                    summary.add(event.row)
                else:
                    frames += event.frames
                    output.tick()
                summary.took_s = time.monotonic() - started_s
                progress(summary, frames)


def longest_first(clips: Iterable[Clip]) -> list[Clip]:
    """Large files before small ones: one that takes hours is not begun when all others are done,
    and does not hold the last worker alone. What does not lie here, whose size nobody knows
    without asking for each, follows in its order.
    """

    def size(clip: Clip) -> int:
        try:
            return 0 if clip.is_remote else os.stat(clip.uri).st_size  # noqa: PTH116 - as named
        except (OSError, ValueError):  # it is a row of its own, later
            return 0

    return sorted(clips, key=size, reverse=True)


def _pool(options: BatchOptions, spill: Path) -> Pool:
    """What runs the clips: processes of this machine, or a Ray cluster."""
    if options.address is None:
        workers = options.workers or available_cpus()
        return LocalPool(options.settings, workers, spill=spill, stall_s=options.stall_s)
    from oneglance.perception.batch.on_ray import RayPool
    from oneglance.perception.batch.ray_cluster import Cluster

    cluster = Cluster(address=options.address, workers=options.workers, gpus=options.gpus)
    return RayPool(options.settings, cluster, spill=spill, stall_s=options.stall_s)


def _check(options: BatchOptions) -> None:
    asked = {"--workers": options.workers, "--every": options.settings.every}
    for name, value in asked.items():
        if value is not None and value < 1:
            raise UsageError(f"{name} must be at least 1, not {value}")
    if options.gpus < 0:
        raise UsageError(f"--gpus cannot be negative, not {options.gpus:g}")
    if options.gpus and options.address is None:
        raise UsageError("--gpus is for Ray: give --address as well")
    if not 0 <= options.settings.split_s < math.inf:
        raise UsageError(
            f"--split must be 0 or more minutes, not {options.settings.split_s / 60:g}"
        )
    for name, seconds in {"--commit": options.commit_s, "--stall": options.stall_s}.items():
        if not seconds > 0:
            raise UsageError(f"{name} must be more than 0 seconds, not {seconds:g}")
