"""How often an object that was found is also told right: red, not green."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from oneglance.models.training.evaluation.overlap import iou, to_xywh

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
    overlap = iou(to_xywh(found), to_xywh(labelled))
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
