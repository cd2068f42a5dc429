"""How often an object that was found is also told right: red, not green."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MATCH_IOU = 0.5
"""A detection is true when it overlaps a labelled object of its task at least this much."""

Boxes = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SubclassAccuracy:
    """Of ``found`` true detections of objects whose kind is labelled: ``right`` of that kind,
    ``untold`` of the task's plain class; the rest were told wrong."""

    right: int
    untold: int
    found: int

    @property
    def share(self) -> float:
        """The share told right, in 0..1; 0 where nothing was found."""
        return self.right / self.found if self.found else 0.0

    def __add__(self, other: SubclassAccuracy) -> SubclassAccuracy:
        return SubclassAccuracy(
            self.right + other.right, self.untold + other.untold, self.found + other.found
        )


def compare_subclasses(
    labelled: Boxes, kinds: Sequence[str], found: Boxes, told: Sequence[str], *, plain: str
) -> SubclassAccuracy:
    """Compare one task's boxes in one image, both N×4 ``x1 y1 x2 y2``.

    ``found`` is best first; each takes the free labelled box that it overlaps most, from
    ``MATCH_IOU`` on. Objects labelled ``plain`` are matched but not counted.
    """
    right = untold = counted = 0
    overlap = _iou(found, labelled)
    for row, name in zip(overlap, told, strict=True):
        if not row.size or row.max() < MATCH_IOU:
            continue
        object_ = int(row.argmax())
        overlap[:, object_] = 0.0
        if kinds[object_] != plain:
            counted += 1
            right += name == kinds[object_]
            untold += name == plain
    return SubclassAccuracy(right, untold, counted)


def _iou(ones: Boxes, others: Boxes) -> npt.NDArray[np.float64]:
    top_left = np.maximum(ones[:, None, :2], others[None, :, :2])
    bottom_right = np.minimum(ones[:, None, 2:], others[None, :, 2:])
    shared = (bottom_right - top_left).clip(min=0).prod(axis=2)
    area = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (ones, others)]
    union = area[0][:, None] + area[1][None, :] - shared
    overlap: npt.NDArray[np.float64] = np.zeros_like(shared)
    np.divide(shared, union, out=overlap, where=union > 0)
    return overlap
