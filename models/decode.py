"""The network's output tensor into boxes, for both layouts that ``metadata.Head`` names."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from oneglance.models.letterbox import Boxes
from oneglance.models.metadata import Head
from oneglance.models.tasks import ModelClass, Task

NMS_IOU = 0.7
"""Two boxes of one task that overlap more are one; ultralytics' default."""

MAX_DETECTIONS = 300

SUBCLASS_SHARE = 0.5
"""An object is of a subclass when that scores at least this share of the object's confidence."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """Boxes in pixels of the network's input, best first.

    ``xyxy`` N×4 float32, ``confidence`` N float32 in 0..1, ``class_id`` N int64.
    """

    xyxy: Boxes
    confidence: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.int64]


class ClassTable:
    """What decoding needs of a model's classes: which are wanted, and which belong together.

    A task may have a parent class, named like the task, and subclasses (``light``, ``light_red``).
    They are one object then: the best of their scores is its confidence, and its class is the
    best subclass that reaches ``SUBCLASS_SHARE`` of it, else the parent class.
    """

    def __init__(self, classes: Sequence[ModelClass], tasks: Collection[Task]) -> None:
        """``tasks``: those wanted; classes of the others are left out."""
        order = list(Task)
        self.allowed = np.array([c.task in tasks for c in classes], np.bool_)
        self.task = np.array([order.index(c.task) for c in classes], np.int32)
        counts = np.bincount(self.task, minlength=len(order))
        self.has_subclasses = bool(counts.max() > 1)
        is_parent = np.array([c.is_parent for c in classes], np.bool_)
        self.subclasses: dict[int, npt.NDArray[np.intp]] = {
            task: np.flatnonzero((self.task == task) & ~is_parent)
            for task in np.flatnonzero(counts > 1).tolist()
        }


def decode(
    output: npt.NDArray[np.float32], head: Head, *, confidence: float, table: ClassTable
) -> Decoded:
    """Boxes of at least ``confidence`` among the classes that ``table`` allows."""
    if head is Head.ONE_TO_ONE:
        return _decode_one_to_one(output[0], confidence, table)
    return _decode_one_to_many(output[0], confidence, table)


def _decode_one_to_one(
    rows: npt.NDArray[np.float32], confidence: float, table: ClassTable
) -> Decoded:
    rows = rows[rows[:, 4] >= confidence]
    class_id = rows[:, 5].astype(np.int64)
    if not table.allowed.all():
        keep = table.allowed[class_id]
        rows, class_id = rows[keep], class_id[keep]
    if table.has_subclasses:
        rows, class_id = _merge_subclasses(rows, class_id, table)
    return Decoded(rows[:, :4].copy(), rows[:, 4].copy(), class_id)


def _merge_subclasses(
    rows: npt.NDArray[np.float32], class_id: npt.NDArray[np.int64], table: ClassTable
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """One row an object: this head lists a place once for each class that it may be."""
    best: dict[tuple[Any, ...], int] = {}
    keep: list[int] = []
    class_id = class_id.copy()
    for i, (task, row) in enumerate(zip(table.task[class_id].tolist(), rows.tolist(), strict=True)):
        first = best.setdefault((task, *row[:4]), i)
        if first == i:
            keep.append(i)
            continue
        subclasses = table.subclasses[task]
        unassigned = class_id[first] not in subclasses
        if not (unassigned and class_id[i] in subclasses):
            continue
        if row[4] >= SUBCLASS_SHARE * rows[first, 4]:
            class_id[first] = class_id[i]
    return rows[keep], class_id[keep]


def _decode_one_to_many(
    columns: npt.NDArray[np.float32], confidence: float, table: ClassTable
) -> Decoded:
    scores = columns[4:]
    if not table.allowed.all():
        scores = np.where(table.allowed[:, None], scores, np.float32(-1))
    best = scores.max(axis=0)
    kept = np.flatnonzero(best >= confidence)
    best, scores = best[kept], scores[:, kept]
    class_id = scores.argmax(axis=0).astype(np.int64)
    cx, cy, width, height = columns[:4, kept]
    xywh = np.stack((cx - width / 2, cy - height / 2, width, height), axis=1)
    # The boxes are OpenCV's to compare; per task, so that a person before a car stays.
    nms: Any = cv2.dnn.NMSBoxesBatched  # Any: its stubs ask for lists, it takes arrays
    suppressed = nms(xywh, best, table.task[class_id], 0.0, NMS_IOU)
    order = np.asarray(suppressed, np.intp).reshape(-1)[:MAX_DETECTIONS]
    order = order[np.argsort(-best[order], kind="stable")]
    boxes, best, class_id = xywh[order], best[order], class_id[order]
    if table.has_subclasses:
        _assign_subclasses(class_id, scores[:, order], best, table)
    boxes[:, 2:] += boxes[:, :2]
    return Decoded(boxes, best, class_id)


def _assign_subclasses(
    class_id: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    best: npt.NDArray[np.float32],
    table: ClassTable,
) -> None:
    """Turn parent classes into their best subclass, in place, where it is likely enough."""
    for task, subclasses in table.subclasses.items():
        here = np.flatnonzero(table.task[class_id] == task)
        if not len(here):
            continue
        of_subclasses = scores[np.ix_(subclasses, here)]
        assigned = of_subclasses.max(axis=0) >= SUBCLASS_SHARE * best[here]
        class_id[here[assigned]] = subclasses[of_subclasses.argmax(axis=0)][assigned]
