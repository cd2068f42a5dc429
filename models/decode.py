"""The network's output tensor into boxes, for both layouts that ``metadata.Head`` names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from oneglance.models.letterbox import Boxes
from oneglance.models.metadata import Head

NMS_IOU = 0.7
"""Two boxes of one class that overlap more are one; ultralytics' default."""

MAX_DETECTIONS = 300


@dataclass(frozen=True, slots=True)
class Decoded:
    """Boxes in pixels of the network's input, best first.

    ``xyxy`` N×4 float32, ``confidence`` N float32 in 0..1, ``class_id`` N int64.
    """

    xyxy: Boxes
    confidence: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.int64]


def decode(
    output: npt.NDArray[np.float32],
    head: Head,
    *,
    confidence: float,
    allowed: npt.NDArray[np.bool_],
) -> Decoded:
    """Boxes of at least ``confidence`` among the classes ``allowed`` (one bool a class)."""
    if head is Head.ONE_TO_ONE:
        return _decode_one_to_one(output[0], confidence, allowed)
    return _decode_one_to_many(output[0], confidence, allowed)


def _decode_one_to_one(
    rows: npt.NDArray[np.float32], confidence: float, allowed: npt.NDArray[np.bool_]
) -> Decoded:
    rows = rows[rows[:, 4] >= confidence]
    class_id = rows[:, 5].astype(np.int64)
    if not allowed.all():
        keep = allowed[class_id]
        rows, class_id = rows[keep], class_id[keep]
    return Decoded(rows[:, :4].copy(), rows[:, 4].copy(), class_id)


def _decode_one_to_many(
    columns: npt.NDArray[np.float32], confidence: float, allowed: npt.NDArray[np.bool_]
) -> Decoded:
    scores = columns[4:]
    if not allowed.all():
        scores = np.where(allowed[:, None], scores, np.float32(-1))
    best = scores.max(axis=0)
    kept = np.flatnonzero(best >= confidence)
    best = best[kept]
    class_id = scores[:, kept].argmax(axis=0).astype(np.int64)
    cx, cy, width, height = columns[:4, kept]
    xywh = np.stack((cx - width / 2, cy - height / 2, width, height), axis=1)
    # The boxes are OpenCV's to compare; per class, so that a person before a car stays.
    nms: Any = cv2.dnn.NMSBoxesBatched  # Any: its stubs ask for lists, it takes arrays
    suppressed = nms(xywh, best, class_id.astype(np.int32), 0.0, NMS_IOU)
    order = np.asarray(suppressed, np.intp).reshape(-1)[:MAX_DETECTIONS]
    order = order[np.argsort(-best[order], kind="stable")]
    boxes = xywh[order]
    boxes[:, 2:] += boxes[:, :2]
    return Decoded(boxes, best[order], class_id[order])
