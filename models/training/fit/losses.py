"""The loss of a network with several tasks, on images that label only some of them.

Every class has its own binary cross-entropy, so what an image does not label can be left out
class by class: a road without sign labels may be full of signs, and must teach nothing about
them (the multi-task loss of partially labelled data: sum over what is labelled). ultralytics'
losses are used as they are; only their unreduced cross-entropy is replaced by ours.

A task may have subclasses: ``light_red`` is one of ``light``. The parent class then stands for the
whole task, and is taught by boxes of every subclass; a subclass is taught where it is labelled.
Where an image says "a light" without its colour, the colours are masked on that
light and negative everywhere else.

ultralytics divides a batch's loss by all its boxes, so that a task counts as its boxes do: a
sign among twenty cars hardly counts. ``LossWeight.TASK`` divides each task's loss by its own boxes.
``LossWeight.UNCERTAINTY`` also by the loss itself: Kendall, Gal and Cipolla ("Multi-Task Learning
Using Uncertainty to Weigh Losses", CVPR 2018) learn a variance for each task, and minimise the sum
of loss / variance + log variance; at its minimum the variance is the loss.
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
from oneglance.models.training.fit.surgery import LossSplitter
from oneglance.models.training.recipe import LossWeight

_MEMORY = 0.95
"""How much of a task's average loss is that of earlier batches: of about the last twenty."""

_LEAST_LOSS = 1e-3
"""A task that is learnt by heart does not outweigh all others."""


@dataclass(frozen=True, slots=True)
class LabelMask:
    """Which of C classes the images of a batch, B, label: the rest is masked out of the loss.

    ``labelled`` B×C float, 1 where the image's source labels the class's task at all.
    ``distinguished`` B×C float, 1 where it labels this very class, apart from others of its task.
    ``partial`` B×C bool, where it labels the class's task in part: a place without a box is masked.
    None where no image does.
    """

    labelled: Tensor
    distinguished: Tensor
    partial: Tensor | None = None

    @classmethod
    def of(
        cls,
        classes: Sequence[ModelClass],
        labelled_classes: Sequence[Set[str]],
        partial: Sequence[Set[Task]] = (),
    ) -> Self:
        """From the names of the classes that each image's source labels, and the tasks that
        it labels in part; none by default."""
        distinguished = [[float(c.name in names) for c in classes] for names in labelled_classes]
        labelled = []
        for names in labelled_classes:
            tasks = {c.task for c in classes if c.name in names}
            labelled.append([float(c.task in tasks) for c in classes])
        in_part = None
        if any(partial):
            in_part = torch.tensor([[c.task in tasks for c in classes] for tasks in partial])
        return cls(torch.tensor(labelled), torch.tensor(distinguished), in_part)

    def to(self, device: torch.device) -> LabelMask:
        """The same on another device."""
        partial = None if self.partial is None else self.partial.to(device)
        return LabelMask(self.labelled.to(device), self.distinguished.to(device), partial)


@dataclass(frozen=True, slots=True)
class TeacherPredictions:
    """What teachers predict for a batch of B images: see ``distillation``.

    ``scores``: by the head's name (``one2many``, ``one2one``) B×A×C in 0..1, A anchors.
    ``covered``: C booleans, the classes that they can predict. ``label_share``: where an image
    labels such a class, how much of the target its labels are; the rest is the teachers'.
    """

    scores: Mapping[str, Tensor]
    covered: Tensor
    label_share: float = 1.0


def parent_class_of(classes: Sequence[ModelClass]) -> dict[int, int]:
    """For each subclass its parent class, both by number; {} for a model without subclasses.

    >>> from oneglance.models.tasks import Task
    >>> parent_class_of([ModelClass("light", Task.LIGHT), ModelClass("light_red", Task.LIGHT)])
    {1: 0}
    """
    parents = {c.task: i for i, c in enumerate(classes) if c.is_parent}
    return {i: parents[c.task] for i, c in enumerate(classes) if parents.get(c.task, i) != i}


class EqualTasks(nn.Module):
    """An assigner whose target scores are scaled so that those of every task have the same sum.

    ultralytics weights boxes by their target scores and divides by the sum of all: with these it
    comes to the mean, over the tasks that have boxes in the batch, of each task's own loss. (A
    task whose scores add up to less than 1, one poor box, counts so much less.)
    ``exponent``: 1 for that, 0 for no change; between them a task whose scores add up to s counts
    as s to the power of 1 - exponent. ``tasks``: of each of the C classes. ``factors``: C numbers,
    what the last batch's scores were multiplied by. ``by_uncertainty``: divide them by what
    ``note`` was given of each task's loss, on average over the last batches; of a task not met yet
    nothing is known, and it counts as the mean of the others.
    """

    def __init__(
        self,
        assigner: nn.Module,
        tasks: Sequence[Task],
        *,
        exponent: float = 1.0,
        by_uncertainty: bool = False,
    ) -> None:
        super().__init__()
        self.assigner = assigner
        self.exponent = exponent
        self.by_uncertainty = by_uncertainty
        self.factors: Tensor | None = None
        self._task_of = [list(Task).index(task) for task in tasks]
        self._losses: Tensor | None = None

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
        """See ``TaskAlignedAssigner.forward``; target scores, B×A×C, are the third it returns."""
        labels, boxes, scores, *rest = self.assigner(*args, **kwargs)
        task_of = torch.tensor(self._task_of, device=scores.device)
        sums = scores.new_zeros(len(Task)).index_add(0, task_of, scores.sum(dim=(0, 1)))
        # At least 1, as ultralytics has it: a batch without a box divides by it.
        shares = sums.sum().clamp(min=1) / sums[task_of].clamp(min=1)
        self.factors = shares if self.exponent == 1 else shares**self.exponent
        if self._losses is not None and bool((met := self._losses > 0).any()):
            weights = 1 / self._losses.clamp(min=_LEAST_LOSS)
            mean = weights[met].mean()
            # Their mean is 1, so that the learning rate means what it did.
            self.factors = self.factors * torch.where(met, weights / mean, 1)[task_of]
        return labels, boxes, scores * self.factors, *rest

    def note(self, loss: Tensor, targets: Tensor) -> None:
        """The unreduced loss of a batch, B×A×C, before these factors; and its target scores."""
        if not self.by_uncertainty:
            return
        task_of = torch.tensor(self._task_of, device=loss.device)
        sums = [
            loss.new_zeros(len(Task)).index_add(0, task_of, each.detach().sum(dim=(0, 1)).to(loss))
            for each in (loss, targets)
        ]
        now = sums[0] / sums[1].clamp(min=1)
        before = torch.zeros_like(now) if self._losses is None else self._losses
        average = torch.where(before > 0, _MEMORY * before + (1 - _MEMORY) * now, now)
        self._losses = torch.where(sums[1] > 0, average, before)


class PartialBCE(nn.Module):
    """Binary cross-entropy with logits, unreduced, that counts only what the label mask leaves.

    Called as ``nn.BCEWithLogitsLoss(reduction="none")`` is: predictions and targets B×A×C (A
    anchors). ``label_mask`` must be set before; with everything labelled, and no subclasses, the
    result is torch's own bit for bit. ``teacher``, scores B×A×C and for which of the C classes, are
    the targets of what images do not label, and a part of the others: ``label_share`` is what
    labels keep. ``equal``: who scaled the targets; the cross-entropy is
    scaled instead. ``regions``: who says where the ignore regions are: only objects labelled there
    count. Of a task that an image labels in part only anchors count that a box of it was assigned
    to; the others have the teacher's predictions, if any.
    """

    def __init__(
        self,
        parent_of: Mapping[int, int],
        equal: EqualTasks | None = None,
        regions: RegionAssigner | None = None,
    ) -> None:
        super().__init__()
        self.label_mask: LabelMask | None = None
        self.equal = equal
        self.regions = regions
        self.teacher: tuple[Tensor, Tensor] | None = None
        self.label_share = 1.0
        self._parent_of = dict(parent_of)
        self._subclasses = list(parent_of)
        self._parents = list(parent_of.values())

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy B×A×C, exactly 0, gradient included, where it is masked."""
        if self.label_mask is None:
            raise RuntimeError("PartialBCE.label_mask was not set for this batch")
        weight = self.label_mask.labelled[:, None].to(logits.dtype)
        factors = None if self.equal is None else self.equal.factors
        if factors is not None:
            targets = targets / factors.to(targets.dtype)
        if self._subclasses:
            weight = weight * self._certain(targets).to(logits.dtype)
            targets = self._raised(targets)
        if self.regions is not None and (outside := self.regions.outside) is not None:
            weight = weight * torch.where(targets > 0, 1, outside.to(weight.dtype))
        masked = self.label_mask.labelled[:, None] == 0  # B×1×C
        if self.label_mask.partial is not None:
            masked = masked | self._without_box(targets, self.label_mask.partial)
            weight = weight * ~masked
        if self.teacher is not None:
            scores, covered = self.teacher
            taught, scores = covered & masked, scores.to(targets.dtype)
            if self.label_share < 1:
                blended = self.label_share * targets + (1 - self.label_share) * scores
                targets = torch.where(covered, blended, targets)
            targets = torch.where(taught, scores, targets)
            weight = weight + taught.to(weight.dtype)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        if self.equal is not None and factors is not None:
            self.equal.note(loss * weight, targets)
            weight = weight * factors.to(weight.dtype)
        return loss * weight

    def _certain(self, targets: Tensor) -> Tensor:
        """B×A×C: 0 for the subclasses of an object whose subclass is not labelled."""
        certain = torch.ones_like(targets)
        assert self.label_mask is not None
        unlabelled = self.label_mask.distinguished[:, None, self._subclasses] == 0
        masked = unlabelled & (targets[..., self._parents] > 0)
        certain[..., self._subclasses] = 1 - masked.to(certain.dtype)
        return certain

    def _without_box(self, targets: Tensor, partial: Tensor) -> Tensor:
        """B×A×C: where no object of a class's task was assigned, and its labels are not all there.

        ``targets`` are raised, so the parent class says it of its subclasses.
        """
        judges = [self._parent_of.get(number, number) for number in range(targets.shape[-1])]
        return (targets[..., judges] <= 0) & partial[:, None]

    def _raised(self, targets: Tensor) -> Tensor:
        """Targets in which an object of a subclass is an object of the parent class as well."""
        parents = torch.tensor(self._parents, device=targets.device)
        return targets.index_add(-1, parents, targets[..., self._subclasses])


class PartialDetectionLoss(v8DetectionLoss):
    """ultralytics' detection loss over what each image labels; ``batch["label_mask"]``.

    ``batch["regions"]``, where there are any: ``Regions``. ``batch["teacher"]``, where there is
    one: ``TeacherPredictions`` for what images do not label. ``head``: whose scores these are.
    ``task_losses``: for gradient surgery alone, the last batch's loss of each task.
    """

    head = "one2many"

    def __init__(self, model: Any, tal_topk: int = 10, tal_topk2: int | None = None) -> None:
        super().__init__(model, tal_topk, tal_topk2)
        equal = None
        if model.loss_weight is not LossWeight.BOX:
            equal = EqualTasks(
                self.assigner,
                model.tasks,
                exponent=model.balance,
                by_uncertainty=model.loss_weight is LossWeight.UNCERTAINTY,
            )
            self.assigner = cast("TaskAlignedAssigner", equal)  # called in the same way
        self.regions = RegionAssigner(self.assigner)
        self.assigner = cast("TaskAlignedAssigner", self.regions)
        self.partial = PartialBCE(model.parent_of, equal, self.regions)
        self.bce = cast("nn.BCEWithLogitsLoss", self.partial)  # called in the same way
        self.splitter = None if model.surgery is None else LossSplitter(self, model.tasks)
        self.task_losses: list[Tensor] = []

    def loss(
        self, preds: dict[str, Tensor], batch: dict[str, Any]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See ``v8DetectionLoss.loss``."""
        self.partial.label_mask = batch["label_mask"]
        height, width = batch["img"].shape[2:]
        self.regions.regions, self.regions.size = batch.get("regions"), (width, height)
        if (teacher := batch.get("teacher")) is not None:
            self.partial.teacher = teacher.scores[self.head], teacher.covered
            self.partial.label_share = teacher.label_share
        result: tuple[Tensor, dict[str, Tensor]] = super().loss(preds, batch)
        if self.splitter is not None:
            self.task_losses = self.splitter.take(self.hyp, len(preds["boxes"]))
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
