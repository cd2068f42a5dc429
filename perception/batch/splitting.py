"""Long clips in parts: what a pool says of parts becomes what a run hears of clips.

A worker that is given a long clip answers with its parts, which are units of work as clips are. A
part that was played is kept beside the tables; when all are, they are joined. Where a part gives
reason to doubt that the parts' frames are the clip's, the clip is played whole, and its parts are
forgotten.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from oneglance.perception.batch.events import KILLED, STALLED, Done, Progress, Split, Unit, doubt
from oneglance.perception.batch.joining import Joiner, Joining, Unjoined
from oneglance.perception.batch.listing import Clip
from oneglance.perception.batch.manifest import BatchOutput
from oneglance.streams.decoding.parts import SeenPart, why_inexact

logger = logging.getLogger(__name__)

_TICK_S = 0.25


class Pool(Protocol):
    """What runs units of work: the processes of this machine, or a Ray cluster."""

    def run(self, units: Sequence[Unit]) -> Generator[Done | Split | Progress]:
        """Every unit once, as they end; and, at least each quarter second, the progress."""
        ...

    def add(self, units: Sequence[Unit]) -> None:
        """Do these as well, while it runs."""
        ...

    def drop(self, clip: Clip) -> None:
        """Begin nothing of a clip any more, where that is possible; of what it says of it none is
        heard."""
        ...


@dataclass(slots=True)
class _Open:
    """A clip whose parts are being played; ``seen``: those that were, by their numbers."""

    split: Split
    seen: dict[int, SeenPart] = field(default_factory=dict)


class PartedRun:
    """Runs clips through a pool, long ones in parts."""

    def __init__(self, pool: Pool, output: BatchOutput, *, track: bool) -> None:
        self._pool = pool
        self._output = output
        self._track = track
        self._open: dict[str, _Open] = {}
        self._joiner = Joiner()
        self._again: list[Unit] = []
        self._is_running = False

    def events(self, clips: Sequence[Clip]) -> Generator[Done | Progress]:
        """Every clip once, as they end; and, at least each quarter second, the progress.

        Leaving early ends the pool.

        Raises:
            OneglanceError: as from the pool, or a part cannot be kept.
            OSError: parts cannot be joined on this machine's disk.
        """
        units = [Unit(clip) for clip in clips]
        with closing(self._joiner):
            while units:
                yield from self._run(units)
                while self._joiner.is_busy:
                    yield from self._joined(_TICK_S)
                    yield Progress(0)
                units, self._again = self._again, []

    def _run(self, units: Sequence[Unit]) -> Iterator[Done | Progress]:
        self._is_running = True
        with closing(self._pool.run(units)) as events:
            for event in events:
                if isinstance(event, Split):
                    self._begin(event)
                elif isinstance(event, Done) and event.number is not None:
                    yield from self._hear(event, event.number)
                else:
                    yield event
                yield from self._joined()
        self._is_running = False

    def _begin(self, split: Split) -> None:
        """A clip is long: its parts are to be played, but for those that an earlier run has."""
        kept = self._output.unfinished.find(split)
        clip = _Open(split, {number: part.played.seen for number, part in kept.items()})
        self._open[split.clip.name] = clip
        self._add(
            [
                Unit(split.clip, part, number)
                for number, part in enumerate(split.parts)
                if number not in kept
            ]
        )
        self._finish(clip)

    def _hear(self, done: Done, number: int) -> Iterator[Done]:
        """A part is over."""
        clip = self._open.get(done.row.uri)
        if clip is None:  # which was given up meanwhile, or is played whole
            _forget(done.spilled)
            return
        if done.row.error_kind in {KILLED, STALLED}:
            self._close(clip)
            yield Done(done.row)
        elif (why := doubt(done.row, done.played)) or done.played is None:
            _forget(done.spilled)
            self._play_whole(clip, f"part {number + 1}: {why}")
        else:
            self._output.unfinished.keep(clip.split, number, done)
            clip.seen[number] = done.played.seen
            self._finish(clip)

    def _finish(self, clip: _Open) -> None:
        """See whether all parts were played, and what of them can be joined."""
        split = clip.split
        if len(clip.seen) < len(split.parts):
            return
        seen = [clip.seen[number] for number in range(len(split.parts))]
        why = why_inexact(split.parts, seen)
        if why:
            self._play_whole(clip, why)
            return
        del self._open[split.clip.name]
        output = self._output
        self._joiner.add(Joining(split, output.address, output.scratch, self._track))

    def _joined(self, timeout_s: float = 0.0) -> Iterator[Done]:
        said = self._joiner.poll(timeout_s)
        if isinstance(said, Unjoined):
            self._play_whole(_Open(said.split), said.why)
        elif said is not None:
            yield said

    def _play_whole(self, clip: _Open, why: str) -> None:
        logger.info("%s is played whole: %s", clip.split.clip.name, why)
        self._close(clip)
        self._add([Unit(clip.split.clip, is_whole=True)])

    def _close(self, clip: _Open) -> None:
        """Forget a clip's parts."""
        whose = clip.split.clip
        self._open.pop(whose.name, None)
        self._pool.drop(whose)
        self._output.unfinished.drop({whose.name})

    def _add(self, units: list[Unit]) -> None:
        if self._is_running:
            self._pool.add(units)
        else:
            self._again += units


def _forget(files: Sequence[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
