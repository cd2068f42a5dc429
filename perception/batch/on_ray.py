"""Clips through a Ray cluster (the extra ``ray``): Ray Data hands them to a pool of actors.

What is ours is the actor, which holds a network and calls the function that the processes of one
machine call; the driver writes the rows, as it does there. Ray is given numbers of clips: no
address is in a task's name, a log or a page of Ray.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import platform
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oneglance.perception.batch.clip import ClipReader, Settings, model_sha256
from oneglance.perception.batch.events import KILLED, STALLED, TRIES, Done, Progress, given_up
from oneglance.perception.batch.listing import Clip
from oneglance.perception.batch.ray_cluster import LOCAL, Cluster, Share, connected, loaded
from oneglance.perception.batch.schema import ClipRow
from oneglance.perception.batch.spilling import ClipTables
from oneglance.streams.errors import OneglanceError
from oneglance.streams.redaction import redact

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS, _CLIP, _UNUSABLE = "rows", "clip", "unusable"

_TICK_S = 0.25
_REPORTS_EVERY_S = 2.0
_HELD = 32
"""Answers that wait for the driver; then the actors do."""

_MOST_BLOCKS = 10_000
"""Ray Data keeps something of each block: of more clips, several go to an actor together."""

_SAID_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Answer:
    """What an actor says of a clip: some rows, its row, or why it can look at none."""

    clip: int
    kind: str
    content: bytes


class RayPool:
    """Runs clips through the actors of a Ray cluster; see ``LocalPool``, which does the same."""

    def __init__(
        self, settings: Settings, cluster: Cluster, *, spill: Path, stall_s: float
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._spill = spill
        self._stall_s = stall_s

    def run(self, clips: Sequence[Clip]) -> Generator[Done | Progress]:
        """Every clip once, as they end; and, at least each quarter second, the progress.

        Leaving early ends the actors.

        Raises:
            OneglanceError: the cluster cannot be used, or no actor can load the network.
        """
        if not clips:
            return
        settings, there = self._settings, clips
        if self._cluster.address != LOCAL:  # whose processes work in other folders
            settings = replace(settings, model=_absolute(settings.model))
            there = [clip if clip.is_remote else _found_anywhere(clip) for clip in clips]
        job = _Job(settings, tuple(there), self._stall_s)
        with connected(self._cluster) as share, closing(_driver(job, share)) as driver:
            yield from _Gathered(clips, self._spill).events(driver.take)


class _Gathered:
    """What was said of which clip."""

    def __init__(self, clips: Sequence[Clip], spill: Path) -> None:
        self._clips = clips
        self._spill = spill
        self._tables: dict[int, ClipTables] = {}
        self._left = dict.fromkeys(range(len(clips)))

    def events(self, take: Callable[[], Said]) -> Generator[Done | Progress]:
        """Clips as they end."""
        try:
            while True:
                said = take()
                for answer in said.answers:
                    done = self._hear(answer)
                    if done is not None:
                        yield done
                yield Progress(said.frames)
                if said.error:
                    raise OneglanceError(said.error)
                if said.is_over:
                    break
        finally:
            for tables in self._tables.values():
                tables.drop()
        # Its actor was killed when a part of it had been handed out, and the rest is not asked for.
        for number in self._left:
            yield Done(given_up(self._clips[number], "its worker ended", datetime.now(UTC)))

    def _hear(self, answer: Answer) -> Done | None:
        if answer.kind == _UNUSABLE:
            raise OneglanceError(answer.content.decode())
        if answer.clip not in self._left:
            return None
        tables = self._tables.setdefault(answer.clip, ClipTables(self._spill))
        if answer.kind == _ROWS:
            tables.add(_decoded(answer.content))
            return None
        row: ClipRow = pickle.loads(answer.content)  # noqa: S301 - from our own actor
        del self._left[answer.clip], self._tables[answer.clip]
        if row.error_kind in {KILLED, STALLED}:
            tables.drop()
            return Done(row)
        return Done(row, *tables.close())


@dataclass(frozen=True, slots=True)
class _Job:
    """What the actors are given, in one object of Ray's store: it shows nobody an address."""

    settings: Settings
    clips: tuple[Clip, ...]
    stall_s: float


@dataclass(frozen=True, slots=True)
class Said:
    """What was said since it was asked last; ``error``: why the run cannot go on."""

    answers: list[Answer]
    frames: int
    is_over: bool
    error: str = ""


class _Driver:
    """Runs the data set; in this process, or, where Ray is reached by its client, in an actor."""

    def __init__(self, job: _Job, sha256: str, share: Share) -> None:
        ray = loaded()
        self._heard: queue.Queue[Answer | str | None] = queue.Queue(_HELD)
        self._is_over = False
        self._given = ray.put(job)
        self._ledger = ray.remote(num_cpus=0, max_restarts=-1)(Ledger).remote()
        threading.Thread(
            target=self._run,
            args=(len(job.clips), sha256, share),
            name="oneglance-ray-data",
            daemon=True,
        ).start()

    def take(self) -> Said:
        """What there is, within a moment."""
        ray = loaded()
        answers: list[Answer] = []
        error = ""
        with contextlib.suppress(queue.Empty):
            while not self._is_over and len(answers) < _SAID_AT_ONCE:
                said = self._heard.get(timeout=0 if answers else _TICK_S)
                if isinstance(said, Answer):
                    answers.append(said)
                else:
                    self._is_over, error = True, said or ""
        frames = 0
        with contextlib.suppress(Exception):  # the figure on a bar is not worth a run
            frames = ray.get(self._ledger.take.remote(), timeout=5)
        return Said(answers, frames, self._is_over, error)

    def close(self) -> None:
        """The cluster ends what belongs to a driver that is gone."""

    def _run(self, count: int, sha256: str, share: Share) -> None:
        end = None
        try:
            for answer in self._answers(count, sha256, share):
                self._heard.put(answer)
        except Exception as error:  # noqa: BLE001 - Ray's errors have a tree of their own
            end = _sentence(error)
        self._heard.put(end)

    def _answers(self, count: int, sha256: str, share: Share) -> Iterator[Answer]:
        ray = loaded()
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        clips = ray.data.from_items(
            [{"clip": number} for number in range(count)],
            override_num_blocks=min(count, _MOST_BLOCKS),
        )
        answers = clips.flat_map(
            ClipActor,
            fn_constructor_args=(self._given, self._ledger, sha256),
            compute=ray.data.ActorPoolStrategy(size=min(share.workers, count)),
            num_cpus=share.cpus,
            **({"num_gpus": share.gpus} if share.gpus else {}),
        )
        for row in answers.iter_rows():
            yield Answer(**row)


def _driver(job: _Job, share: Share) -> Any:
    sha256 = model_sha256(job.settings.model)
    if not share.is_client:
        return _Driver(job, sha256, share)
    return _RemoteDriver(job, sha256, share)


class _RemoteDriver:
    """A driver that runs in the cluster: Ray Data does not run behind Ray's client."""

    def __init__(self, job: _Job, sha256: str, share: Share) -> None:
        ray = loaded()
        self._actor = ray.remote(num_cpus=0)(_Driver).remote(job, sha256, share)

    def take(self) -> Said:
        ray = loaded()
        try:
            said: Said = ray.get(self._actor.take.remote())
        except Exception as error:  # noqa: BLE001 - as above
            raise OneglanceError(_sentence(error)) from None
        return said

    def close(self) -> None:
        ray = loaded()
        with contextlib.suppress(Exception):
            ray.kill(self._actor)


class Ledger:
    """How often each clip was begun, and what was looked at: an actor that outlives the others."""

    def __init__(self) -> None:
        self._tries: dict[int, int] = {}
        self._stalled: set[int] = set()
        self._frames = 0

    def begin(self, clip: int) -> tuple[int, bool]:
        """Which try this is, from 1; and whether one before gave no frame for too long."""
        self._tries[clip] = self._tries.get(clip, 0) + 1
        return self._tries[clip], clip in self._stalled

    def end(self, clip: int) -> None:
        """It is over."""
        self._tries.pop(clip, None)

    def stall(self, clip: int) -> None:
        """It gave no frame for too long."""
        self._stalled.add(clip)

    def see(self, frames: int) -> None:
        """So many more frames were looked at."""
        self._frames += frames

    def take(self) -> int:
        """Frames since the last call."""
        frames, self._frames = self._frames, 0
        return frames


class ClipActor:
    """What Ray Data calls with each clip."""

    def __init__(self, given: Any, ledger: Any, sha256: str) -> None:
        import cv2

        cv2.setNumThreads(1)
        ray = loaded()
        job: _Job = ray.get(given)
        self._clips, self._stall_s = job.clips, job.stall_s
        self._ledger = ledger
        self._unusable = ""
        cpus = int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1))
        try:
            if model_sha256(job.settings.model) != sha256:
                raise OneglanceError(f"its model {job.settings.model} is another one")
            self._reader = ClipReader(replace(job.settings, cpus=max(1, cpus)))
        except Exception as error:  # noqa: BLE001 - carried to the driver
            said = str(error) if isinstance(error, OneglanceError) else f"internal error: {error!r}"
            self._unusable = (
                f"the Ray node {platform.node()} cannot look at clips: {redact(said)}; each node "
                "needs the same oneglance, and the model at the same place"
            )
        self._clip: int | None = None
        self._heard_s = self._said_s = time.monotonic()
        threading.Thread(target=self._watch, daemon=True).start()

    def __call__(self, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The answers of a clip, as rows."""
        for kind, content in self._look(row["clip"]):
            yield {"clip": row["clip"], "kind": kind, "content": content}

    def _look(self, number: int) -> Iterator[tuple[str, bytes]]:
        ray = loaded()
        if self._unusable:
            yield _UNUSABLE, self._unusable.encode()
            return
        begun, clip = datetime.now(UTC), self._clips[number]
        tries, is_stalled = ray.get(self._ledger.begin.remote(number))
        if tries > TRIES:
            stall_s = self._stall_s if is_stalled else None
            why = f"its worker ended {TRIES} times"
            yield _CLIP, pickle.dumps(given_up(clip, why, begun, stall_s=stall_s))
            return
        self._heard_s, self._clip = time.monotonic(), number
        seen = 0

        def progress(frames: int) -> None:
            nonlocal seen
            self._heard_s = time.monotonic()
            if self._heard_s - self._said_s >= _REPORTS_EVERY_S:
                self._said_s = self._heard_s
                self._ledger.see.remote(frames - seen)
                seen = frames

        tables = self._reader.read(clip, progress)
        try:
            while True:
                yield _ROWS, _encoded(next(tables))
        except StopIteration as end:
            done: ClipRow = replace(end.value, attempts=tries)
        self._clip = None
        self._ledger.see.remote(done.frames - seen)
        yield _CLIP, pickle.dumps(done)

    def _watch(self) -> None:
        """End this actor when its clip gives no frame: Ray begins another one."""
        ray = loaded()
        while True:
            time.sleep(_TICK_S)
            number = self._clip
            if number is not None and time.monotonic() - self._heard_s > self._stall_s:
                with contextlib.suppress(Exception):
                    ray.get(self._ledger.stall.remote(number), timeout=5)
                os._exit(1)


def _found_anywhere(clip: Clip) -> Clip:
    return replace(clip, uri=str(Path(clip.uri).absolute()))


def _absolute(model: str) -> str:
    """A model's file by its whole path; a name in the zoo stays one."""
    return str(Path(model).absolute()) if Path(model).is_file() else model


def _encoded(table: pa.Table) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _decoded(content: bytes) -> pa.Table:
    import pyarrow as pa

    return pa.ipc.open_stream(content).read_all()


def _sentence(error: Exception) -> str:
    """What Ray raised, in a sentence without what it quotes of our data."""
    text = str(error)
    if "No module named 'oneglance" in text:
        return (
            "a node of the Ray cluster has no oneglance: install the same version, with the extras "
            "ray and batch, on each"
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = redact(lines[-1]) if lines else ""
    return (
        f"the Ray cluster ended the run ({type(error).__name__}: {said[:200]}); what was written "
        "is good, the same command goes on from there"
    )
