"""Recorded runs read again: JSON Lines as the sink ``jsonl`` writes them, and MCAP files."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import supervision as sv

from oneglance.models.tasks import ModelClass, Task
from oneglance.perception.ros_messages import ARRAY, DEFINITIONS
from oneglance.streams.bags.bag import said
from oneglance.streams.errors import DataError, UsageError, cause
from oneglance.streams.redaction import HIDDEN, redact

Row = tuple[Task, str, float, tuple[float, float, float, float]]
"""Task, class, confidence, box in pixels."""

_NS = 1_000_000_000
_FARTHEST_PX = 1e9
_LONGEST_LINE = 16 << 20
"""Bytes; a result with a thousand boxes has a hundredth of them."""


@dataclass(frozen=True, slots=True, eq=False)
class RecordedFrame:
    """What a run saw in a frame. ``stamp_ns``: the header's, of a run that was written as
    messages; the capture time otherwise."""

    index: int
    stamp_ns: int
    detections: sv.Detections


@dataclass(frozen=True, slots=True, eq=False)
class RecordedRun:
    """One source's frames, by index. ``source``: what it was called; "" where a file does not
    say."""

    source: str
    frames: Mapping[int, RecordedFrame]

    @property
    def last(self) -> int:
        """The index of its last frame."""
        return max(self.frames)


def read_run(
    path: Path,
    *,
    source: str | None,
    classes: Sequence[ModelClass],
    tasks: Collection[Task] = tuple(Task),
) -> RecordedRun:
    """The run in ``path``; of several sources in it, the one that ``source`` names.

    ``classes``: the model's, for a file that has classes and no tasks. ``tasks``: boxes of
    others are left out.

    Raises:
        DataError: it cannot be read, is no run, or a frame stands in it twice.
        UsageError: it holds several sources and ``source`` is none of them; MCAP is not
            installed.
    """
    try:
        rows = _of_mcap(path, classes) if path.suffix == ".mcap" else _of_jsonl(path)
        by_source: dict[str, dict[int, RecordedFrame]] = {}
        for name, frame in rows:
            frames = by_source.setdefault(name, {})
            if frame.index in frames:
                raise DataError(f"{path}: frame {frame.index} of {name} stands there twice")
            frames[frame.index] = frame
    except OSError as error:
        raise DataError(f"{path} cannot be read: {cause(error)}") from None
    if not by_source:
        raise DataError(f"{path} holds no result of a run")
    if len(by_source) == 1:
        ((name, frames),) = by_source.items()
    else:
        name = "" if source is None else redact(source)
        if name not in by_source:
            every = ", ".join(sorted(by_source))
            raise UsageError(f"{path} holds several sources; give one of them: {every}")
        frames = by_source[name]
    kept = {index: _only(frame, tasks) for index, frame in frames.items()}
    return RecordedRun(name if path.suffix != ".mcap" else "", kept)


def source_of(run: RecordedRun, path: Path, given: str | None) -> str:
    """What is to be played: what was ``given``, else what the run says.

    Raises:
        UsageError: the run does not say, or its address lacks its credentials.
    """
    if given is not None:
        return given
    if not run.source or HIDDEN in run.source:
        raise UsageError(f"{path} does not say where its frames came from: give the source too")
    return run.source


def _only(frame: RecordedFrame, tasks: Collection[Task]) -> RecordedFrame:
    if not len(frame.detections):
        return frame
    wanted = np.isin(frame.detections.data["task"], [task.value for task in tasks])
    found = frame.detections[wanted]
    assert isinstance(found, sv.Detections)
    return replace(frame, detections=found)


def _of_jsonl(path: Path) -> Iterator[tuple[str, RecordedFrame]]:
    with path.open("rb") as lines:
        # A line without an end may be a device's.
        pieces = iter(lambda: lines.readline(_LONGEST_LINE), b"")
        for number, line in enumerate(pieces, 1):
            try:
                yield _of_object(json.loads(line))
            except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
                raise DataError(f"{path}, line {number}: no result of 'oneglance run'") from None


def _of_object(found: Any) -> tuple[str, RecordedFrame]:
    rows: list[Row] = []
    for each in found["detections"]:
        x1, y1, x2, y2 = map(float, each["xyxy"])
        box = (x1, y1, x2, y2)
        if not all(abs(side) < _FARTHEST_PX for side in box):
            raise ValueError("no box")
        rows.append((Task(each["task"]), str(each["class"]), float(each["confidence"]), box))
    stamp_ns = round(float(found["timestamp_s"]) * _NS)
    return str(found["source"]), RecordedFrame(int(found["frame"]), stamp_ns, detections_of(rows))


def _of_mcap(path: Path, classes: Sequence[ModelClass]) -> Iterator[tuple[str, RecordedFrame]]:
    try:
        from mcap.reader import make_reader
        from rosbags.typesys import Stores, get_types_from_msg, get_typestore
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is not installed: pip install 'oneglance[mcap]'") from None
    store = get_typestore(Stores.ROS2_HUMBLE)
    for name, text in DEFINITIONS.items():
        store.register(get_types_from_msg(text, name))
    tasks = {each.name: each.task for each in classes}
    try:
        with path.open("rb") as content:
            reader = make_reader(content, validate_crcs=True)
            for schema, channel, message in reader.iter_messages():
                if schema is not None and schema.name == ARRAY:
                    array: Any = store.deserialize_cdr(message.data, ARRAY)
                    yield channel.topic, _of_array(message.sequence, array, tasks)
    except (DataError, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - mcap's, zstandard's, rosbags', of a damaged file
        raise DataError(f"{path} is no run that can be read ({said(error)})") from None


def _of_array(index: int, array: Any, tasks: Mapping[str, Task]) -> RecordedFrame:
    rows: list[Row] = []
    for each in array.detections:
        hypothesis, box = each.results[0].hypothesis, each.bbox
        name = str(hypothesis.class_id)
        if name not in tasks:
            raise DataError(f"the model has no class '{name}', which the run saw: give its model")
        x, y = box.center.position.x, box.center.position.y
        wide, high = box.size_x / 2, box.size_y / 2
        corners = (x - wide, y - high, x + wide, y + high)
        rows.append((tasks[name], name, float(hypothesis.score), corners))
    stamp = array.header.stamp
    return RecordedFrame(index, stamp.sec * _NS + stamp.nanosec, detections_of(rows))


def detections_of(rows: Sequence[Row]) -> sv.Detections:
    """Rows as detections; without tracks.

    Raises:
        ValueError: a number is not finite.
    """
    if not rows:
        return sv.Detections.empty()
    tasks, names, scores, boxes = zip(*rows, strict=True)
    if not all(map(math.isfinite, (*scores, *(side for box in boxes for side in box)))):
        raise ValueError("not finite")
    return sv.Detections(
        xyxy=np.array(boxes, np.float32),
        confidence=np.array(scores, np.float32),
        class_id=np.zeros(len(rows), np.int64),
        data={
            "task": np.array([task.value for task in tasks]),
            "class_name": np.array(names),
        },
    )
