"""How much boxes overlap, as COCO counts it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float64]
"""N×4, ``x y width height`` in pixels."""

Overlaps = npt.NDArray[np.float64]
"""N×M, in 0..1."""


def iou(ones: Boxes, others: Boxes, *, crowd: bool = False) -> Overlaps:
    """Intersection over union of each of N boxes with each of M; 0 where both are empty.

    ``crowd``: how much of each of N lies in each of M, as COCO counts regions of many objects.
    Boxes are ``xywh`` because COCO's are: a width made from two corners differs in its last bits,
    and overlaps that lie on a threshold would count otherwise than in the reference tool.

    >>> others = np.array([[0, 0, 2, 2], [1, 0, 2, 2], [5, 5, 1, 1]])
    >>> iou(np.array([[0, 0, 2, 2]]), others).round(3).tolist()
    [[1.0, 0.333, 0.0]]
    """
    top_left = np.maximum(ones[:, None, :2], others[None, :, :2])
    ends = np.minimum((ones[:, :2] + ones[:, 2:])[:, None], (others[:, :2] + others[:, 2:])[None])
    shared = (ends - top_left).clip(min=0).prod(axis=2)
    union = ones[:, 2:].prod(axis=1)[:, None] + others[:, 2:].prod(axis=1)[None] - shared
    if crowd:
        union = np.broadcast_to(ones[:, 2:].prod(axis=1)[:, None], shared.shape)
    overlap: Overlaps = np.zeros(shared.shape)
    np.divide(shared, union, out=overlap, where=union > 0)
    return overlap


def to_xywh(corners: npt.NDArray[np.floating]) -> Boxes:
    """N×4 ``x1 y1 x2 y2`` as ``x y width height``."""
    boxes = np.asarray(corners, np.float64)
    return np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), axis=1)
