"""The detections of one clip: in memory while they are few, else in a file of the run's."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oneglance.perception.batch.schema import ROW_GROUP

if TYPE_CHECKING:
    import pyarrow as pa


class ClipTables:
    """Gathers a clip's tables. ``folder``: ``BatchOutput.scratch``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._few: list[pa.Table] = []
        self._file: Path | None = None
        self._writer: Any = None

    def add(self, table: pa.Table) -> None:
        """More rows.

        Raises:
            OSError: the file cannot be written.
        """
        import pyarrow.parquet as pq

        if self._writer is None and not self._few:
            self._few.append(table)
            return
        if self._writer is None:
            self._file = self._folder / f".oneglance-{secrets.token_hex(6)}.part"
            self._writer = pq.ParquetWriter(self._file, table.schema, compression="zstd")
            self._writer.write_table(self._few.pop(), row_group_size=2 * ROW_GROUP)
        self._writer.write_table(table, row_group_size=2 * ROW_GROUP)

    def close(self) -> tuple[list[pa.Table], list[Path]]:
        """What there is in memory, and the file, safely on the disk.

        Raises:
            OSError: the file cannot be written.
        """
        if self._writer is None or self._file is None:
            return self._few, []
        self._writer.close()
        descriptor = os.open(self._file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return [], [self._file]

    def drop(self) -> None:
        """Forget them; the file is removed."""
        if self._writer is not None and self._file is not None:
            self._writer.close()
            self._file.unlink(missing_ok=True)
        self._few, self._writer, self._file = [], None, None
