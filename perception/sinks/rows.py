"""The sink ``csv:FILE``: a row for each box, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from oneglance.perception.sinks.files import STANDARD_OUTPUT
from oneglance.perception.sinks.jsonl import JsonLinesSink, as_object
from oneglance.streams.errors import SinkError

if TYPE_CHECKING:
    import os

    from oneglance.perception.plugins import SinkContext
    from oneglance.perception.result import Result

COLUMNS = (
    *("source", "frame", "timestamp_s", "task", "class", "confidence"),
    *("x1", "y1", "x2", "y2", "track_id"),
)
"""A box's corners are in pixels of the frame; ``track_id`` is empty without a track."""


class CsvSink(JsonLinesSink):
    """Writes a row for each detection, under a line of ``COLUMNS``; RFC 4180 with line feeds.

    The rows of a frame are handed to the operating system together and at once, as lines of JSON
    are. A frame without detections has no row.
    """

    name = "csv"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open ``path``, or standard output for ``-``, and write the names of the columns.

        Raises:
            SinkError: the file cannot be written, or there is no standard output.
        """
        super().__init__(path)
        try:
            self._put(_rows([COLUMNS]))
        except SinkError:
            self.close()
            raise

    def write(self, result: Result) -> None:
        """Write a row for each detection.

        Raises:
            SinkError: see ``JsonLinesSink.write``.
        """
        found = as_object(result)
        place = [found[name] for name in ("source", "frame", "timestamp_s")]
        rows = [
            [*place, box["task"], box["class"], box["confidence"], *box["xyxy"], box["track_id"]]
            for box in found["detections"]
        ]
        if rows:
            self._put(_rows(rows))


def _rows(rows: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def open_csv(target: str, context: SinkContext) -> CsvSink:
    """The sink ``csv:FILE``; without a file it is standard output.

    Raises:
        SinkError: see ``CsvSink``.
    """
    del context
    return CsvSink(target or STANDARD_OUTPUT)
