"""The loss of a network with several tasks, on images that label only some of them.

Every class has its own binary cross-entropy, so what an image does not tell can be left out
class by class: a road without sign labels may be full of signs, and must teach nothing about
them (the multi-task loss of partially labelled data: sum over what is labelled). ultralytics'
losses are used as they are; only their unreduced cross-entropy is replaced by ours.

A task may have kinds: ``light_red`` is a kind of ``light``. The plain class then stands for the
task whatever the kind, and is taught by boxes of every kind; kinds are taught where their kind
is told. Where an image says "a light" without its colour, the colours are unknown on that
light and absent everywhere else.

ultralytics divides a batch's loss by all its boxes, so that a task weighs as its boxes do: a
sign among twenty cars hardly counts. ``LossWeight.TASK`` divides each task's loss by its own boxes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from ultralytics.utils.loss import E2ELoss, v8DetectionLoss
from ultralytics.utils.tal import TaskAlignedAssigner

from oneglance.models.tasks import ModelClass, Task
from oneglance.models.training.fit.regions import RegionAssigner
from oneglance.models.training.recipe import LossWeight


@dataclass(frozen=True, slots=True)
class Known:
    """What a batch of B images tells of C classes.

    ``labelled`` B×C float, 1 where the image's source labels the class's task at all.
    ``told`` B×C float, 1 where it tells this very class from the others of its task.
    ``partial`` B×C bool, where it labels the class's task in part: what has no box is unknown.
    None where no image does.
    """

    labelled: Tensor
    told: Tensor
    partial: Tensor | None = None

    @classmethod
    def of(
        cls,
        classes: Sequence[ModelClass],
        known: Sequence[Set[str]],
        partial: Sequence[Set[Task]] = (),
    ) -> Self:
        """From the names of the classes that each image's source decides on, and the tasks that
        it labels in part; none by default."""
        told = [[float(c.name in names) for c in classes] for names in known]
        labelled = []
        for names in known:
            tasks = {c.task for c in classes if c.name in names}
            labelled.append([float(c.task in tasks) for c in classes])
        in_part = None
        if any(partial):
            in_part = torch.tensor([[c.task in tasks for c in classes] for tasks in partial])
        return cls(torch.tensor(labelled), torch.tensor(told), in_part)

    def to(self, device: torch.device) -> Known:
        """The same on another device."""
        partial = None if self.partial is None else self.partial.to(device)
        return Known(self.labelled.to(device), self.told.to(device), partial)


@dataclass(frozen=True, slots=True)
class Answers:
    """What a pretrained network says of a batch of B images: see ``teacher``.

    ``scores``: by the head's name (``one2many``, ``one2one``) B×A×C in 0..1, A anchors.
    ``knows``: C booleans, whose classes it can answer for.
    """

    scores: Mapping[str, Tensor]
    knows: Tensor


def plain_class_of(classes: Sequence[ModelClass]) -> dict[int, int]:
    """For each kind its task's plain class, both by number; {} for a model without kinds.

    >>> from oneglance.models.tasks import Task
    >>> plain_class_of([ModelClass("light", Task.LIGHT), ModelClass("light_red", Task.LIGHT)])
    {1: 0}
    """
    plain = {c.task: i for i, c in enumerate(classes) if c.is_parent}
    return {i: plain[c.task] for i, c in enumerate(classes) if plain.get(c.task, i) != i}


class EqualTasks(nn.Module):
    """An assigner whose target scores are scaled so that those of every task have the same sum.

    ultralytics weighs boxes by their target scores and divides by the sum of all: with these it
    comes to the mean, over the tasks that have boxes in the batch, of each task's own loss. (A
    task whose scores add up to less than 1, one poor box, counts so much less.)
    ``exponent``: 1 for that, 0 for no change; between them a task whose scores add up to s counts
    as s to the power of 1 - exponent. ``tasks``: of each of the C classes. ``factors``: C numbers,
    what the last batch's scores were multiplied by.
    """

    def __init__(
        self, assigner: nn.Module, tasks: Sequence[Task], *, exponent: float = 1.0
    ) -> None:
        super().__init__()
        self.assigner = assigner
        self.exponent = exponent
        self.factors: Tensor | None = None
        self._task_of = [list(Task).index(task) for task in tasks]

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
        """See ``TaskAlignedAssigner.forward``; target scores, B×A×C, are the third it returns."""
        labels, boxes, scores, *rest = self.assigner(*args, **kwargs)
        task_of = torch.tensor(self._task_of, device=scores.device)
        sums = scores.new_zeros(len(Task)).index_add(0, task_of, scores.sum(dim=(0, 1)))
        # At least 1, as ultralytics has it: a batch without a box divides by it.
        shares = sums.sum().clamp(min=1) / sums[task_of].clamp(min=1)
        self.factors = shares if self.exponent == 1 else shares**self.exponent
        return labels, boxes, scores * self.factors, *rest


class PartialBCE(nn.Module):
    """Binary cross-entropy with logits, unreduced, that counts only what is known.

    Called as ``nn.BCEWithLogitsLoss(reduction="none")`` is: predictions and targets B×A×C (A
    anchors). ``known`` must be set before; with everything labelled and told, and no kinds,
    the result is the plain one bit for bit. ``answers``, scores B×A×C and for which of the C
    classes, are the targets of what images do not label. ``equal``: who scaled the targets;
    the cross-entropy is scaled instead. ``regions``: who says where, besides, nothing is known:
    only objects labelled there count. Of a task that an image labels in part only anchors count
    that a box of it was assigned to; the others have their answers, if any.
    """

    def __init__(
        self,
        plain_of: Mapping[int, int],
        equal: EqualTasks | None = None,
        regions: RegionAssigner | None = None,
    ) -> None:
        super().__init__()
        self.known: Known | None = None
        self.equal = equal
        self.regions = regions
        self.answers: tuple[Tensor, Tensor] | None = None
        self._plain_of = dict(plain_of)
        self._kinds = list(plain_of)
        self._plain = list(plain_of.values())

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy B×A×C, exactly 0, gradient included, where nothing is known."""
        if self.known is None:
            raise RuntimeError("PartialBCE.known was not set for this batch")
        weight = self.known.labelled[:, None].to(logits.dtype)
        factors = None if self.equal is None else self.equal.factors
        if factors is not None:
            targets = targets / factors.to(targets.dtype)
        if self._kinds:
            weight = weight * self._certain(targets).to(logits.dtype)
            targets = self._raised(targets)
        if self.regions is not None and (outside := self.regions.outside) is not None:
            weight = weight * torch.where(targets > 0, 1, outside.to(weight.dtype))
        unknown = self.known.labelled[:, None] == 0  # B×1×C
        if self.known.partial is not None:
            unknown = unknown | self._without_box(targets, self.known.partial)
            weight = weight * ~unknown
        if self.answers is not None:
            scores, knows = self.answers
            answered = knows & unknown
            targets = torch.where(answered, scores.to(targets.dtype), targets)
            weight = weight + answered.to(weight.dtype)
        if factors is not None:
            weight = weight * factors.to(weight.dtype)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return loss * weight

    def _certain(self, targets: Tensor) -> Tensor:
        """B×A×C: 0 for the kinds of an object whose kind is not told."""
        certain = torch.ones_like(targets)
        assert self.known is not None
        untold = self.known.told[:, None, self._kinds] == 0
        certain[..., self._kinds] = 1 - (untold & (targets[..., self._plain] > 0)).to(certain.dtype)
        return certain

    def _without_box(self, targets: Tensor, partial: Tensor) -> Tensor:
        """B×A×C: where no object of a class's task was assigned, and its labels are not all there.

        ``targets`` are raised, so the plain class says it of its kinds.
        """
        judges = [self._plain_of.get(number, number) for number in range(targets.shape[-1])]
        return (targets[..., judges] <= 0) & partial[:, None]

    def _raised(self, targets: Tensor) -> Tensor:
        """Targets in which an object of a kind is an object of the plain class as well."""
        plain = torch.tensor(self._plain, device=targets.device)
        return targets.index_add(-1, plain, targets[..., self._kinds])


class PartialDetectionLoss(v8DetectionLoss):
    """ultralytics' detection loss over what each image labels; ``batch["known"]``: ``Known``.

    ``batch["regions"]``, where there are any: ``Regions``. ``batch["answers"]``, where there are
    any: ``Answers`` for what images do not label. ``head``: whose scores these are.
    """

    head = "one2many"

    def __init__(self, model: Any, tal_topk: int = 10, tal_topk2: int | None = None) -> None:
        super().__init__(model, tal_topk, tal_topk2)
        equal = None
        if model.loss_weight is LossWeight.TASK:
            equal = EqualTasks(self.assigner, model.tasks, exponent=model.balance)
            self.assigner = cast("TaskAlignedAssigner", equal)  # called in the same way
        self.regions = RegionAssigner(self.assigner)
        self.assigner = cast("TaskAlignedAssigner", self.regions)
        self.partial = PartialBCE(model.plain_of, equal, self.regions)
        self.bce = cast("nn.BCEWithLogitsLoss", self.partial)  # called in the same way

    def loss(
        self, preds: dict[str, Tensor], batch: dict[str, Any]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See ``v8DetectionLoss.loss``."""
        self.partial.known = batch["known"]
        height, width = batch["img"].shape[2:]
        self.regions.regions, self.regions.size = batch.get("regions"), (width, height)
        if (answers := batch.get("answers")) is not None:
            self.partial.answers = answers.scores[self.head], answers.knows
        result: tuple[Tensor, dict[str, Tensor]] = super().loss(preds, batch)
        return result


def partial_criterion(model: Any) -> Any:
    """The criterion for ``model``: for both heads of an end-to-end network, or for the one."""
    if getattr(list(model.model)[-1], "one2one_cv2", None) is not None:
        both = E2ELoss(model, PartialDetectionLoss)
        both.one2one.head = "one2one"
        # ultralytics shifts the weight to the one-to-one head as epochs pass, which suits who
        # ships that one. We ship the other, and it alone trains the backbone.
        both.final_o2m = both.o2m
        return both
    return PartialDetectionLoss(model)
