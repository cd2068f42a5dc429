"""A pool of processes on this machine, each with a network of its own.

A worker that is killed is replaced and its clip done once again; killed twice, the clip is a row
that says so. The same holds for a worker whose clip gives no frame for too long.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from oneglance.perception.batch.clip import ClipReader, Looked, Settings
from oneglance.perception.batch.events import TRIES, Done, Progress, Split, Unit, given_up
from oneglance.perception.batch.listing import Clip
from oneglance.perception.batch.spilling import ClipTables
from oneglance.streams.errors import OneglanceError

_TICK_S = 0.25
_REPORTS_EVERY_S = 0.5
_ENDS_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class _Unusable:
    """A worker could not load the network."""

    error: Exception


_READY = "ready"
_Said = Done | Split | _Unusable | int | str


@dataclass(slots=True)
class _Worker:
    process: SpawnProcess
    connection: Connection
    unit: Unit | None = None
    frames: int = 0
    heard_s: float = 0.0
    begun: datetime | None = None
    ready: bool = False


class LocalPool:
    """Runs clips through so many processes.

    ``spill``: the folder where a worker puts the detections of a long clip, in a file that it
    names as ``OutputFolder`` names parts. ``stall_s``: a clip that gives no frame for so long is
    given up.
    """

    def __init__(
        self,
        settings: Settings,
        workers: int,
        *,
        spill: Path,
        stall_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._count = workers
        self._spill = spill
        self._stall_s = stall_s
        self._clock = clock
        self._workers: list[_Worker] = []
        self._waiting: deque[Unit] = deque()
        self._tries: dict[Unit, int] = {}
        self._left = 0
        self._lost_idle = 0

    def run(self, units: Sequence[Unit]) -> Generator[Done | Split | Progress]:
        """Every unit once, as they end; and, at least each quarter second, the progress. Of a clip
        that is long its parts are given instead, for the caller to ``add``.

        Leaving early ends the processes.

        Raises:
            OneglanceError: no worker can load the network.
        """
        self._waiting = deque(units)
        self._left = len(units)
        try:
            for _ in range(min(self._count, self._left)):
                self._start()
            while self._left:
                frames = 0
                for worker in self._heard():
                    said = self._listen(worker)
                    if isinstance(said, Done | Split):
                        self._left -= 1
                        yield said
                    elif isinstance(said, int):
                        frames += said
                yield Progress(frames)
        finally:
            self._end()

    def add(self, units: Sequence[Unit]) -> None:
        """Do these as well, while it runs, and before those that wait: they are of long clips."""
        self._waiting.extendleft(reversed(units))
        self._left += len(units)
        for worker in self._workers:
            if worker.ready and worker.unit is None:
                self._give(worker)
        for _ in range(min(len(self._waiting), self._count - len(self._workers))):
            self._start()

    def drop(self, clip: Clip) -> None:
        """Begin nothing of a clip any more."""
        kept = [unit for unit in self._waiting if unit.clip != clip]
        self._left -= len(self._waiting) - len(kept)
        self._waiting = deque(kept)

    def _heard(self) -> list[_Worker]:
        """The workers that said something or died, within a moment; stalled ones are killed."""
        places = {worker.connection: worker for worker in self._workers}
        heard = [places[each] for each in wait(list(places), _TICK_S) if each in places]
        now_s = self._clock()
        for worker in self._workers:
            is_silent = now_s - worker.heard_s > self._stall_s
            if worker.unit is not None and worker not in heard and is_silent:
                worker.process.kill()  # its pipe closes, and the next round finds it so
        return heard

    def _listen(self, worker: _Worker) -> Done | Split | int | None:
        try:
            said: _Said = worker.connection.recv()
        except (EOFError, OSError):
            return self._lost(worker)
        worker.heard_s = self._clock()
        if isinstance(said, _Unusable):
            raise said.error
        if isinstance(said, int):
            new, worker.frames = said - worker.frames, said
            return new
        done: Done | Split | None = None
        if isinstance(said, Done | Split):
            assert worker.unit is not None
            tries, done = self._tries.pop(worker.unit, 1), said
            if isinstance(said, Done):
                done = replace(said, row=replace(said.row, attempts=tries))
            worker.unit = None
        worker.ready, self._lost_idle = True, 0
        self._give(worker)
        return done

    def _give(self, worker: _Worker) -> None:
        """What comes next to a worker that has nothing to do."""
        if not self._waiting:
            return
        worker.unit = unit = self._waiting.popleft()
        self._tries[unit] = self._tries.get(unit, 0) + 1
        worker.frames, worker.heard_s, worker.begun = 0, self._clock(), datetime.now(UTC)
        with suppress(OSError):  # one that died is found when it is listened to
            worker.connection.send(unit)

    def _lost(self, worker: _Worker) -> Done | None:
        """A worker died: another takes its place, and what it did."""
        self._workers.remove(worker)
        worker.connection.close()
        unit = worker.unit
        stalled = unit is not None and self._clock() - worker.heard_s > self._stall_s
        worker.process.join(_ENDS_WITHIN_S)
        done = None
        if unit is None:
            self._lost_idle += 1
            if self._lost_idle > self._count + TRIES:
                raise OneglanceError(
                    f"workers end before they begin (exit code {worker.process.exitcode}): is "
                    "there memory for so many? Give fewer --workers"
                )
        elif self._tries[unit] < TRIES:
            self._waiting.appendleft(unit)
        else:
            assert worker.begun is not None
            why = f"its worker ended {TRIES} times ({ending(worker.process)})"
            stall_s = self._stall_s if stalled else None
            row = given_up(unit.clip, why, worker.begun, stall_s=stall_s)
            done = Done(row, number=unit.number)
        if self._waiting:
            idle = [each for each in self._workers if each.ready and each.unit is None]
            if idle:
                self._give(idle[0])
            else:
                self._start()
        return done

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=work,
            args=(theirs, self._settings, self._spill),
            name="oneglance-batch",
            daemon=True,
        )
        with interrupts_held():
            process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours, heard_s=self._clock()))

    def _end(self) -> None:
        for worker in self._workers:
            worker.process.kill() if worker.unit else worker.process.terminate()
        for worker in self._workers:
            worker.process.join(_ENDS_WITHIN_S)
            worker.connection.close()
        self._workers = []


def work(connection: Connection, settings: Settings, spill: Path) -> None:
    """What a worker does until its driver has no clip for it any more, or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver hears it, and ends us
    threading.Thread(target=die_with_driver, daemon=True).start()
    import cv2

    cv2.setNumThreads(1)
    try:
        try:
            reader = ClipReader(settings)
        except Exception as error:  # noqa: BLE001 - carried to the driver whole
            connection.send(_Unusable(error))
            return
        connection.send(_READY)
        while True:
            connection.send(_look(reader, connection.recv(), connection, spill))
    except (EOFError, OSError):
        return


def _look(reader: ClipReader, unit: Unit, connection: Connection, spill: Path) -> Done | Split:
    reported_s = time.monotonic()

    def progress(frames: int) -> None:
        nonlocal reported_s
        if time.monotonic() - reported_s >= _REPORTS_EVERY_S:
            reported_s = time.monotonic()
            connection.send(frames)

    rows = ClipTables(spill)
    tables = reader.look(unit, progress)
    try:
        while True:
            rows.add(next(tables))
    except StopIteration as end:
        looked: Looked | Split = end.value
    if isinstance(looked, Split):
        return looked
    row, played = looked
    connection.send(row.frames)
    return Done(row, *rows.close(), unit.number, played)


def die_with_driver() -> None:
    """End at once when the driver is gone, whatever this process waits for."""
    driver = multiprocessing.parent_process()
    if driver is not None:
        wait([driver.sentinel])
        os._exit(1)


def ending(process: SpawnProcess) -> str:
    code = process.exitcode
    if code is None or code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"{name}; out of memory?" if name == "SIGKILL" else name


@contextmanager
def interrupts_held() -> Iterator[None]:
    """A process begun here hears no Ctrl-C before it can say what to do with it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
