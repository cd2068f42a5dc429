"""The output folder of a batch run: parts of two tables, and which clips are in them.

``DIR/detections/part-000001.parquet``, ``DIR/clips/part-000001.parquet``, and so on. A part of
``clips`` is written last and appears whole: a clip is finished when its row is there, and what a
killed run left of ``detections`` without one is removed before the next goes on. So ``clips``
is the manifest: it only grows, and nothing is counted twice.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from oneglance.perception.batch.listing import needs
from oneglance.perception.batch.schema import (
    ROW_GROUP,
    VERSION,
    VERSION_KEY,
    ClipRow,
    clips_table,
)
from oneglance.streams.errors import SinkError, UsageError
from oneglance.streams.outputs import OutputFolder, output_error, sync_folder

if TYPE_CHECKING:
    import pyarrow as pa

DETECTIONS, CLIPS = "detections", "clips"

FACTS = "batch.json"
"""What the rows depend on, beside the tables."""

ROWS_A_FILE = 200_000
CLIPS_A_FILE = 2_000

_PART = re.compile(r"part-(\d{6,})(?:-\d+)?\.parquet")
_SPILLED = re.compile(r"\.oneglance-[0-9a-f]{12}\.part")


class BatchOutput:
    """A folder of parts that a run adds to. One run at a time."""

    def __init__(
        self,
        path: Path,
        facts: Mapping[str, object],
        *,
        fresh: bool = False,
        commit_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Go on with the folder, or begin it. ``facts``: what the rows depend on. ``fresh``:
        what an earlier run wrote is removed. ``commit_s``: finished clips are written at least
        so often; what a kill can cost.

        Raises:
            SinkError: the folder holds what is not ours, cannot be written, or is written to by
                another run.
            UsageError: it was made with other ``facts``, or another version of the tables.
        """
        try:
            import pyarrow.parquet as pq
        except ImportError:
            raise needs("pyarrow") from None
        self._pq = pq
        self._folder = OutputFolder(path, "batch")
        self._folder.check()
        self._number = 1
        self._lock = _Lock()
        if self._folder.marked:
            self._lock.take(path)
        try:
            if fresh and self._folder.marked:
                self._folder.clear()
            elif not fresh:
                _check_facts(path, facts)
            self._folder.claim()
            self._lock.take(path)
            self._begin(facts)
        except BaseException:
            self._lock.release()
            raise
        self._commit_s, self._clock = commit_s, clock
        self._last_s = clock()
        self._clips: list[ClipRow] = []
        self._tables: list[pa.Table] = []
        self._files: list[Path] = []
        self._rows = self._moved = 0

    @property
    def path(self) -> Path:
        """The folder."""
        return self._folder.path

    def finished(self) -> set[str]:
        """The names of the clips that have a row.

        Raises:
            SinkError: a part of the table cannot be read.
        """
        found: set[str] = set()
        for file in sorted((self.path / CLIPS).glob("part-*.parquet")):
            try:
                found.update(self._pq.read_table(file, columns=["uri"])["uri"].to_pylist())
            except (OSError, ValueError) as error:
                raise SinkError(
                    f"{file} cannot be read ({error}): begin anew with --fresh"
                ) from None
        return found

    def add(self, row: ClipRow, tables: list[pa.Table], spilled: list[Path]) -> None:
        """A finished clip: its row and all its detections, in memory or in files of theirs, which
        are moved.

        Raises:
            SinkError: they cannot be written.
        """
        self._clips.append(row)
        self._tables += tables
        self._files += spilled
        self._rows += sum(table.num_rows for table in tables)
        if self._rows >= ROWS_A_FILE or len(self._clips) >= CLIPS_A_FILE or self._files:
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
        number = self._number
        try:
            self._move_files(number)
            if self._rows:
                import pyarrow as pa

                self._write(
                    f"{DETECTIONS}/part-{number:06}.parquet", pa.concat_tables(self._tables)
                )
            if self._rows or self._moved:
                sync_folder(self.path / DETECTIONS)
            self._write(f"{CLIPS}/part-{number:06}.parquet", clips_table(self._clips))
        except OSError as error:
            raise output_error(self.path, error, kept=_KEPT) from None
        self._number += 1
        self._clips, self._tables, self._files, self._rows, self._moved = [], [], [], 0, 0

    def close(self) -> None:
        """Write what is finished, and let others have the folder.

        Raises:
            SinkError: it cannot be written.
        """
        try:
            self.commit()
        finally:
            with suppress(OSError):
                self._sweep()
            self._lock.release()

    def _move_files(self, number: int) -> None:
        while self._files:
            name = f"{DETECTIONS}/part-{number:06}-{self._moved + 1}.parquet"
            with self._folder.making() as note:
                target = note(name)
            if self._files[0].exists():
                self._files[0].replace(target)
            self._files.pop(0)
            self._moved += 1

    def _sweep(self) -> set[int]:
        """Remove what was not finished; returns the numbers of the parts that were."""
        committed = {
            int(found[1])
            for each in (self.path / CLIPS).iterdir()
            if (found := _PART.fullmatch(each.name))
        }
        for file in [*(self.path / DETECTIONS).iterdir(), *(self.path / CLIPS).iterdir()]:
            found = _PART.fullmatch(file.name)
            is_orphan = found is not None and int(found[1]) not in committed
            if is_orphan or _SPILLED.fullmatch(file.name):
                file.unlink()
        return committed

    def _begin(self, facts: Mapping[str, object]) -> None:
        try:
            with self._folder.making() as note:
                for name in (DETECTIONS, CLIPS):
                    note(name).mkdir(exist_ok=True)
                if not (file := note(FACTS)).exists():
                    self._folder.write(file.name, json.dumps(_versioned(facts)) + "\n")
            committed = self._sweep()
        except OSError as error:
            raise output_error(self.path, error) from None
        self._number = max(committed, default=0) + 1

    def _write(self, name: str, table: pa.Table) -> None:
        import pyarrow as pa

        sink = pa.BufferOutputStream()
        self._pq.write_table(table, sink, row_group_size=ROW_GROUP, compression="zstd")
        with self._folder.making() as note:
            note(name)
        self._folder.write(name, memoryview(sink.getvalue()))


_KEPT = "What was written before is good: the same command goes on from there"


class _Lock:
    """Of a folder, while a run writes to it; gone with the process, however it ends."""

    def __init__(self) -> None:
        self._file: int | None = None

    def take(self, path: Path) -> None:
        """Have it, unless we do already.

        Raises:
            SinkError: another run has it.
        """

        try:
            import fcntl
        except ImportError:  # Windows
            return
        self.release()
        self._file = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise SinkError(
                f"cannot write to {path}: another run writes to it; wait for it, or give another "
                "folder"
            ) from None
        except OSError:  # a file system without locks
            self.release()

    def release(self) -> None:
        """Let others have it."""

        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
            self._file = None


def _versioned(facts: Mapping[str, object]) -> dict[str, object]:
    return {VERSION_KEY.decode(): VERSION, **facts}


def _check_facts(path: Path, facts: Mapping[str, object]) -> None:
    """See that a folder was begun with the same ``facts``, or not at all.

    Raises:
        UsageError: it was begun with others.
    """
    try:
        there = json.loads((path / FACTS).read_bytes())
        assert isinstance(there, dict)
    except FileNotFoundError:
        return
    except (OSError, ValueError, AssertionError):
        raise UsageError(
            f"{path / FACTS} is damaged: give another folder, or begin anew with --fresh"
        ) from None
    if there.get(VERSION_KEY.decode()) != VERSION:
        raise UsageError(
            f"{path} holds tables of version {there.get(VERSION_KEY.decode())}, this oneglance "
            f"writes version {VERSION}: give another folder, or begin anew with --fresh"
        )
    differ = [
        f"{name} {there.get(name)}, now {value}"
        for name, value in facts.items()
        if there.get(name) != value
    ]
    if differ:
        raise UsageError(
            f"{path} was begun with other settings ({'; '.join(differ)}): give them again, another "
            "folder, or begin anew with --fresh"
        )
