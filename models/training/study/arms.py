"""What the study trains, as data: arms, the questions they answer, and what they cost."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import log
from pathlib import Path
from typing import Any

from oneglance.models.tasks import FOUR_TASKS, ModelClass, Task
from oneglance.models.training.data.subsets import Subset
from oneglance.models.training.recipe import (
    STRIDE,
    HeadInit,
    LossWeight,
    Recipe,
    TrainableLayers,
    Unlabelled,
)
from oneglance.streams.errors import UsageError

QUESTIONS: dict[int, str] = {
    1: "One network for all tasks, or one for each?",
    2: "Pretrained, or from scratch?",
    3: "Which layers to train, with how much data?",
    4: "What an image does not label: left out, or taken for absent?",
    5: "Is there enough data?",
    6: "Do the pretrained network's own answers keep what images do not label?",
    7: "What is forgotten of sets that are not trained on?",
    8: "Do tasks with few images gain from being shown more often?",
    9: "Should every box weigh the same in the loss, or every task?",
    10: "What does the one network reach when trained as long as one for each task together?",
}

DEPTHS = (TrainableLayers.LAST, TrainableLayers.HEAD, TrainableLayers.ALL)
DEPTH_SHARES = (0.05, 0.25, 1.0)
CURVE_SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)

WARMUP_SHARE, CALM_SHARE = 0.25, 0.5
"""Of an arm's epochs: warming up, and without mosaics. Shares, so that arms with little data
and many epochs take as many steps of each as arms with all of it."""

DEPTH_COST = {
    TrainableLayers.LAST: 0.45,
    TrainableLayers.HEAD: 0.5,
    TrainableLayers.NECK: 0.7,
    TrainableLayers.ALL: 1.0,
}
"""Roughly, a step's time over that of training all layers: frozen layers need no backward pass."""


TEACHER_COST = 0.3
"""The same of the pretrained network's answers: one way through, no gradient."""


@dataclass(frozen=True, slots=True)
class SetFacts:
    """A data set of the study. ``train`` and ``val`` count images; no val image is trained on.

    ``folders``: where its training images are; two sets with the same ones label the same images.
    ``boxes``: of each task in the training images.
    """

    name: str
    file: Path
    tasks: frozenset[Task]
    train: int
    val: int
    folders: tuple[Path, ...] = ()
    boxes: Mapping[Task, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOptions:
    """``epochs`` over all images of ``share``; an arm that sees fewer images sees them more often,
    so that all arms take equally many steps. ``size``: (width, height) of the input."""

    epochs: int = 6
    seeds: tuple[int, ...] = (0, 1)
    size: tuple[int, int] = (416, 256)
    questions: tuple[int, ...] = (1, 2, 3, 4, 5, 6)
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
    by default. ``questions``: which it helps to answer.
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
    pretrained: bool = True
    questions: tuple[int, ...] = field(default=(), compare=False)

    @property
    def classes(self) -> tuple[ModelClass, ...]:
        """The plain class of each task."""
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
            oversample=self.oversample,
            share=self.share,
        )

    def as_dict(self) -> dict[str, Any]:
        """What makes it the arm it is, ready for JSON."""
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
        }


ONE = "one"
UNTRAINED = "untrained"
SCRATCH = "one-scratch"
ABSENT = "one-absent"
DISTILLED = "one-distilled"
BALANCED = "one-balanced"
WEIGHED = "one-weighed"
LONGER = "one-longer"


def own(task: Task) -> str:
    """The stem of the arm of a task's own network."""
    return task.value


def fair(task: Task) -> str:
    """The stem of the arm of a task's own small network: all of them cost what the one costs."""
    return f"{task}-fair"


def part(depth: TrainableLayers, share: float) -> str:
    """The stem of the arm that trains ``depth`` with ``share`` of the data."""
    depth_part = "" if depth is TrainableLayers.ALL else f"-{depth}"
    share_part = "" if share == 1 else f"-{round(100 * share)}pc"
    return f"{ONE}{depth_part}{share_part}"


def only(sets: Sequence[SetFacts]) -> str:
    """The stem of the arm that is trained on ``sets`` alone."""
    slug = re.sub(r"[^a-z0-9]+", "-", sets[0].name.lower()).strip("-")
    return f"only-{slug}"


def plan(sets: Sequence[SetFacts], options: StudyOptions) -> tuple[Arm, ...]:
    """Every arm once; all questions with the first seed, then with the next.

    Raises:
        UsageError: no set has training images or none has val images to score on.
    """
    if not any(s.train for s in sets) or not any(s.val for s in sets):
        raise UsageError("the study needs training images, and val images that are not among them")
    arms: dict[str, Arm] = {}
    for seed, question in product(options.seeds, sorted(set(options.questions))):
        for arm in _ARMS[question](_Planner(tuple(sets), options, seed)):
            known = arms.get(arm.name, arm)
            questions = tuple(sorted({*known.questions, question}))
            arms[arm.name] = replace(known, questions=questions)
    return tuple(arms.values())


@dataclass(frozen=True, slots=True)
class _Planner:
    sets: tuple[SetFacts, ...]
    options: StudyOptions
    seed: int

    @property
    def tasks(self) -> tuple[Task, ...]:
        return trained_tasks(self.sets)

    def one(self, stem: str = ONE, share: float = 1.0) -> Arm:
        """The network for all tasks."""
        return self.arm(stem, self.tasks, self.sets, share=share)

    def arm(
        self, stem: str, tasks: Sequence[Task], sets: Sequence[SetFacts], *, share: float = 1.0
    ) -> Arm:
        return Arm(
            name=f"{stem}.s{self.seed}",
            tasks=tuple(tasks),
            sets=tuple(s.name for s in sets if s.train and s.tasks & set(tasks)),
            seed=self.seed,
            epochs=max(1, round(self.options.epochs / share)),
            size=self.options.size,
            share=round(share * self.options.share, 6),
        )

    def untrained(self) -> Arm:
        first = self.options.seeds[0]
        return replace(self.one(), name=UNTRAINED, epochs=0, sets=(), seed=first)


def _one_or_four(planner: _Planner) -> Iterator[Arm]:
    size = fair_size(planner.options.size, len(planner.tasks))
    yield planner.one()
    for task in planner.tasks:
        yield planner.arm(own(task), (task,), planner.sets)
    for task in planner.tasks:
        yield replace(planner.arm(fair(task), (task,), planner.sets), size=size)


def _pretrained_or_not(planner: _Planner) -> Iterator[Arm]:
    yield planner.untrained()
    yield planner.one()
    yield replace(planner.one(SCRATCH), pretrained=False)


def _layers(planner: _Planner) -> Iterator[Arm]:
    for depth, share in product(DEPTHS, DEPTH_SHARES):
        yield replace(planner.one(part(depth, share), share), trainable=depth)


def _masked_or_absent(planner: _Planner) -> Iterator[Arm]:
    yield planner.one()
    if partly_labelled(planner.sets):
        yield replace(planner.one(ABSENT), unlabelled=Unlabelled.NEGATIVE)


def _curve(planner: _Planner) -> Iterator[Arm]:
    for share in CURVE_SHARES:
        yield planner.one(part(TrainableLayers.ALL, share), share)


def _distilled(planner: _Planner) -> Iterator[Arm]:
    yield planner.untrained()
    yield planner.one()
    if partly_labelled(planner.sets):
        yield replace(planner.one(DISTILLED), unlabelled=Unlabelled.DISTILL)


def _forgetting(planner: _Planner) -> Iterator[Arm]:
    yield planner.untrained()
    yield planner.one()
    for group in groups(planner.sets):
        tasks = trained_tasks(group)
        if any(s.val and s.tasks & set(tasks) for s in planner.sets if s not in group):
            yield planner.arm(only(group), tasks, group)


def _balanced(planner: _Planner) -> Iterator[Arm]:
    yield planner.one()
    if repeats := balancing(planner.sets):
        often = replace(
            planner.one(BALANCED), oversample=tuple(repeats[name] for name in planner.one().sets)
        )
        steps = images_of(planner.one(), planner.sets) / images_of(often, planner.sets)
        yield replace(often, epochs=max(1, round(steps * often.epochs)))


def _weighed(planner: _Planner) -> Iterator[Arm]:
    yield planner.one()
    if len(planner.tasks) > 1:
        yield replace(planner.one(WEIGHED), loss_weight=LossWeight.TASK)


def _longer(planner: _Planner) -> Iterator[Arm]:
    yield planner.one()
    if len(planner.tasks) > 1:
        once = planner.one(LONGER)
        yield replace(once, epochs=round(once.epochs * together(planner.sets)))


_ARMS = {
    1: _one_or_four,
    2: _pretrained_or_not,
    3: _layers,
    4: _masked_or_absent,
    5: _curve,
    6: _distilled,
    7: _forgetting,
    8: _balanced,
    9: _weighed,
    10: _longer,
}


def trained_tasks(sets: Sequence[SetFacts]) -> tuple[Task, ...]:
    """The tasks that a training image of ``sets`` labels."""
    return tuple(task for task in Task if any(s.train and task in s.tasks for s in sets))


def groups(sets: Sequence[SetFacts]) -> list[tuple[SetFacts, ...]]:
    """The sets with training images, those that label the same images together."""
    found: dict[tuple[Path, ...] | str, list[SetFacts]] = {}
    for one in sets:
        if one.train:
            found.setdefault(one.folders or one.name, []).append(one)
    return [tuple(group) for group in found.values()]


def partly_labelled(sets: Sequence[SetFacts]) -> tuple[Task, ...]:
    """The tasks that some training images leave unlabelled."""
    labelled = [set(trained_tasks(group)) for group in groups(sets)]
    return tuple(task for task in trained_tasks(sets) if any(task not in t for t in labelled))


def part_of_boxes(sets: Sequence[SetFacts], task: Task) -> float:
    """The share of ``task`` in all training boxes, 0..1; 0 where they were not counted."""
    every = sum(sum(s.boxes.values()) for s in sets)
    return sum(s.boxes.get(task, 0) for s in sets) / max(1, every)


def training_images(sets: Sequence[SetFacts]) -> dict[Task, int]:
    """How many training images label each task; one that several sets label counts once."""
    return {
        task: sum(_images(group) for group in groups(sets) if task in trained_tasks(group))
        for task in trained_tasks(sets)
    }


def together(sets: Sequence[SetFacts]) -> float:
    """How many times the images of the one network all own networks see: an image that labels
    three tasks is shown to three of them."""
    return sum(training_images(sets).values()) / sum(map(_images, groups(sets)))


def _images(group: Sequence[SetFacts]) -> int:
    """Of sets that label the same images."""
    return max(s.train for s in group)


def balancing(sets: Sequence[SetFacts]) -> dict[str, int]:
    """By the set's name how often to show it, so that tasks with few images are seen as often as
    others: those of the rarest task that it labels against the commonest of all; {} where no
    set needs it. Sets that label the same images are shown equally often.
    """
    counts = training_images(sets)
    most = max(counts.values())
    repeats = {
        s.name: round(most / min(counts[task] for task in trained_tasks(group)))
        for group in groups(sets)
        for s in group
    }
    return repeats if set(repeats.values()) != {1} else {}


def fair_size(size: tuple[int, int], networks: int) -> tuple[int, int]:
    """The (width, height) at which so many networks cost what one costs at ``size``.

    Nearest in cost and shape: a convolutional network costs as its pixels do; sides are
    multiples of 32.

    >>> fair_size((640, 384), 4), fair_size((416, 256), 4), fair_size((640, 384), 1)
    ((320, 192), (224, 128), (640, 384))
    """
    width, height = size

    def badness(sides: tuple[int, int]) -> float:
        cost = networks * sides[0] * sides[1] / (width * height)
        return abs(log(cost)) + abs(log(sides[0] * height / (sides[1] * width)))

    widths, heights = (range(STRIDE, side + 1, STRIDE) for side in size)
    return min(product(widths, heights), key=badness)


def images_of(arm: Arm, sets: Sequence[SetFacts]) -> int:
    """How many images an epoch of ``arm`` shows."""
    subset = Subset(arm.share, arm.seed)
    chosen = groups([s for s in sets if s.name in arm.sets])
    often = dict(zip(arm.sets, arm.oversample or [1] * len(arm.sets), strict=True))
    return sum(subset.count(_images(group)) * max(often[s.name] for s in group) for group in chosen)


def labelled_images(arm: Arm, sets: Sequence[SetFacts], task: Task) -> int:
    """How many of them label ``task``."""
    return images_of(arm, [s for s in sets if task in s.tasks])


def cost(arm: Arm, sets: Sequence[SetFacts], options: StudyOptions) -> float:
    """An arm's work in images of the study's size through all layers, there and back."""
    pixels = arm.size[0] * arm.size[1] / (options.size[0] * options.size[1])
    step = DEPTH_COST[arm.trainable]
    if arm.unlabelled is Unlabelled.DISTILL:
        step += TEACHER_COST
    return images_of(arm, sets) * arm.epochs * pixels * step
