"""Which arms answer which question."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from oneglance.models.tasks import Task
from oneglance.models.training.data.subsets import WHOLE_IMAGES, Thinned
from oneglance.models.training.recipe import (
    GradientSurgery,
    LossWeight,
    TrainableLayers,
    Unlabelled,
)
from oneglance.models.training.study.arms import Arm, StudyOptions, images_of, step_cost
from oneglance.models.training.study.sets import (
    SetFacts,
    balancing,
    fair_size,
    groups,
    partly_labelled,
    together,
    trained_tasks,
)
from oneglance.streams.errors import UsageError

TRAINABLE = (TrainableLayers.LAST, TrainableLayers.HEAD, TrainableLayers.ALL)
LAYER_SHARES = (0.05, 0.25, 1.0)
CURVE_SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)

ONE = "one"
UNTRAINED = "untrained"
SCRATCH = "one-scratch"
NEGATIVE = "one-negative"
DISTILL = "one-distill"
OVERSAMPLED = "one-oversampled"
TASK_WEIGHTED = "one-task-weighted"
LONGER = "one-longer"
BORN_AGAIN = "one-born-again"
HALF_WEIGHTED = "one-half-weighted"
BORN_AGAIN_HALF_WEIGHTED = "one-born-again-half-weighted"
IN_PART = "one-labelled-in-part"
AS_COMPLETE = "one-in-part-as-complete"

BALANCES: dict[str, dict[str, Any]] = {
    ONE: {},
    HALF_WEIGHTED: {"loss_weight": LossWeight.TASK, "balance": 0.5},
    TASK_WEIGHTED: {"loss_weight": LossWeight.TASK},
    "one-uncertainty": {"loss_weight": LossWeight.UNCERTAINTY},
    "one-pcgrad": {"gradient_surgery": GradientSurgery.PCGRAD},
    "one-task-branches": {"task_branches": True},
}
"""By the stem of an arm, in what its balance of the tasks differs from every box the same."""

EQUAL_COMPUTE = (*BALANCES, OVERSAMPLED)
"""The stems of the arms that are also trained for as much compute as the single-task models."""


def same_compute(stem: str) -> str:
    """The stem of the same arm trained for as much compute as the single-task models together."""
    return LONGER if stem == ONE else f"{stem}-same-compute"


def single_task(task: Task) -> str:
    """The stem of the arm of a task's single-task model."""
    return task.value


def single_oversampled(task: Task) -> str:
    """The stem of the arm of a task's single-task model that is oversampled as the one network."""
    return f"{task}-oversampled"


def fair(task: Task) -> str:
    """The stem of the arm of a task's small single-task model: all together cost what the one
    network costs."""
    return f"{task}-fair"


def part(layers: TrainableLayers, share: float) -> str:
    """The stem of the arm that trains ``layers`` with ``share`` of the data."""
    layers_part = "" if layers is TrainableLayers.ALL else f"-{layers}"
    share_part = "" if share == 1 else f"-{round(100 * share)}pc"
    return f"{ONE}{layers_part}{share_part}"


def only(sets: Sequence[SetFacts]) -> str:
    """The stem of the arm that is trained on ``sets`` alone."""
    slug = re.sub(r"[^a-z0-9]+", "-", sets[0].name.lower()).strip("-")
    return f"only-{slug}"


def plan(sets: Sequence[SetFacts], options: StudyOptions) -> tuple[Arm, ...]:
    """Every arm once; all questions with the first seed, then with the next.

    Raises:
        UsageError: no set has training images or none has val images to score on; ``without``
            names an arm that there is not, leaves none, or one that teaches another.
    """
    if not any(s.train for s in sets) or not any(s.val for s in sets):
        raise UsageError("the study needs training images, and val images that are not among them")
    arms: dict[str, Arm] = {}
    for seed, question in product(options.seeds, sorted(set(options.questions))):
        for arm in _ARMS[question](_Planner(tuple(sets), options, seed)):
            known = arms.get(arm.name, arm)
            questions = tuple(sorted({*known.questions, question}))
            arms[arm.name] = replace(known, questions=questions)
    return _without(options.without, tuple(arms.values()))


def _without(stems: Sequence[str], arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
    known = dict.fromkeys(arm.stem for arm in arms)
    if unknown := [stem for stem in stems if stem not in known]:
        raise UsageError(
            f"the study has no arm {', '.join(unknown)} to leave out: {', '.join(known)}"
        )
    kept = tuple(arm for arm in arms if arm.stem not in stems)
    if not kept:
        raise UsageError("the study has no arm left to train: leave out fewer")
    there = {arm.name for arm in kept}
    for arm in kept:
        if missing := sorted(set(arm.teachers) - there):
            raise UsageError(
                f"{', '.join(missing)} cannot be left out: {arm.name} is taught by it; leave "
                f"out {arm.stem} too"
            )
    return kept


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
        yield planner.arm(single_task(task), (task,), planner.sets)
    for task in planner.tasks:
        yield replace(planner.arm(fair(task), (task,), planner.sets), size=size)


def _pretrained_or_not(planner: _Planner) -> Iterator[Arm]:
    yield planner.untrained()
    yield planner.one()
    yield replace(planner.one(SCRATCH), pretrained=False)


def _layers(planner: _Planner) -> Iterator[Arm]:
    for layers, share in product(TRAINABLE, LAYER_SHARES):
        yield replace(planner.one(part(layers, share), share), trainable=layers)


def _masked_or_absent(planner: _Planner) -> Iterator[Arm]:
    yield planner.one()
    if partly_labelled(planner.sets):
        yield replace(planner.one(NEGATIVE), unlabelled=Unlabelled.NEGATIVE)


def _curve(planner: _Planner) -> Iterator[Arm]:
    for share in CURVE_SHARES:
        yield planner.one(part(TrainableLayers.ALL, share), share)


def _distilled(planner: _Planner) -> Iterator[Arm]:
    yield planner.untrained()
    yield planner.one()
    if partly_labelled(planner.sets):
        yield replace(planner.one(DISTILL), unlabelled=Unlabelled.DISTILL)


def _forgetting(planner: _Planner) -> Iterator[Arm]:
    yield planner.untrained()
    yield planner.one()
    for group in groups(planner.sets):
        tasks = trained_tasks(group)
        if any(s.val and s.tasks & set(tasks) for s in planner.sets if s not in group):
            yield planner.arm(only(group), tasks, group)


def _balanced(planner: _Planner) -> Iterator[Arm]:
    yield planner.one()
    yield from _oversampled(planner, planner.one(OVERSAMPLED))


def _oversampled(planner: _Planner, plain: Arm, *, times: float = 1.0) -> Iterator[Arm]:
    """``plain`` with the images of rare tasks shown more often, in about ``times`` its steps; none
    where all of its sets are shown equally often."""
    often = balancing(planner.sets)
    oversample = tuple(often[name] for name in plain.sets) if often else ()
    if len(set(oversample)) > 1:
        arm = replace(plain, oversample=oversample)
        steps = times * images_of(plain, planner.sets) / images_of(arm, planner.sets)
        yield replace(arm, epochs=max(1, round(steps * plain.epochs)))


def _loss_weights(planner: _Planner) -> Iterator[Arm]:
    yield planner.one()
    if len(planner.tasks) > 1:
        yield replace(planner.one(TASK_WEIGHTED), loss_weight=LossWeight.TASK)


def _longer(planner: _Planner) -> Iterator[Arm]:
    yield planner.one()
    if len(planner.tasks) > 1:
        once = planner.one(LONGER)
        yield replace(once, epochs=round(once.epochs * together(planner.sets)))


def _balances(planner: _Planner) -> Iterator[Arm]:
    yield planner.one()
    if len(planner.tasks) == 1:
        return
    single = [planner.arm(single_task(task), (task,), planner.sets) for task in planner.tasks]
    yield from single
    arms = {stem: replace(planner.one(stem), **how) for stem, how in BALANCES.items()}
    yield from arms.values()
    yield from _oversampled(planner, planner.one(OVERSAMPLED))
    teachers = tuple(arm.name for arm in single)
    yield replace(planner.one(BORN_AGAIN), teachers=teachers)
    name = planner.one(BORN_AGAIN_HALF_WEIGHTED).name
    yield replace(arms[HALF_WEIGHTED], name=name, teachers=teachers)
    for stem, arm in arms.items():
        times = together(planner.sets) / step_cost(arm)
        name = planner.one(same_compute(stem)).name
        yield replace(arm, name=name, epochs=max(1, round(times * arm.epochs)))
    longer = planner.one(same_compute(OVERSAMPLED))
    yield from _oversampled(planner, longer, times=together(planner.sets))
    for task in planner.tasks:
        alike = planner.arm(single_oversampled(task), (task,), planner.sets)
        yield from _oversampled(planner, alike)


def _in_part(planner: _Planner) -> Iterator[Arm]:
    yield planner.one()
    yield replace(planner.one(IN_PART), thinned=Thinned.PARTIAL)
    yield replace(planner.one(AS_COMPLETE), thinned=Thinned.COMPLETE)
    yield planner.one(part(TrainableLayers.ALL, WHOLE_IMAGES), WHOLE_IMAGES)


_ARMS = {
    1: _one_or_four,
    2: _pretrained_or_not,
    3: _layers,
    4: _masked_or_absent,
    5: _curve,
    6: _distilled,
    7: _forgetting,
    8: _balanced,
    9: _loss_weights,
    10: _longer,
    11: _balances,
    12: _in_part,
}
