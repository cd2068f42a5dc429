"""The two tables of a batch run, version 1.

``detections``: a row for each box. ``clips``: a row for each clip, whatever became of it. Both are
folders of Parquet files that DuckDB, pandas, polars and Ray read as one table each.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from oneglance.perception.tracking import NO_TRACK

if TYPE_CHECKING:
    import pyarrow as pa

    from oneglance.perception.result import Result

VERSION = 1
"""Of the columns and what they mean; kept in every file's metadata as ``oneglance.schema``."""

VERSION_KEY = b"oneglance.schema"

ROW_GROUP = 20_000
"""Rows that are written together: one group a frame would cost ten times the bytes."""

OK, PARTIAL, FAILED = "ok", "partial", "failed"
"""What became of a clip: all of it was seen; it broke, and the rows before are good; nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRow:
    """A row of ``clips``.

    ``uri``: the clip's name, safe to print; the ``clip`` of its detections. ``status``: ``ok``,
    ``partial`` or ``failed``. ``error_kind``, ``error``: the error's name and sentence, or None.
    ``frames``: looked at. ``detections``: rows of the other table. ``seconds``: from the clip's
    start to its last frame. ``damaged``: frames the decoder could not make whole. ``duration``:
    seconds that the container declares, None where it declares none. ``filmed``: when, without a
    zone, by the clip's name or container, None where neither says it. ``started``: UTC.
    ``took``: seconds of a worker, or of all that played parts of it. ``node``: the machine, or
    those of its parts. ``attempts``: 2 where its first worker, or that of a part, was killed.
    """

    uri: str
    status: str
    error_kind: str | None = None
    error: str | None = None
    frames: int = 0
    detections: int = 0
    seconds: float = 0.0
    damaged: int = 0
    duration: float | None = None
    filmed: datetime | None = None
    started: datetime
    took: float = 0.0
    node: str = ""
    attempts: int = 1


@cache
def detections_schema() -> pa.Schema:
    """Columns of ``detections``.

    ``clip``: the ``uri`` in ``clips``. ``frame``: 0-based, of all that the clip has.
    ``timestamp_s``: presentation time from the clip's start. ``task``, ``class``. ``confidence``
    in 0..1. ``x1``, ``y1``, ``x2``, ``y2``: pixels of the frame, which has ``width`` × ``height``.
    ``track_id``: unique within a clip; null for a box that no track holds.
    ``model``, ``model_sha256``: what found it.
    """
    import pyarrow as pa

    texts, numbers = pa.string(), pa.float32()
    return pa.schema(
        [
            pa.field("clip", texts, nullable=False),
            pa.field("frame", pa.int64(), nullable=False),
            pa.field("timestamp_s", pa.float64(), nullable=False),
            pa.field("task", texts, nullable=False),
            pa.field("class", texts, nullable=False),
            pa.field("confidence", numbers, nullable=False),
            *(pa.field(side, numbers, nullable=False) for side in ("x1", "y1", "x2", "y2")),
            pa.field("track_id", pa.int64()),
            pa.field("width", pa.int32(), nullable=False),
            pa.field("height", pa.int32(), nullable=False),
            pa.field("model", texts, nullable=False),
            pa.field("model_sha256", texts, nullable=False),
        ],
        metadata={VERSION_KEY: str(VERSION).encode()},
    )


@cache
def clips_schema() -> pa.Schema:
    """Columns of ``clips``: the fields of ``ClipRow``."""
    import pyarrow as pa

    kinds: dict[str, Any] = {
        "frames": pa.int64(),
        "detections": pa.int64(),
        "seconds": pa.float64(),
        "damaged": pa.int64(),
        "duration": pa.float64(),
        "filmed": pa.timestamp("us"),
        "started": pa.timestamp("us", "UTC"),
        "took": pa.float64(),
        "attempts": pa.int32(),
    }
    nullable = {"error_kind", "error", "duration", "filmed"}
    return pa.schema(
        [
            pa.field(name, kinds.get(name, pa.string()), nullable=name in nullable)
            for name in ClipRow.__dataclass_fields__
        ],
        metadata={VERSION_KEY: str(VERSION).encode()},
    )


def clips_table(rows: list[ClipRow]) -> pa.Table:
    """``rows`` as a table of ``clips``."""
    import pyarrow as pa

    return pa.Table.from_pylist([asdict(row) for row in rows], schema=clips_schema())


class DetectionRows:
    """Gathers results of one clip, and gives them as tables of ``detections``."""

    def __init__(self, clip: str, model: str, model_sha256: str) -> None:
        self._fixed = {"clip": clip, "model": model, "model_sha256": model_sha256}
        self._columns: dict[str, list[Any]] = {}
        self._clear()

    def __len__(self) -> int:
        return self._count

    def add(self, result: Result) -> None:
        """A row for each box of a result."""
        found, frame = result.detections, result.frame
        count = len(found)
        if not count:
            return
        boxes = found.xyxy.astype(np.float32)
        tracks = found.tracker_id
        columns = {
            "frame": np.full(count, frame.index, np.int64),
            "timestamp_s": np.full(count, frame.timestamp_s, np.float64),
            "task": np.asarray(found.data["task"]).astype(str),
            "class": np.asarray(found.data["class_name"]).astype(str),
            "confidence": np.asarray(found.confidence, np.float32),
            **{side: boxes[:, number] for number, side in enumerate(("x1", "y1", "x2", "y2"))},
            "track_id": np.full(count, NO_TRACK) if tracks is None else tracks.astype(np.int64),
            "width": np.full(count, frame.width, np.int32),
            "height": np.full(count, frame.height, np.int32),
        }
        for name, values in columns.items():
            self._columns.setdefault(name, []).append(values)
        self._count += count

    def take(self) -> pa.Table:
        """All rows gathered since the last call."""
        import pyarrow as pa

        schema, count = detections_schema(), self._count
        if not count:
            return schema.empty_table()
        arrays = []
        for field in schema:
            if field.name in self._fixed:
                arrays.append(_texts([self._fixed[field.name].encode()] * count))
                continue
            values = np.concatenate(self._columns[field.name])
            is_there = values != NO_TRACK if field.name == "track_id" else None
            arrays.append(_array(values, field.type, is_there))
        self._clear()
        return pa.Table.from_arrays(arrays, schema=schema)

    def _clear(self) -> None:
        self._count = 0
        self._columns = {}


def _array(values: np.ndarray, kind: pa.DataType, is_there: np.ndarray | None) -> pa.Array:
    """A column, null where ``is_there`` is False. By its buffers, for ``pyarrow.array`` imports
    pandas, where there is one, to see that this is none of it: 0.2 s and 80 MB."""
    import pyarrow as pa

    if values.dtype.kind == "U":
        return _texts([text.encode() for text in values.tolist()])
    buffers = [None if is_there is None else pa.py_buffer(np.packbits(is_there, bitorder="little"))]
    name = {"float": "float32", "double": "float64"}.get(str(kind), str(kind))
    exact = np.ascontiguousarray(values.astype(name, copy=False))
    return pa.Array.from_buffers(kind, len(values), [*buffers, pa.py_buffer(exact)])


def _texts(texts: list[bytes]) -> pa.Array:
    """A column of texts, in UTF-8."""
    import pyarrow as pa

    ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))]
    return pa.Array.from_buffers(pa.string(), len(texts), buffers)
