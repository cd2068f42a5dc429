"""Gain without forgetting: the trained weights, drawn back towards those they started from."""

from __future__ import annotations

import torch
from ultralytics.nn.tasks import DetectionModel

from oneglance.models.training.heads import class_branches


@torch.no_grad()
def draw_back(model: DetectionModel, start: DetectionModel, *, share: float) -> None:
    """Make every weight of ``model`` the average of its own and, to ``share``, ``start``'s.

    BatchNorm statistics too; the rows of the last layer stay as trained, for those of ``start``
    mean something else (COCO's car is no lorry, its stop sign one kind of sign). Fine-tuning from
    good weights stays close enough to them for the average to work, and it works on pictures of
    both kinds, the new and those of the pretraining: Wortsman et al., "Robust fine-tuning of
    zero-shot models", CVPR 2022.
    """
    rows = {
        id(weight)
        for branches in class_branches(model)
        for branch in branches
        for weight in branch[-1].parameters()
    }
    before = dict(start.named_parameters()) | dict(start.named_buffers())
    for name, weight in (*model.named_parameters(), *model.named_buffers()):
        if weight.is_floating_point() and id(weight) not in rows:
            weight.lerp_(before[name].to(weight), share)
