"""What the study trains, as data: options, arms, and what an arm costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from oneglance.models.tasks import FOUR_TASKS, ModelClass, Task
from oneglance.models.training.data.subsets import Subset, Thinned
from oneglance.models.training.recipe import (
    GradientSurgery,
    HeadInit,
    LossWeight,
    Recipe,
    TrainableLayers,
    Unlabelled,
)
from oneglance.models.training.study.sets import SetFacts, groups, images_in
from oneglance.streams.errors import UsageError

QUESTIONS: dict[int, str] = {
    1: "One network for all tasks, or one for each?",
    2: "Pretrained, or from scratch?",
    3: "Which layers to train, with how much data?",
    4: "What an image does not label: masked out of the loss, or taken for negative?",
    5: "Is there enough data?",
    6: "Does distilling the pretrained network's predictions keep what images do not label?",
    7: "What is forgotten of sets that are not trained on?",
    8: "Do tasks with few images gain from oversampling?",
    9: "Should every box have the same loss weight, or every task?",
    10: "What does the one network reach when trained as long as one for each task together?",
    11: "Which balance of the tasks brings the one network nearest to its single-task models?",
    12: "Labels that are there in part: declare them partial, or complete?",
}

WARMUP_SHARE, CALM_SHARE = 0.25, 0.5
"""Of an arm's epochs: warming up, and without mosaics. Shares, so that arms with little data
and many epochs take as many steps of each as arms with all of it."""

LAYERS_COST = {
    TrainableLayers.LAST: 0.45,
    TrainableLayers.HEAD: 0.5,
    TrainableLayers.NECK: 0.7,
    TrainableLayers.ALL: 1.0,
}
"""Roughly, a step's time over that of training all layers: frozen layers need no backward pass."""

TEACHER_COST = 0.3
"""The same of the pretrained network's answers, or of a teacher's: one way through, no gradient."""

FORWARD_COST = 0.25
"""The same of the way through alone; gradient surgery goes back once for each task (measured with
four tasks: 3.3 times a plain step)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOptions:
    """``epochs`` over all images of ``share``; an arm that sees fewer images sees them more often,
    so that all arms take equally many steps. ``size``: (width, height) of the input.
    ``without``: arms that are not trained, by their names without the seed."""

    epochs: int = 6
    seeds: tuple[int, ...] = (0, 1)
    size: tuple[int, int] = (416, 256)
    questions: tuple[int, ...] = (1, 2, 3, 4, 5, 6)
    without: tuple[str, ...] = ()
    share: float = 1.0
    batch: int = 16
    learning_rate: float = 4e-4

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise UsageError("the study needs seeds, each once, like 0,1")
        unknown = [str(q) for q in self.questions if q not in QUESTIONS]
        if unknown or not self.questions:
            raise UsageError(
                f"the study's questions are {', '.join(map(str, QUESTIONS))}, "
                f"not {', '.join(unknown) or 'none'}"
            )
        Recipe(
            epochs=self.epochs,
            size=self.size,
            batch=self.batch,
            learning_rate=self.learning_rate,
            share=self.share,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One training of the study.

    ``epochs`` 0: the pretrained network as it is, its related rows in the last layer.
    ``sets``: names of the sets trained on: those that label one of ``tasks``, for an image that
    labels none of them teaches nothing. ``oversample``: how often an epoch shows each of them, once
    by default. ``teachers``: names of arms that teach it, trained before it. ``questions``: which
    it helps to answer.
    """

    name: str
    tasks: tuple[Task, ...]
    sets: tuple[str, ...]
    seed: int
    epochs: int
    size: tuple[int, int]
    oversample: tuple[int, ...] | None = None
    share: float = 1.0
    trainable: TrainableLayers = TrainableLayers.ALL
    head_init: HeadInit = HeadInit.PRETRAINED
    unlabelled: Unlabelled = Unlabelled.IGNORE
    loss_weight: LossWeight = LossWeight.BOX
    balance: float = 1.0
    gradient_surgery: GradientSurgery = GradientSurgery.NONE
    task_branches: bool = False
    thinned: Thinned = Thinned.NO
    teachers: tuple[str, ...] = ()
    pretrained: bool = True
    questions: tuple[int, ...] = field(default=(), compare=False)

    @property
    def stem(self) -> str:
        """The name without the seed."""
        return self.name.removesuffix(f".s{self.seed}")

    @property
    def classes(self) -> tuple[ModelClass, ...]:
        """The parent class of each task."""
        return tuple(cls for cls in FOUR_TASKS if cls.task in self.tasks)

    def recipe(self, options: StudyOptions) -> Recipe:
        """How it is trained."""
        return Recipe(
            epochs=self.epochs,
            size=self.size,
            batch=options.batch,
            learning_rate=options.learning_rate,
            warmup_epochs=WARMUP_SHARE * self.epochs,
            calm_share=CALM_SHARE,
            seed=self.seed,
            trainable=self.trainable,
            head_init=self.head_init,
            unlabelled=self.unlabelled,
            loss_weight=self.loss_weight,
            balance=self.balance,
            gradient_surgery=self.gradient_surgery,
            task_branches=self.task_branches,
            thinned=self.thinned,
            oversample=self.oversample,
            share=self.share,
        )

    def as_dict(self) -> dict[str, Any]:
        """What makes it the arm it is, ready for JSON.

        What came later is left out where it is as it was before, so that older studies go on.
        """
        later = {
            "balance": (self.balance, 1.0),
            "gradient_surgery": (self.gradient_surgery.value, "none"),
            "task_branches": (self.task_branches, False),
            "thinned": (self.thinned.value, "no"),
            "teachers": (list(self.teachers), []),
        }
        return {
            "name": self.name,
            "tasks": [task.value for task in self.tasks],
            "sets": list(self.sets),
            "seed": self.seed,
            "epochs": self.epochs,
            "size": list(self.size),
            "oversample": None if self.oversample is None else list(self.oversample),
            "share": self.share,
            "trainable": self.trainable.value,
            "head_init": self.head_init.value,
            "unlabelled": self.unlabelled.value,
            "loss_weight": self.loss_weight.value,
            "pretrained": self.pretrained,
        } | {key: value for key, (value, before) in later.items() if value != before}


def images_of(arm: Arm, sets: Sequence[SetFacts]) -> int:
    """How many images an epoch of ``arm`` shows."""
    subset = Subset(arm.share, arm.seed)
    chosen = groups([s for s in sets if s.name in arm.sets])
    often = dict(zip(arm.sets, arm.oversample or [1] * len(arm.sets), strict=True))
    return sum(
        subset.count(images_in(group)) * max(often[s.name] for s in group) for group in chosen
    )


def labelled_images(arm: Arm, sets: Sequence[SetFacts], task: Task) -> int:
    """How many of them label ``task``."""
    return images_of(arm, [s for s in sets if task in s.tasks])


def cost(arm: Arm, sets: Sequence[SetFacts], options: StudyOptions) -> float:
    """An arm's work in images of the study's size through all layers, there and back."""
    pixels = arm.size[0] * arm.size[1] / (options.size[0] * options.size[1])
    return images_of(arm, sets) * arm.epochs * pixels * step_cost(arm)


def step_cost(arm: Arm) -> float:
    """A step's time over that of a plain one through all layers."""
    step = LAYERS_COST[arm.trainable]
    if arm.gradient_surgery is not GradientSurgery.NONE:
        step = FORWARD_COST + len(arm.tasks) * (step - FORWARD_COST)
    teachers = len(arm.teachers) or arm.unlabelled is Unlabelled.DISTILL
    return step + TEACHER_COST * teachers
