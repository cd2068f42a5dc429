"""The pretrained network's predictions as targets for what an image does not label.

Learning without forgetting (Li and Hoiem, ECCV 2016): where a source is silent about a task, the
network is taught to go on saying what it said before its training. The teacher sees the same
augmented images, and predicts place by place, for both heads; boxes are not taught.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from oneglance.models.tasks import ModelClass
from oneglance.models.training.checkpoints import read_checkpoint
from oneglance.models.training.fit.heads import last_layer, with_new_last_layer
from oneglance.models.training.fit.losses import TeacherPredictions
from oneglance.models.training.pretrained import TAUGHT_TASKS


class Distiller:
    """A frozen pretrained network whose head weights predict our classes."""

    def __init__(
        self, base: Path, classes: Sequence[ModelClass], device: torch.device | None = None
    ) -> None:
        """``base``: the pretrained checkpoint.

        Raises:
            ModelError: it is not a YOLO detection checkpoint.
        """
        self._network = with_new_last_layer(read_checkpoint(base), classes).eval()
        self._network.requires_grad_(False).to(device or torch.device("cpu"))
        last_layer(self._network).training = True  # raw scores of both heads, not boxes
        # A subclass is not what the pretrained class means, only its parent class is.
        self._covered = torch.tensor(
            [cls.task in TAUGHT_TASKS and cls.is_parent for cls in classes],
            device=device,
        )

    @torch.no_grad()
    def predict(self, images: Tensor) -> TeacherPredictions:
        """For images B×3×H×W in 0..1; in the precision of the autocast around the call."""
        raw = self._network(images)
        heads = raw if "one2many" in raw else {"one2many": raw}  # older networks have one head
        return TeacherPredictions(
            {name: head["scores"].permute(0, 2, 1).sigmoid() for name, head in heads.items()},
            self._covered,
        )
