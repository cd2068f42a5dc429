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
from oneglance.models.overlap import iou
from oneglance.models.tasks import ModelClass, Task


@dataclass(frozen=True, slots=True)
class Suppression:
    """How the many boxes of an object become one.

    ``iou``: two boxes of one task that overlap more are one object, and the surer one is kept.
    ``voting_iou``: it becomes the mean, weighted by score, of all boxes of the task that overlap
    it as much and more (box voting: Gidaris and Komodakis, ICCV 2015); None for none.
    """

    iou: float
    voting_iou: float | None


SUPPRESSION = Suppression(0.6, 0.7)
"""Chosen on training images, see benchmarks/results/suppression."""

PLAIN_SUPPRESSION = Suppression(0.7, None)
"""ultralytics' default; what the reference frames of model files were made with."""

VOTERS_FROM = 0.001
"""Boxes of this score and more have a vote, whatever the confidence asked for: what is found lies
where an evaluation, which asks for all, says that it lies."""

TINY = float(np.finfo(np.float32).tiny)
"""What nothing is divided by less than."""

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
    output: npt.NDArray[np.float32],
    head: Head,
    *,
    confidence: float,
    table: ClassTable,
    suppression: Suppression = SUPPRESSION,
) -> Decoded:
    """Boxes of at least ``confidence`` among the classes that ``table`` allows.

    ``suppression``: of a one-to-many head; a one-to-one head gives one box an object by itself.
    """
    if head is Head.ONE_TO_ONE:
        return _decode_one_to_one(output[0], confidence, table)
    return _decode_one_to_many(output[0], confidence, table, suppression)


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
    columns: npt.NDArray[np.float32],
    confidence: float,
    table: ClassTable,
    suppression: Suppression,
) -> Decoded:
    scores = columns[4:]
    if not table.allowed.all():
        scores = np.where(table.allowed[:, None], scores, np.float32(-1))
    best = scores.max(axis=0)
    counted = np.flatnonzero(best >= min(confidence, VOTERS_FROM))
    best, scores = best[counted], scores[:, counted]
    class_id = scores.argmax(axis=0).astype(np.int64)
    cx, cy, width, height = columns[:4, counted]
    xywh = np.stack((cx - width / 2, cy - height / 2, width, height), axis=1)
    task = table.task[class_id]
    kept = np.flatnonzero(best >= confidence)
    # The boxes are OpenCV's to compare; per task, so that a person before a car stays.
    nms: Any = cv2.dnn.NMSBoxesBatched  # Any: its stubs ask for lists, it takes arrays
    suppressed = nms(xywh[kept], best[kept], task[kept], 0.0, suppression.iou)
    order = kept[np.asarray(suppressed, np.intp).reshape(-1)[:MAX_DETECTIONS]]
    order = order[np.argsort(-best[order], kind="stable")]
    exact = xywh.astype(np.float64)  # so that the mean of one box is that box
    corners = exact.copy()
    corners[:, 2:] += corners[:, :2]
    boxes = corners[order]
    if suppression.voting_iou is not None and len(order):
        votes = iou(exact[order], exact) >= suppression.voting_iou
        votes &= task[order, None] == task
        boxes = _voted(boxes, corners, np.where(votes, best.astype(np.float64), 0))
    best, class_id = best[order], class_id[order]
    if table.has_subclasses:
        _assign_subclasses(class_id, scores[:, order], best, table)
    return Decoded(boxes.astype(np.float32), best, class_id)


def _voted(
    boxes: npt.NDArray[np.float64],
    corners: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """The means of N ``corners`` by K×N ``weights``; of K ``boxes`` where nothing votes."""
    total = weights.sum(axis=1, keepdims=True)
    means = weights @ corners / np.maximum(total, TINY)
    return np.where(total > 0, means, boxes)


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
