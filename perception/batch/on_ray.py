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

from oneglance.perception.batch.clip import ClipReader, Looked, Settings, model_sha256
from oneglance.perception.batch.events import (
    KILLED,
    STALLED,
    TRIES,
    Done,
    Progress,
    Split,
    Unit,
    doubt,
    given_up,
)
from oneglance.perception.batch.listing import Clip
from oneglance.perception.batch.ray_cluster import (
    LOCAL,
    Cluster,
    Ledger,
    Share,
    connected,
    loaded,
    sentence,
)
from oneglance.perception.batch.spilling import ClipTables
from oneglance.streams.errors import OneglanceError
from oneglance.streams.redaction import redact

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS, _DONE, _UNUSABLE = "rows", "done", "unusable"

_TICK_S = 0.25
_REPORTS_EVERY_S = 2.0
_HELD = 32
"""Answers that wait for the driver; then the actors do."""

_MOST_BLOCKS = 10_000
"""Ray Data keeps something of each block: of more clips, several go to an actor together."""

_SAID_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Answer:
    """What an actor says of a unit of work: some rows, its row (or, of a long clip, its parts), or
    why it can look at none."""

    unit: int
    kind: str
    content: bytes


class RayPool:
    """Runs clips through the actors of a Ray cluster; see ``LocalPool``, which does the same.

    A data set is all there at once: the parts of long clips are one of their own, which is run
    when all other clips are done, and fills the whole cluster.
    """

    def __init__(
        self, settings: Settings, cluster: Cluster, *, spill: Path, stall_s: float
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._spill = spill
        self._stall_s = stall_s
        self._next: list[Unit] = []

    def run(self, units: Sequence[Unit]) -> Generator[Done | Split | Progress]:
        """Every unit once, as they end; and, at least each quarter second, the progress.

        Leaving early ends the actors.

        Raises:
            OneglanceError: the cluster cannot be used, or no actor can load the network.
        """
        self._next = list(units)
        if not units:
            return
        with connected(self._cluster) as share:
            while self._next:
                units, self._next = self._next, []
                with closing(_driver(self._job(units), share)) as driver:
                    yield from _Gathered(units, self._spill).events(driver.take)

    def add(self, units: Sequence[Unit]) -> None:
        """Do these as well, when those that it has are done."""
        self._next += units

    def drop(self, clip: Clip) -> None:
        """Begin nothing of a clip any more that is not in an actor's hands; those see to it."""
        self._next = [unit for unit in self._next if unit.clip != clip]

    def _job(self, units: Sequence[Unit]) -> _Job:
        settings = self._settings
        if self._cluster.address != LOCAL:  # whose processes work in other folders
            model = Path(settings.model)  # a name in the zoo stays one
            if model.is_file():
                settings = replace(settings, model=str(model.absolute()))
            units = [replace(unit, clip=unit.clip.found_anywhere()) for unit in units]
        return _Job(settings, tuple(units), self._stall_s)


class _Gathered:
    """What was said of which unit."""

    def __init__(self, units: Sequence[Unit], spill: Path) -> None:
        self._units = units
        self._spill = spill
        self._tables: dict[int, ClipTables] = {}
        self._left = dict.fromkeys(range(len(units)))

    def events(self, take: Callable[[], Said]) -> Generator[Done | Split | Progress]:
        """Units as they end."""
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
        # Its actor was killed when some rows of it had been handed out, and the rest is not asked
        # for; or a part that nobody wants any more was not begun, and nobody hears of it.
        for number in self._left:
            unit = self._units[number]
            row = given_up(unit.clip, "its worker ended", datetime.now(UTC))
            yield Done(row, number=unit.number)

    def _hear(self, answer: Answer) -> Done | Split | None:
        if answer.kind == _UNUSABLE:
            raise OneglanceError(answer.content.decode())
        if answer.unit not in self._left:
            return None
        tables = self._tables.setdefault(answer.unit, ClipTables(self._spill))
        if answer.kind == _ROWS:
            tables.add(_decoded(answer.content))
            return None
        looked: Looked | Split = pickle.loads(answer.content)  # noqa: S301 - from our own actor
        del self._left[answer.unit], self._tables[answer.unit]
        unit = self._units[answer.unit]
        if isinstance(looked, Split):
            return replace(looked, clip=unit.clip)  # as it is named here
        row, played = looked
        if row.error_kind in {KILLED, STALLED}:
            tables.drop()
            return Done(row, number=unit.number)
        return Done(row, *tables.close(), unit.number, played)


@dataclass(frozen=True, slots=True)
class _Job:
    """What the actors are given, in one object of Ray's store: it shows nobody an address."""

    settings: Settings
    units: tuple[Unit, ...]
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
            args=(len(job.units), sha256, share),
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
            end = sentence(error)
        self._heard.put(end)

    def _answers(self, count: int, sha256: str, share: Share) -> Iterator[Answer]:
        ray = loaded()
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        units = ray.data.from_items(
            [{"unit": number} for number in range(count)],
            override_num_blocks=min(count, _MOST_BLOCKS),
        )
        answers = units.flat_map(
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
            raise OneglanceError(sentence(error)) from None
        return said

    def close(self) -> None:
        ray = loaded()
        with contextlib.suppress(Exception):
            ray.kill(self._actor)


class ClipActor:
    """What Ray Data calls with each clip."""

    def __init__(self, given: Any, ledger: Any, sha256: str) -> None:
        import cv2

        cv2.setNumThreads(1)
        ray = loaded()
        job: _Job = ray.get(given)
        self._units, self._stall_s = job.units, job.stall_s
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
        self._unit: int | None = None
        self._heard_s = self._said_s = time.monotonic()
        threading.Thread(target=self._watch, daemon=True).start()

    def __call__(self, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The answers of a unit, as rows."""
        for kind, content in self._look(row["unit"]):
            yield {"unit": row["unit"], "kind": kind, "content": content}

    def _look(self, number: int) -> Iterator[tuple[str, bytes]]:
        ray = loaded()
        if self._unusable:
            yield _UNUSABLE, self._unusable.encode()
            return
        begun, unit = datetime.now(UTC), self._units[number]
        group = next(n for n, other in enumerate(self._units) if other.clip == unit.clip)
        tries, is_stalled = ray.get(self._ledger.begin.remote(number, group))
        if not tries:
            return
        if tries > TRIES:
            stall_s = self._stall_s if is_stalled else None
            why = f"its worker ended {TRIES} times"
            row = given_up(unit.clip, why, begun, stall_s=stall_s)
            self._ledger.drop.remote(group)
            yield _DONE, pickle.dumps((row, None))
            return
        self._heard_s, self._unit = time.monotonic(), number
        seen = 0

        def progress(frames: int) -> None:
            nonlocal seen
            self._heard_s = time.monotonic()
            if self._heard_s - self._said_s >= _REPORTS_EVERY_S:
                self._said_s = self._heard_s
                self._ledger.see.remote(frames - seen)
                seen = frames

        tables = self._reader.look(unit, progress)
        try:
            while True:
                yield _ROWS, _encoded(next(tables))
        except StopIteration as end:
            looked: Looked | Split = end.value
        self._unit = None
        if not isinstance(looked, Split):
            row, played = looked
            looked = (replace(row, attempts=tries), played)
            self._ledger.see.remote(row.frames - seen)
            if unit.part is not None and doubt(row, played):
                self._ledger.drop.remote(group)
        yield _DONE, pickle.dumps(looked)

    def _watch(self) -> None:
        """End this actor when its clip gives no frame: Ray begins another one."""
        ray = loaded()
        while True:
            time.sleep(_TICK_S)
            number = self._unit
            if number is not None and time.monotonic() - self._heard_s > self._stall_s:
                with contextlib.suppress(Exception):
                    ray.get(self._ledger.stall.remote(number), timeout=5)
                os._exit(1)


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
