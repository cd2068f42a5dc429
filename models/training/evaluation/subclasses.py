"""How often an object that was found has the right subclass too: red, not green."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from oneglance.models.overlap import iou, to_xywh

MATCH_IOU = 0.5
"""A detection is true when it overlaps a labelled object of its task at least this much."""

Boxes = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SubclassAccuracy:
    """Of ``found`` true detections of objects whose subclass is labelled: ``correct`` of that
    subclass, ``unassigned`` of the parent class; the rest are of another subclass."""

    correct: int
    unassigned: int
    found: int

    @property
    def share(self) -> float:
        """The share that is correct, in 0..1; 0 where nothing was found."""
        return self.correct / self.found if self.found else 0.0

    def __add__(self, other: SubclassAccuracy) -> SubclassAccuracy:
        return SubclassAccuracy(
            self.correct + other.correct,
            self.unassigned + other.unassigned,
            self.found + other.found,
        )


def compare_subclasses(
    labelled: Boxes, names: Sequence[str], found: Boxes, assigned: Sequence[str], *, parent: str
) -> SubclassAccuracy:
    """Compare one task's boxes in one image, both N×4 ``x1 y1 x2 y2``.

    ``found`` is best first; each takes the free labelled box that it overlaps most, from
    ``MATCH_IOU`` on. Objects labelled ``parent`` are matched but not counted.
    """
    correct = unassigned = counted = 0
    overlap = iou(to_xywh(found), to_xywh(labelled))
    for row, name in zip(overlap, assigned, strict=True):
        if not row.size or row.max() < MATCH_IOU:
            continue
        object_ = int(row.argmax())
        overlap[:, object_] = 0.0
        if names[object_] != parent:
            counted += 1
            correct += name == names[object_]
            unassigned += name == parent
    return SubclassAccuracy(correct, unassigned, counted)
