"""Results that were written before, frame by frame: JSON Lines of a run, Parquet of a batch run,
and what people made of them in a tool for labelling."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from oneglance.perception.convert.annotations import read_annotations
from oneglance.perception.convert.boxes import Box, FrameBoxes, safe_name
from oneglance.streams.errors import DataError, UsageError

COLUMNS = (
    *("clip", "frame", "timestamp_s", "task", "class", "confidence"),
    *("x1", "y1", "x2", "y2", "track_id", "width", "height"),
)


def read_results(path: Path) -> Iterator[FrameBoxes]:
    """The frames in ``path``, in its order: a file of JSON Lines as ``oneglance run`` writes it, a
    Parquet file of ``detections``, a folder of them, or the output folder of ``oneglance batch``;
    or annotations: CVAT's XML, JSON of Label Studio or COCO (see ``annotations``).

    Parquet has a row for each box: frames without one are not in it, and are not given.

    Raises:
        DataError: there is none, or it is none of these.
        UsageError: Parquet, and the extra ``batch`` is not installed; CVAT's XML, and ``eval``.
    """
    files = table_files(path)
    if files is not None:
        return itertools.chain.from_iterable(map(_parquet, files))
    if path.suffix.lower() in {".json", ".xml"}:
        return read_annotations(path)
    return _json_lines(path)


def table_files(path: Path) -> list[Path] | None:
    """The Parquet files of ``path``, in their order; None where it is another file.

    Raises:
        DataError: there is no such path, or no Parquet file in it.
    """
    if path.is_dir():
        inner = path / "detections"
        files = sorted((inner if inner.is_dir() else path).glob("*.parquet"))
        if not files:
            raise DataError(f"{path} holds no Parquet files: name what 'oneglance batch' wrote")
        return files
    if not path.exists():
        if re.match(r"[a-z][a-z0-9]+:/", str(path)):
            raise DataError(f"{path} is no path of this machine: copy the results here first")
        raise DataError(f"no file or folder {path}")
    return [path] if path.suffix == ".parquet" else None


@contextmanager
def open_table(path: Path) -> Iterator[Any]:
    """A file of ``detections``, as pyarrow's ``ParquetFile``.

    Raises:
        DataError: it cannot be read, or has other columns.
        UsageError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UsageError("pyarrow is not installed: pip install 'oneglance[batch]'") from None
    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in COLUMNS if name not in file.schema_arrow.names]
            if missing:
                raise DataError(f"{path} is no table of detections: it has no {missing[0]}")
            yield file
    except (OSError, ValueError, TypeError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from None


def _json_lines(path: Path) -> Iterator[FrameBoxes]:
    with path.open("rb") as content:
        for number, line in enumerate(content, 1):
            try:
                yield _frame_of(json.loads(line))
            except (
                KeyError,
                TypeError,
                ValueError,
                AttributeError,
                ArithmeticError,
                RecursionError,
            ):
                raise DataError(
                    f"{path}, line {number}: no result as 'oneglance run --jsonl' writes it"
                ) from None


def _frame_of(found: dict[str, Any]) -> FrameBoxes:
    boxes = []
    for each in found["detections"]:
        x1, y1, x2, y2 = map(float, each["xyxy"])
        box = Box(
            str(each["task"]),
            str(each["class"]),
            float(each["confidence"]),
            (x1, y1, x2, y2),
            None if each["track_id"] is None else int(each["track_id"]),
        )
        boxes.append(box)
    index, timestamp_s = int(found["frame"]), float(found["timestamp_s"])
    size = None
    if "size" in found:  # of 'oneglance mine', as is the image
        width, height = map(int, found["size"])
        size = (width, height)
    image = safe_name(str(found["image"])) if "image" in found else None
    source = found["source"]
    if not isinstance(source, str):
        raise TypeError("a source has a name")
    return FrameBoxes(source, index, timestamp_s, size, tuple(boxes), image)


def seen_clips(path: Path) -> frozenset[str]:
    """The clips that a batch run looked at, from its table ``clips``; none where it has none.

    Raises:
        DataError: the table cannot be read.
    """
    files = sorted((path / "clips").glob("*.parquet")) if (path / "detections").is_dir() else []
    if not files:
        return frozenset()
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path / 'clips'} cannot be read as Parquet: {error}") from None
    return frozenset(row["uri"] for row in rows if row.get("frames"))


def _parquet(path: Path) -> Iterator[FrameBoxes]:
    with open_table(path) as file:
        rows = (
            row for batch in file.iter_batches(columns=list(COLUMNS)) for row in batch.to_pylist()
        )
        for _, group in itertools.groupby(rows, key=lambda row: (row["clip"], row["frame"])):
            yield frame_of_rows(list(group))


def frame_of_rows(rows: list[dict[str, Any]]) -> FrameBoxes:
    """A frame of its rows in ``detections``, of which there is at least one."""
    first = rows[0]
    boxes = tuple(
        Box(
            row["task"],
            row["class"],
            row["confidence"],
            (row["x1"], row["y1"], row["x2"], row["y2"]),
            row["track_id"],
        )
        for row in rows
    )
    size = (first["width"], first["height"])
    return FrameBoxes(first["clip"], first["frame"], first["timestamp_s"], size, boxes)
