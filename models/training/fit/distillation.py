"""Predictions of other networks as targets: of the pretrained one, or of single-task models.

Learning without forgetting (Li and Hoiem, ECCV 2016): where a source is silent about a task, the
network is taught to go on saying what it said before its training. Born-again multi-task networks
(Clark et al., ACL 2019): single-task models teach the one network everything they know, at first
alone and in the end not at all where there are labels (teacher annealing). Teachers see the same
augmented images, and predict place by place, for both heads; boxes are not taught.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from ultralytics.nn.tasks import DetectionModel

from oneglance.models.tasks import CLASSES, ModelClass
from oneglance.models.training.checkpoints import read_checkpoint
from oneglance.models.training.fit.heads import last_layer, with_new_last_layer
from oneglance.models.training.fit.losses import TeacherPredictions
from oneglance.models.training.pretrained import TAUGHT_TASKS
from oneglance.streams.errors import UsageError


class Teacher(Protocol):
    """What is asked for predictions while a network trains."""

    def predict(self, images: Tensor, progress: float) -> TeacherPredictions:
        """For images B×3×H×W in 0..1; ``progress`` of the training in 0..1."""
        ...


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

    def predict(self, images: Tensor, progress: float = 0.0) -> TeacherPredictions:
        """See ``Teacher``; in the precision of the autocast around the call."""
        del progress
        return TeacherPredictions(_scores(self._network, images), self._covered)


class SingleTaskTeachers:
    """Frozen networks of ours, each the teacher of the classes it was trained for."""

    def __init__(
        self,
        files: Sequence[Path],
        classes: Sequence[ModelClass],
        device: torch.device | None = None,
    ) -> None:
        """``files``: their checkpoints. ``classes``: of the network that is taught.

        Raises:
            ModelError: one is not a YOLO detection checkpoint.
            UsageError: one has none of ``classes`` or some that are none of ours, as COCO's, whose
                car is no lorry; or two have the same one.
        """
        numbers = {cls.name: number for number, cls in enumerate(classes)}
        whose: dict[str, Path] = {}
        self._teachers: list[tuple[DetectionModel, list[int], list[int]]] = []
        for file in files:
            network = read_checkpoint(file).float().eval()
            theirs = {str(name): number for number, name in network.names.items()}
            if strange := [name for name in theirs if name not in CLASSES]:
                raise UsageError(
                    f"teacher {file} was trained for other classes than ours "
                    f"({', '.join(strange[:5])}): give a model.pt of 'oneglance train'"
                )
            shared = [name for name in numbers if name in theirs]
            if not shared:
                raise UsageError(
                    f"teacher {file} has none of the classes to train ({', '.join(numbers)}), only "
                    f"{', '.join(list(theirs)[:5])}: give a model.pt trained for some of them"
                )
            for name in shared:
                if name in whose:
                    raise UsageError(
                        f"teachers {whose[name]} and {file} both know {name}: give one for each "
                        "class"
                    )
                whose[name] = file
            network.requires_grad_(False).to(device or torch.device("cpu"))
            last_layer(network).training = True
            rows = [theirs[name] for name in shared], [numbers[name] for name in shared]
            self._teachers.append((network, *rows))
        self._covered = torch.tensor([cls.name in whose for cls in classes], device=device)

    def predict(self, images: Tensor, progress: float) -> TeacherPredictions:
        """See ``Teacher``. The share of labels in the targets is ``progress``."""
        scores: dict[str, Tensor] = {}
        for network, theirs, ours in self._teachers:
            for name, found in _scores(network, images).items():
                whole = scores.setdefault(
                    name, found.new_zeros((*found.shape[:2], len(self._covered)))
                )
                whole[..., ours] = found[..., theirs]
        return TeacherPredictions(scores, self._covered, label_share=progress)


@torch.no_grad()
def _scores(network: DetectionModel, images: Tensor) -> dict[str, Tensor]:
    """By the head's name B×A×C in 0..1."""
    raw = network(images)
    heads = raw if "one2many" in raw else {"one2many": raw}  # older networks have one head
    return {name: head["scores"].permute(0, 2, 1).sigmoid() for name, head in heads.items()}
