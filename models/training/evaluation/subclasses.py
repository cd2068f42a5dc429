"""How often an object that was found has the right subclass too: red, not green."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from oneglance.models.overlap import iou, to_xywh

MATCH_IOU = 0.5
"""A detection is true when it overlaps a labelled object of its task at least this much."""

Boxes = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SubclassAccuracy:
    """Of ``found`` true detections of objects whose subclass is labelled: ``correct`` of that
    subclass, ``unassigned`` of the parent class; the rest are of another subclass.

    ``of``: the same of each subclass that is labelled, by its name.
    """

    correct: int
    unassigned: int
    found: int
    of: Mapping[str, SubclassAccuracy] = field(default_factory=dict)

    @property
    def wrong(self) -> int:
        """How many are of another subclass."""
        return self.found - self.correct - self.unassigned

    @property
    def share(self) -> float:
        """The share that is correct, in 0..1; 0 where nothing was found."""
        return self.correct / self.found if self.found else 0.0

    @property
    def assigned_share(self) -> float:
        """The share of those with a subclass that is correct, in 0..1; 0 where there are none."""
        assigned = self.correct + self.wrong
        return self.correct / assigned if assigned else 0.0

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, ``of`` only where there are any."""
        counts = {"correct": self.correct, "unassigned": self.unassigned, "found": self.found}
        of = {name: one.as_dict() for name, one in self.of.items()}
        return {**counts, "share": self.share} | ({"of": of} if of else {})

    def __add__(self, other: SubclassAccuracy) -> SubclassAccuracy:
        none = SubclassAccuracy(0, 0, 0)
        names = sorted({*self.of, *other.of})
        return SubclassAccuracy(
            self.correct + other.correct,
            self.unassigned + other.unassigned,
            self.found + other.found,
            {name: self.of.get(name, none) + other.of.get(name, none) for name in names},
        )


def compare_subclasses(
    labelled: Boxes, names: Sequence[str], found: Boxes, assigned: Sequence[str], *, parent: str
) -> SubclassAccuracy:
    """Compare one task's boxes in one image, both N×4 ``x1 y1 x2 y2``.

    ``found`` is best first; each takes the free labelled box that it overlaps most, from
    ``MATCH_IOU`` on. Objects labelled ``parent`` are matched but not counted.
    """
    total = SubclassAccuracy(0, 0, 0)
    overlap = iou(to_xywh(found), to_xywh(labelled))
    for row, name in zip(overlap, assigned, strict=True):
        if not row.size or row.max() < MATCH_IOU:
            continue
        object_ = int(row.argmax())
        overlap[:, object_] = 0.0
        if names[object_] != parent:
            one = SubclassAccuracy(int(name == names[object_]), int(name == parent), 1)
            total += replace(one, of={names[object_]: one})
    return total
