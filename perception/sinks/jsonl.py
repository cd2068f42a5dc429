"""JSON Lines: one object a frame, for programs that read along or later."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from oneglance.perception.result import Result
from oneglance.perception.sinks.files import (
    STANDARD_OUTPUT,
    closed_already,
    is_standard_output,
    open_output,
    refuse_removed,
    standard_output,
)
from oneglance.streams.errors import SinkError
from oneglance.streams.outputs import output_error, write_whole
from oneglance.streams.redaction import printable

if TYPE_CHECKING:
    import supervision as sv

    from oneglance.perception.plugins import SinkContext

_NO_TRACK = -1
_READER_GONE = {errno.EPIPE, errno.EINVAL}  # EINVAL is what Windows says of a closed pipe
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class ReaderGone(SinkError):
    """Whoever read our standard output closed it, as ``| head`` does: an ending, not a fault."""


class JsonLinesSink:
    """Writes each result as one line of JSON.

    Every line is handed to the operating system complete and at once, without a buffer of ours
    (a few microseconds a line): a reader sees it immediately and a killed run loses nothing.
    When the disk fills up, a half-written last line is truncated again.
    """

    name = "jsonl"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open ``path``, or standard output for ``-`` and its other names; a file is overwritten.

        Raises:
            SinkError: the file cannot be written, or there is no standard output.
        """
        self._path = Path(path)
        self._to_stdout = is_standard_output(path)
        self._file = standard_output() if self._to_stdout else open_output(self._path)
        # A file that was open before, as /dev/stderr, holds what is not ours.
        self._whole_bytes = 0 if self._to_stdout else os.fstat(self._file.fileno()).st_size

    def write(self, result: Result) -> None:
        """Write one line.

        Raises:
            ReaderGone: standard output was closed by its reader.
            SinkError: the disk is full, or the file cannot be written for another reason. What
                was written before stays and ends with a complete line. Or the file was removed.
        """
        self._put(encoded(as_object(result)).encode() + b"\n")

    def _put(self, line: bytes) -> None:
        if self._file.closed and not self._to_stdout:
            raise closed_already(self._path)
        self._check_kept()
        try:
            write_whole(self._file, line)
            if self._to_stdout:
                self._file.flush()
        except OSError as error:
            self._truncate_to_lines()
            raise self._error(error) from None
        self._whole_bytes += len(line)

    def close(self) -> None:
        """Close the file; standard output stays open. May be called twice.

        Raises:
            SinkError: the operating system could not keep what was written, or the file was
                removed.
        """
        if self._to_stdout or self._file.closed:
            return
        self._check_kept()
        try:
            self._file.close()
        except OSError as error:
            raise self._error(error) from None

    def _check_kept(self) -> None:
        if isinstance(self._file, io.FileIO) and not self._to_stdout:
            refuse_removed(self._file, self._path)

    def _truncate_to_lines(self) -> None:
        with suppress(OSError):  # the disk is gone, which is said already
            if not self._to_stdout and stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
                self._file.truncate(self._whole_bytes)
                self._file.seek(self._whole_bytes)

    def _error(self, error: OSError) -> SinkError:
        if not self._to_stdout:
            return output_error(self._path, error, kept="The lines written before are complete")
        if error.errno in _READER_GONE:
            return ReaderGone("standard output was closed by its reader")
        return output_error("standard output", error)


def as_object(result: Result) -> dict[str, Any]:
    """What a line says of a result, ready for JSON.

    Keys: ``source``, ``frame`` (its index), ``timestamp_s``, ``dropped`` (frames since the last
    result), ``detections`` (``task``, ``class``, ``confidence``, ``xyxy`` in pixels,
    ``track_id`` or None), ``timings_ms`` (by stage), for live sources ``age_ms``, ``damaged``
    (true) where a frame is marked so, ``predicted`` (true) where the network did not look: then
    each of its detections says so too; in a run with a budget ``model`` and ``every``: what looked
    at frames at that time.
    """
    frame = result.frame
    found: dict[str, Any] = {
        "source": printable(frame.source),
        "frame": frame.index,
        "timestamp_s": round(frame.timestamp_s, 6),
        "dropped": result.dropped,
        "detections": _objects(result.detections),
        "timings_ms": {stage: round(1e3 * s, 3) for stage, s in result.timings.items()},
    }
    if frame.damaged:
        found["damaged"] = True
    if result.predicted:
        found["predicted"] = True
    if result.step is not None:
        found |= {"model": result.step.model, "every": result.step.every}
    if result.age_s is not None:
        found["age_ms"] = round(1e3 * result.age_s, 3)
    return found


def _objects(detections: sv.Detections) -> list[dict[str, Any]]:
    count = len(detections)
    if not count:
        return []
    assert detections.confidence is not None, "a detector gives every box a confidence"
    # One tolist() a column; float64 first, or 0.87 would read 0.8700000047683716.
    boxes = np.round(detections.xyxy.astype(np.float64), 2).tolist()
    confidences = np.round(detections.confidence.astype(np.float64), 4).tolist()
    tasks = np.asarray(detections.data["task"]).tolist()
    names = np.asarray(detections.data["class_name"]).tolist()
    ids = detections.tracker_id
    tracks = [_NO_TRACK] * count if ids is None else ids.tolist()
    predicted = detections.data.get("predicted", ())
    found = [
        {
            "task": task,
            "class": name,
            "confidence": confidence,
            "xyxy": box,
            "track_id": None if track == _NO_TRACK else track,
        }
        for task, name, confidence, box, track in zip(
            tasks, names, confidences, boxes, tracks, strict=True
        )
    ]
    for row in np.flatnonzero(predicted):
        found[row]["predicted"] = True
    return found


def encoded(found: dict[str, Any]) -> str:
    """``found`` as JSON in one line; numbers that are not finite, which JSON lacks, are null."""
    try:
        return _encode(found)
    except ValueError:
        return _encode(_finite(found))


def _finite(value: Any) -> Any:
    """``value`` with None for every number that is not finite."""
    match value:
        case float() if not math.isfinite(value):
            return None
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list():
            return [_finite(item) for item in value]
    return value


def open_jsonl(target: str, context: SinkContext) -> JsonLinesSink:
    """The sink ``jsonl:FILE``; without a file it is standard output.

    Raises:
        SinkError: see ``JsonLinesSink``.
    """
    del context
    return JsonLinesSink(target or STANDARD_OUTPUT)
