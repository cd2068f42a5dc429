"""Ignore regions: they go through the augmentations, but not into the loss.

A merged data set has its regions among the boxes, with class numbers after those of the model,
one for each task. They are moved, cut and mirrored as boxes are, and taken out of the batch before
the loss sees it. There the class channels of the region's task count nothing at places inside it
(an anchor that lies in it, or whose predicted box mostly does), unless a labelled object is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from ultralytics.data.augment import RandomPerspective

from oneglance.models.tasks import ModelClass
from oneglance.models.training.data.merging import tasks_of

INSIDE = 0.5
"""A predicted box is in a region when so much of it is: from here on COCO's evaluation lets a
region take a detection that is no object."""


class RegionPerspective(RandomPerspective):
    """ultralytics' scale and shift, which keeps whatever remains of a region.

    A box of which little remains is dropped as unrecognisable; of a region, what remains is still
    unknown. ``classes``: how many the model has.
    """

    def __init__(self, *, classes: int, **how: Any) -> None:
        super().__init__(**how)
        self._classes = classes

    def apply_instances(
        self, labels: dict[str, Any], params: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """See ``RandomPerspective``."""
        self._regions = np.asarray(labels["cls"]).reshape(-1) >= self._classes
        result: dict[str, Any] = super().apply_instances(labels, params)
        return result

    def box_candidates(  # type: ignore[override]  # static there, called on the instance
        self, box1: npt.NDArray[Any], box2: npt.NDArray[Any], **how: Any
    ) -> npt.NDArray[np.bool_]:
        """Which boxes, 4×N before and after, stay."""
        remains = (box2[2] > box2[0]) & (box2[3] > box2[1])
        kept: npt.NDArray[np.bool_] = RandomPerspective.box_candidates(box1, box2, **how)
        return np.asarray(kept | (self._regions & remains), np.bool_)


@dataclass(frozen=True, slots=True)
class Regions:
    """The R regions of a batch.

    ``image``: R numbers, in which image of the batch. ``classes``: R×C booleans, of which of the
    model's classes nothing is known there. ``xyxy``: R×4, in 0..1 of the image.
    """

    image: Tensor
    classes: Tensor
    xyxy: Tensor

    def to(self, device: torch.device) -> Regions:
        """The same on another device."""
        return Regions(self.image.to(device), self.classes.to(device), self.xyxy.to(device))

    def outside(self, anchors: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
        """B×A×C: 0 where nothing is known of a class at a place, 1 elsewhere.

        ``anchors``: A×2, ``boxes``: B×A×4 ``xyxy``, both in pixels of an input of ``size``
        (width, height).
        """
        width, height = size
        known = boxes.new_ones((*boxes.shape[:2], self.classes.shape[1]))
        scale = boxes.new_tensor([width, height, width, height])
        for image, classes, region in zip(
            self.image.tolist(), self.classes, self.xyxy.to(boxes) * scale, strict=True
        ):
            inside = _within(anchors, region) | (_share_in(boxes[image], region) >= INSIDE)
            known[image] *= 1 - (inside[:, None] & classes[None]).to(known.dtype)
        return known


def take_regions(batch: dict[str, Any], classes: Sequence[ModelClass]) -> Regions:
    """Take the regions out of a batch of ultralytics', which is changed; see the module."""
    numbers = batch["cls"].view(-1)
    is_region = numbers >= len(classes)
    of_class = torch.tensor([[c.task is task for c in classes] for task in tasks_of(classes)])
    centre, extent = batch["bboxes"][is_region].split(2, dim=1)
    found = Regions(
        batch["batch_idx"][is_region].long(),
        of_class.to(numbers.device)[(numbers[is_region] - len(classes)).long()],
        torch.cat((centre - extent / 2, centre + extent / 2), dim=1),
    )
    for key in ("batch_idx", "cls", "bboxes"):
        batch[key] = batch[key][~is_region]
    return found


class RegionAssigner(nn.Module):
    """An assigner that also says which places lie in regions.

    ``regions`` and ``size`` must be set before each batch; ``outside`` is then what
    ``Regions.outside`` says, or None without a region.
    """

    def __init__(self, assigner: nn.Module) -> None:
        super().__init__()
        self.assigner = assigner
        self.regions: Regions | None = None
        self.size = (0, 0)
        self.outside: Tensor | None = None

    def forward(
        self, scores: Tensor, boxes: Tensor, anchors: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, ...]:
        """See ``TaskAlignedAssigner.forward``."""
        self.outside = None
        if self.regions is not None and len(self.regions.image):
            self.outside = self.regions.outside(anchors, boxes, self.size)
        result: tuple[Tensor, ...] = self.assigner(scores, boxes, anchors, *args, **kwargs)
        return result


def _within(points: Tensor, region: Tensor) -> Tensor:
    """Which of N×2 points lie in a region, ``xyxy``."""
    return ((points >= region[:2]) & (points <= region[2:])).all(dim=1)


def _share_in(boxes: Tensor, region: Tensor) -> Tensor:
    """How much of each of N×4 boxes lies in a region, 0 to 1."""
    shared = torch.minimum(boxes[:, 2:], region[2:]) - torch.maximum(boxes[:, :2], region[:2])
    area = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1)
    return shared.clamp(min=0).prod(dim=1) / area.clamp(min=1e-9)
