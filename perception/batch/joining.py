"""The parts of a long clip become one: frames counted through it, and the ids of its objects.

The tracker runs here, over the boxes of all parts in their order, and not part by part: a track
would be cut where a part ends, and no rule joins two tracks as the tracker itself would have gone
on. So the ids are those of the clip played whole. It takes a millisecond a frame and no network,
and is done by a process beside the driver, which goes on listening to its workers.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from oneglance.perception.batch.events import TRIES, Done, Split, given_up
from oneglance.perception.batch.local import die_with_driver, ending, interrupts_held
from oneglance.perception.batch.places import Place, open_place
from oneglance.perception.batch.schema import ROW_GROUP, ClipRow
from oneglance.perception.batch.spilling import ClipTables
from oneglance.perception.batch.unfinished import KeptPart, UnfinishedParts
from oneglance.perception.tracking import NO_TRACK, Tracker

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    import pyarrow as pa
    import supervision as sv

_ENDS_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Joining:
    """What is to be joined: the parts of ``split`` that lie at ``out``, into a file in
    ``scratch``. ``track``: objects get ids."""

    split: Split
    out: str
    scratch: Path
    track: bool


@dataclass(frozen=True, slots=True)
class Unjoined:
    """Parts that cannot be read any more: ``why``."""

    split: Split
    why: str


def join(joining: Joining) -> Done | Unjoined:
    """The clip's row and all its detections.

    Raises:
        OSError: the result cannot be written.
        SinkError: the place cannot be reached.
    """
    place = open_place(joining.out)
    tables = ClipTables(joining.scratch)
    try:
        found = UnfinishedParts(place).find(joining.split)
        kept = [found[number] for number in range(len(joining.split.parts))]
        for table in _joined(kept, place, track=joining.track):
            tables.add(table)
        return Done(joined_row([part.row for part in kept]), *tables.close())
    except (_Unreadable, KeyError) as error:
        tables.drop()
        return Unjoined(joining.split, f"a part is missing or damaged ({error})")
    except BaseException:
        tables.drop()
        raise
    finally:
        place.close()


class _Unreadable(Exception):
    """A part's file cannot be read."""


def joined_row(rows: Sequence[ClipRow]) -> ClipRow:
    """The row of a clip whose parts, all played to their ends, have these."""
    return replace(
        rows[0],
        frames=sum(row.frames for row in rows),
        detections=sum(row.detections for row in rows),
        seconds=max(row.seconds for row in rows),
        started=min(row.started for row in rows),
        took=sum(row.took for row in rows),
        node=", ".join(sorted({row.node for row in rows})),
        attempts=max(row.attempts for row in rows),
    )


def _joined(kept: Sequence[KeptPart], place: Place, *, track: bool) -> Iterator[pa.Table]:
    """The tables of a whole clip."""
    import pyarrow.parquet as pq

    tracker = Tracker(frame_rate=kept[0].played.rate) if track else None
    before = 0
    for part in kept:
        try:
            with place.open(part.file) as file:
                table = pq.read_table(file)
        except (OSError, ValueError) as error:
            raise _Unreadable(str(error)) from None
        ids = None if tracker is None else _tracked(tracker, part, table)
        table = _numbered(table, before, ids)
        for at in range(0, table.num_rows, ROW_GROUP):
            yield table.slice(at, ROW_GROUP)
        before += part.played.seen.frames


def _tracked(tracker: Tracker, part: KeptPart, table: pa.Table) -> np.ndarray[Any, Any]:
    """The ids of a part's boxes. The tracker sees every frame, those without boxes too."""
    frames = table["frame"].to_numpy()
    begins = np.searchsorted(frames, part.played.frames, side="left")
    ends = np.searchsorted(frames, part.played.frames, side="right")
    columns = [table[name].to_numpy() for name in ("x1", "y1", "x2", "y2")]
    xyxy = np.stack(columns, axis=1)
    confidence = table["confidence"].to_numpy()
    tasks = np.array(table["task"].to_pylist(), dtype="<U10")
    ids = np.full(table.num_rows, NO_TRACK, np.int64)
    for begin, end, time_s in zip(begins, ends, part.played.times_s.tolist(), strict=True):
        boxes = _boxes(xyxy[begin:end], confidence[begin:end], tasks[begin:end])
        ids[begin:end] = tracker.update(boxes, timestamp_s=time_s).tracker_id
    return ids


def _boxes(xyxy: Any, confidence: Any, tasks: Any) -> sv.Detections:
    import supervision

    return supervision.Detections(
        xyxy=xyxy.copy(),
        confidence=confidence.copy(),
        class_id=np.zeros(len(xyxy), int),
        data={"task": tasks},
    )


def _numbered(table: pa.Table, before: int, ids: np.ndarray[Any, Any] | None) -> pa.Table:
    """A part's rows as a whole clip's: behind so many frames, with the ids of their objects."""
    import pyarrow as pa

    schema = table.schema
    frames = pa.array(table["frame"].to_numpy() + before, pa.int64())
    table = table.set_column(schema.get_field_index("frame"), schema.field("frame"), frames)
    if ids is not None:
        tracks = pa.array(ids, pa.int64(), mask=ids == NO_TRACK)
        at = schema.get_field_index("track_id")
        table = table.set_column(at, schema.field(at), tracks)
    return table


class Joiner:
    """Joins one clip after the other, in a process beside the driver."""

    def __init__(self) -> None:
        self._waiting: deque[Joining] = deque()
        self._tries = 0
        self._begun = datetime.now(UTC)
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None

    @property
    def is_busy(self) -> bool:
        """Whether anything is left to join."""
        return bool(self._waiting)

    def add(self, joining: Joining) -> None:
        """One more clip to join."""
        self._waiting.append(joining)
        if self._process is None:
            self._start()

    def poll(self, timeout_s: float = 0.0) -> Done | Unjoined | None:
        """A clip that was joined meanwhile; one whose process ended twice is given up.

        Raises:
            Exception: as from ``join``.
        """
        process, connection = self._process, self._connection
        if process is None or connection is None or not connection.poll(timeout_s):
            return None
        try:
            said: Done | Unjoined | Exception | None = connection.recv()
        except (EOFError, OSError):  # it was killed
            said = None
            process.join(_ENDS_WITHIN_S)
        why = ending(process)
        self.close()
        if isinstance(said, Exception):
            raise said
        if said is None and self._tries < TRIES:
            self._start()
            return None
        if said is None:
            why = f"the process that joins its parts ended {TRIES} times ({why})"
            said = Done(given_up(self._waiting[0].split.clip, why, self._begun))
        self._waiting.popleft()
        self._tries = 0
        if self._waiting:
            self._start()
        return said

    def close(self) -> None:
        """End the process."""
        if self._process is not None and self._connection is not None:
            self._process.kill()
            self._process.join(_ENDS_WITHIN_S)
            self._connection.close()
        self._process = self._connection = None

    def _start(self) -> None:
        self._tries += 1
        self._begun = datetime.now(UTC)
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_work, args=(theirs, self._waiting[0]), name="oneglance-join", daemon=True
        )
        with interrupts_held():
            self._process.start()
        theirs.close()


def _work(connection: Connection, joining: Joining) -> None:
    """What the process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver hears it, and ends us
    threading.Thread(target=die_with_driver, daemon=True).start()
    said: Done | Unjoined | Exception
    try:
        said = join(joining)
    except Exception as error:  # noqa: BLE001 - carried to the driver whole
        said = error
    with suppress(OSError):
        connection.send(said)
