"""The sink ``parquet:DIR``: the table ``detections`` of a batch run, of whatever is running."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from oneglance.perception.batch.schema import ROW_GROUP, DetectionRows, detections_schema
from oneglance.perception.sinks.files import closed_already
from oneglance.streams.errors import UsageError
from oneglance.streams.output_folder import OutputFolder
from oneglance.streams.outputs import output_error
from oneglance.streams.redaction import printable

if TYPE_CHECKING:
    import pyarrow as pa

    from oneglance.perception.plugins import SinkContext
    from oneglance.perception.result import Result

ROWS_A_FILE = 200_000

WRITTEN_EVERY_S = 60.0
"""How much a kill can cost."""


class ParquetSink:
    """Writes a row for each box, into files that appear whole, one after the other.

    The columns are those of ``batch.schema.detections_schema``; ``clip`` is the frame's source,
    and ``model_sha256`` is empty, for a sink does not know it. A frame without boxes has no row.
    What an earlier run wrote into the folder is removed.
    """

    def __init__(
        self, path: Path, *, model: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Claim the folder.

        Raises:
            SinkError: it holds what we did not make, another run or output writes to it, or it
                cannot be written.
            UsageError: pyarrow is not installed.
        """
        try:
            import pyarrow.parquet as pq
        except ImportError:
            raise UsageError("pyarrow is not installed: pip install 'oneglance[batch]'") from None
        self._pq = pq
        self._folder = OutputFolder(path, "run --sink parquet")
        self._folder.check()
        self._folder.lock()
        if self._folder.marked:
            self._folder.clear()
        self._folder.claim()
        self._model, self._clock = model, clock
        self._sources: dict[str, DetectionRows] = {}
        self._files = 0
        self._last_s = clock()
        self._closed = False

    def write(self, result: Result) -> None:
        """Add a result.

        Raises:
            SinkError: the disk is full, or the folder cannot be written to for another reason.
        """
        if self._closed:
            raise closed_already(self._folder.name)
        source = result.frame.source
        if source not in self._sources:
            self._sources[source] = DetectionRows(printable(source), self._model, "")
        self._sources[source].add(result)
        if len(self._sources[source]) >= ROWS_A_FILE or (
            self._clock() - self._last_s >= WRITTEN_EVERY_S
        ):
            self._commit()

    def close(self) -> None:
        """Write what is left, and let others have the folder. May be called twice.

        Raises:
            SinkError: it cannot be written; the files before are whole.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._commit()
        finally:
            self._folder.release()

    def _commit(self) -> None:
        import pyarrow as pa

        self._last_s = self._clock()
        tables = [rows.take() for rows in self._sources.values() if len(rows)]
        if tables:
            self._write(pa.concat_tables(tables))
        elif not self._files:  # a table without rows is a table too
            self._write(detections_schema().empty_table())

    def _write(self, table: pa.Table) -> None:
        import pyarrow as pa

        buffer = pa.BufferOutputStream()
        self._pq.write_table(table, buffer, row_group_size=ROW_GROUP, compression="zstd")
        name = f"part-{self._files + 1:06}.parquet"
        try:
            with self._folder.making() as note:
                note(name)
        except OSError as error:
            raise output_error(self._folder.name, error) from None
        self._folder.write(name, memoryview(buffer.getvalue()))
        self._files += 1


def open_parquet(target: str, context: SinkContext) -> ParquetSink:
    """The sink ``parquet:DIR``.

    Raises:
        SinkError, UsageError: see ``ParquetSink``.
    """
    if not target:
        raise UsageError("the sink parquet needs a folder: parquet:DIR")
    return ParquetSink(Path(target), model=context.model)
