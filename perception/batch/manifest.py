"""The output of a batch run: parts of two tables, and which clips are in them.

``detections/part-000001.parquet``, ``clips/part-000001.parquet``, and so on. A part of ``clips``
is written last and appears whole: a clip is finished when its row is there, and what a killed run
left of ``detections`` without one is removed before the next goes on. So ``clips`` is the
manifest: it only grows, and nothing is counted twice.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oneglance.perception.batch.listing import needs
from oneglance.perception.batch.places import (
    CLIPS,
    DETECTIONS,
    FACTS,
    PART,
    SPILLED,
    open_place,
)
from oneglance.perception.batch.schema import (
    ROW_GROUP,
    VERSION,
    VERSION_KEY,
    ClipRow,
    clips_table,
)
from oneglance.perception.batch.unfinished import UnfinishedParts
from oneglance.streams.errors import SinkError, UsageError
from oneglance.streams.outputs import os_reason

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_A_FILE = 1_000_000
CLIPS_A_FILE = 2_000


class BatchOutput:
    """A folder, or a prefix of an object store, of parts that a run adds to. One run at a time.

    ``address``: where it is. ``unfinished``: parts of long clips that have no row yet.
    """

    def __init__(
        self,
        out: str | os.PathLike[str],
        facts: Mapping[str, object],
        *,
        fresh: bool = False,
        commit_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Go on with what is there, or begin it. ``facts``: what the rows depend on. ``fresh``:
        what an earlier run wrote is removed. ``commit_s``: finished clips are written at least
        so often; what a kill can cost.

        Raises:
            SinkError: the place holds what is not ours, cannot be written, or is written to by
                another run.
            UsageError: it was made with other ``facts``, or another version of the tables; or
                ``out`` is no place that can be written to.
        """
        try:
            import pyarrow.parquet as pq
        except ImportError:
            raise needs("pyarrow") from None
        self._pq = pq
        # The first table makes pyarrow load what it converts by (pandas, where there is one): now,
        # and the memory of a run of thousands is flat.
        clips_table([])
        self._place = place = open_place(out)
        try:
            place.check()
            if place.marked:
                place.lock()
                if fresh:
                    place.clear()
                else:
                    self._check_facts(facts)
            place.claim()
            self._begin(facts)
        except BaseException:
            place.close()
            raise
        self.address = os.fspath(out)
        self.unfinished = UnfinishedParts(place)
        self._commit_s, self._clock = commit_s, clock
        self._last_s = clock()
        self._clips: list[ClipRow] = []
        self._writer = _PartWriter(place.scratch)
        self._files: list[Path] = []
        self._moved = 0

    @property
    def scratch(self) -> Path:
        """A folder of this machine for detections that ``add`` is given in files."""
        return self._place.scratch

    def finished(self) -> set[str]:
        """The names of the clips that have a row.

        Raises:
            SinkError: a part of the table cannot be read.
        """
        found: set[str] = set()
        for name in self._place.names(CLIPS):
            if PART.fullmatch(name.rpartition("/")[2]) is None:
                continue
            try:
                with self._place.open(name) as file:
                    found.update(self._pq.read_table(file, columns=["uri"])["uri"].to_pylist())
            except (OSError, ValueError) as error:
                raise SinkError(
                    f"{self._place.name}/{name} cannot be read ({error}): begin anew with --fresh"
                ) from None
        return found

    def add(self, row: ClipRow, tables: list[pa.Table], spilled: list[Path]) -> None:
        """A finished clip: its row and all its detections, in memory or in files of ``scratch``,
        which are moved.

        Raises:
            SinkError: they cannot be written.
        """
        for table in tables:
            self._writer.add(table)
        self._clips.append(row)
        self._files += spilled
        if self._writer.rows >= ROWS_A_FILE or len(self._clips) >= CLIPS_A_FILE or self._files:
            self.commit()
        else:
            self.tick()

    def tick(self) -> None:
        """Write what is finished, when it is time to.

        Raises:
            SinkError: it cannot be written.
        """
        if self._clock() - self._last_s >= self._commit_s:
            self.commit()

    def commit(self) -> None:
        """Write what is finished now.

        Raises:
            SinkError: it cannot be written; what was written before is good.
        """
        self._last_s = self._clock()
        if not self._clips:
            return
        # A commit that was interrupted is made again under the same number, over what it left.
        place, number = self._place, self._number
        while self._files:
            place.put(f"{DETECTIONS}/part-{number:06}-{self._moved + 1}.parquet", self._files[0])
            self._files.pop(0)
            self._moved += 1
        if (file := self._writer.finish()) is not None:
            place.put(f"{DETECTIONS}/part-{number:06}.parquet", file)
        if file is not None or self._moved:
            place.settle(DETECTIONS)
        place.write(f"{CLIPS}/part-{number:06}.parquet", self._encoded(clips_table(self._clips)))
        self._number += 1
        self.unfinished.drop({row.uri for row in self._clips})
        self._clips, self._files, self._moved = [], [], 0
        self._writer = _PartWriter(place.scratch)

    def close(self) -> None:
        """Write what is finished, and let others have the place.

        Raises:
            SinkError: it cannot be written.
        """
        try:
            if self._writer.is_sure:
                self.commit()
        finally:
            self._writer.abandon()
            with suppress(OSError, SinkError):
                self._sweep()
            self._place.close()

    def _sweep(self) -> int:
        """Remove what was not finished; returns the largest number of a part that was."""
        committed = {
            int(found[1])
            for name in self._place.names(CLIPS)
            if (found := PART.fullmatch(name.rpartition("/")[2]))
        }
        for name in (*self._place.names(DETECTIONS), *self._place.names(CLIPS)):
            file = name.rpartition("/")[2]
            found = PART.fullmatch(file)
            is_orphan = found is not None and int(found[1]) not in committed
            if is_orphan or SPILLED.fullmatch(file):
                self._place.remove(name)
        return max(committed, default=0)

    def _begin(self, facts: Mapping[str, object]) -> None:
        if self._place.read(FACTS) is None:
            self._place.write(FACTS, (json.dumps(_versioned(facts)) + "\n").encode())
        self._number = self._sweep() + 1

    def _encoded(self, table: pa.Table) -> memoryview:
        import pyarrow as pa

        sink = pa.BufferOutputStream()
        self._pq.write_table(table, sink, row_group_size=ROW_GROUP, compression="zstd")
        return memoryview(sink.getvalue())

    def _check_facts(self, facts: Mapping[str, object]) -> None:
        """See that the place was begun with the same ``facts``, or not at all.

        Raises:
            UsageError: it was begun with others.
        """
        name = self._place.name
        content = self._place.read(FACTS)
        if content is None:
            return
        try:
            there = json.loads(content)
            assert isinstance(there, dict)
        except (ValueError, RecursionError, AssertionError):
            raise UsageError(
                f"{name}/{FACTS} is damaged: give another folder, or begin anew with --fresh"
            ) from None
        if there.get(VERSION_KEY.decode()) != VERSION:
            raise UsageError(
                f"{name} holds tables of version {there.get(VERSION_KEY.decode())}, this "
                f"oneglance writes version {VERSION}: give another folder, or begin anew with "
                "--fresh"
            )
        differ = [
            f"{key} {there.get(key)}, now {value}"
            for key, value in facts.items()
            if there.get(key) != value
        ]
        if differ:
            raise UsageError(
                f"{name} was begun with other settings ({'; '.join(differ)}): give them again, "
                "another folder, or begin anew with --fresh"
            )


class _PartWriter:
    """The detections of many clips into one file, of which a row group at most is in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tables: list[pa.Table] = []
        self._pending = 0
        self._file: Path | None = None
        self._writer: Any = None
        self.rows = 0
        self.is_sure = True
        """False when a write was interrupted: whether its rows are in the file is not known."""

    def add(self, table: pa.Table) -> None:
        """More rows.

        Raises:
            SinkError: they cannot be written.
        """
        self._tables.append(table)
        self._pending += table.num_rows
        self.rows += table.num_rows
        if self._pending >= ROW_GROUP:
            self._flush()

    def finish(self) -> Path | None:
        """The complete file, None where there are no rows; the same file when called again.

        Raises:
            SinkError: it cannot be written.
        """
        if self._pending:
            self._flush()
        if self._writer is not None:
            with self._errors():
                self._writer.close()
        return self._file

    def abandon(self) -> None:
        """Remove a file that was not put."""
        with suppress(OSError):
            if self._writer is not None:
                self._writer.close()
        if self._file is not None:
            with suppress(OSError):
                self._file.unlink(missing_ok=True)

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.is_sure = False
        tables, self._tables, self._pending = self._tables, [], 0
        table = pa.concat_tables(tables)
        with self._errors():
            if self._writer is None:
                self._file = self._folder / f".oneglance-{secrets.token_hex(6)}.part"
                self._writer = pq.ParquetWriter(self._file, table.schema, compression="zstd")
            self._writer.write_table(table, row_group_size=2 * ROW_GROUP)
        self.is_sure = True

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SinkError(
                f"cannot write to {self._folder}: {os_reason(error)}. What was written before is "
                "good: the same command goes on from there"
            ) from None


def _versioned(facts: Mapping[str, object]) -> dict[str, object]:
    return {VERSION_KEY.decode(): VERSION, **facts}
