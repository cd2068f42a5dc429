"""Transfer: a new last layer on a pretrained network, and how much of the rest may learn.

The class branch of a YOLO head ends in a 1×1 convolution with one filter for each class. A new
class starts from the weights of the pretrained class that means the same, so the network knows a
pedestrian before its first step; everything else is transferred as it is. Measured without
this (README of ../shared): five epochs on one road lose 13 points of pedestrian mAP50.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ultralytics.nn.tasks import DetectionModel

from oneglance.models.tasks import ModelClass
from oneglance.models.training.fit.losses import parent_class_of, partial_criterion
from oneglance.models.training.fit.surgery import PCGrad, task_losses
from oneglance.models.training.pretrained import COCO_CLASSES
from oneglance.models.training.recipe import (
    GradientSurgery,
    HeadInit,
    LossWeight,
    Recipe,
    TrainableLayers,
)

CLASS_BRANCHES = ("cv3", "one2one_cv3")
"""ultralytics' names of the class branches, one for each head; their last convolution has
the weights of each class."""


class RoadModel(DetectionModel):
    """ultralytics' network, trained with the loss that leaves out what images do not label.

    ``tasks``: of each class. ``loss_weight``: what counts equally in the loss, ``balance``: how
    far. ``surgery``: what becomes of gradients that conflict.
    """

    def __init__(self, *args: Any, classes: Sequence[ModelClass], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self.parent_of = parent_class_of(classes)
        self.tasks = [cls.task for cls in classes]
        self.loss_weight = LossWeight.BOX
        self.balance = 1.0
        self.surgery: PCGrad | None = None

    def balance_by(self, recipe: Recipe) -> None:
        """Weigh and balance tasks as ``recipe`` says."""
        self.loss_weight, self.balance = recipe.loss_weight, recipe.balance
        pcgrad = recipe.gradient_surgery is GradientSurgery.PCGRAD
        self.surgery = PCGrad() if pcgrad else None

    def loss(self, batch: dict[str, Any], preds: Any = None) -> tuple[Any, Any]:
        """See ``DetectionModel.loss``; with gradient surgery the loss is the sum of its terms."""
        loss, items = super().loss(batch, preds)  # type: ignore[no-untyped-call]
        if self.surgery is None or not torch.is_grad_enabled():
            return loss, items
        of_tasks = [branch for branches in class_branches(self) for branch in branches]
        # With task branches the layer before the last is a task's own, too.
        description: Any = self.yaml
        first = -2 if "task_branches" in description else -1
        own = {id(w) for b in of_tasks for layer in b[first:] for w in layer.parameters()}
        weights = [weight for weight in self.parameters() if weight.requires_grad]
        shared = [weight for weight in weights if id(weight) not in own]
        others = [weight for weight in weights if id(weight) in own]
        return self.surgery(task_losses(self.criterion), shared, others), items

    def init_criterion(self) -> Any:
        """See ``losses``."""
        return partial_criterion(self)

    def as_ultralytics(self) -> DetectionModel:
        """Itself as ultralytics' own class, so that a saved file needs nothing of ours."""
        for ours in ("parent_of", "tasks", "loss_weight", "balance", "surgery"):
            vars(self).pop(ours, None)
        model: DetectionModel = self
        model.__class__ = DetectionModel
        return model


def with_new_last_layer(
    base: DetectionModel,
    classes: Sequence[ModelClass],
    *,
    head_init: HeadInit = HeadInit.PRETRAINED,
) -> RoadModel:
    """A network with ``base``'s weights and a last layer for ``classes``.

    With ``HeadInit.PRETRAINED``, the weights of ``base``'s classes go to the classes of the same
    name, else to those of the same task, else to those they mean by ``COCO_CLASSES``; a class that
    finds none starts at random. Several classes may start from one. With ``HeadInit.RANDOM``
    all start at random.
    """
    model = RoadModel(base.yaml, nc=len(classes), verbose=False, classes=classes)
    known = set(base.names.values()) if head_init is HeadInit.PRETRAINED else set()
    # ultralytics transfers weights to the class of the same name: lend it the base's names.
    model.names = {
        i: next((n for n in _relatives(cls) if n in known), f"new {i}")
        for i, cls in enumerate(classes)
    }
    with torch.no_grad():
        model.load(base, verbose=False)  # type: ignore[no-untyped-call]
    if (
        head_init is HeadInit.RANDOM
    ):  # with as many classes as before, they would have been transferred
        _renew_weights(model)
    model.names = {i: cls.name for i, cls in enumerate(classes)}
    return model


def from_scratch(classes: Sequence[ModelClass]) -> RoadModel:
    """A YOLO26n without any pretraining, for comparison."""
    model = RoadModel("yolo26n.yaml", nc=len(classes), verbose=False, classes=classes)
    model.names = {i: cls.name for i, cls in enumerate(classes)}
    return model


def _renew_weights(model: RoadModel) -> None:
    for branches in class_branches(model):
        for branch in branches:
            branch[-1].reset_parameters()
    last_layer(model).bias_init()


def _relatives(cls: ModelClass) -> tuple[str, ...]:
    return cls.name, cls.task.value, COCO_CLASSES[cls.task].names[0]


def last_layer(model: DetectionModel) -> Any:
    """The detection head, with both its branches."""
    layers: Any = model.model
    return layers[-1]


def class_parameters(model: DetectionModel) -> list[torch.nn.Parameter]:
    """The weights of the head's class branches."""
    return [p for branches in class_branches(model) for p in branches.parameters()]


def class_branches(model: DetectionModel) -> list[Any]:
    """For each head the list of its class branches, one for each level."""
    head = last_layer(model)
    return [branches for name in CLASS_BRANCHES if (branches := getattr(head, name, None))]


def frozen_layers(model: DetectionModel, trainable: TrainableLayers) -> list[str]:
    """What ultralytics' ``freeze`` takes to train ``trainable`` only: names below ``model.``."""
    description: Any = model.yaml
    backbone = len(description["backbone"])
    last = backbone + len(description["head"]) - 1
    if trainable is TrainableLayers.ALL:
        return []
    if trainable is TrainableLayers.NECK:
        return [str(i) for i in range(backbone)]
    frozen = [str(i) for i in range(last)]
    if trainable is TrainableLayers.LAST:
        # Blocks and not single layers: ultralytics knows a frozen BatchNorm by its block's name.
        for name, child in last_layer(model).named_children():
            if name in CLASS_BRANCHES:
                frozen += [
                    f"{last}.{name}.{level}.{place}"
                    for level, branch in enumerate(child)
                    for place in range(len(branch) - 1)
                ]
            else:
                frozen.append(f"{last}.{name}")
    return frozen
