"""A study whose arms have results made up by a rule, so that what a report says can be counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from oneglance.models.tasks import Task
from oneglance.models.training.recipe import Unlabelled
from oneglance.models.training.study.arms import Arm, StudyOptions
from oneglance.models.training.study.planner import plan
from oneglance.models.training.study.results import ArmResult, Score
from oneglance.models.training.study.sets import SetFacts
from oneglance.models.training.study.statistics import Ledger

ROAD = (Path("road"),)
SETS = (
    SetFacts(
        "road",
        Path("r"),
        frozenset({Task.PEDESTRIAN, Task.CAR, Task.LIGHT}),
        60,
        10,
        ROAD,
        {Task.PEDESTRIAN: 20, Task.CAR: 160, Task.LIGHT: 30},
    ),
    SetFacts("signs", Path("s"), frozenset({Task.SIGN}), 60, 10, ROAD, {Task.SIGN: 90}),
    SetFacts("highway", Path("h"), frozenset({Task.PEDESTRIAN, Task.CAR}), 100, 20, (Path("h"),)),
    SetFacts("lights", Path("l"), frozenset({Task.LIGHT}), 200, 0, (Path("l"),)),
)
DRAWS = 200
BY_IOU = np.linspace(0.2, -0.2, 10)
"""Average precision at each IoU less mAP50-95."""

Rule = Callable[[Arm, str, Task], float]
"""The score of an arm on a set's task."""


def result(arm: Arm, rule: Rule, *, own_noise: float = 0.002) -> ArmResult:
    """Scores by ``rule``. Draws move all arms alike, plus a little of each arm's own."""
    scores = []
    for number, one in enumerate(SETS):
        for task in Task:
            if one.val and task in one.tasks & set(arm.tasks):
                value = rule(arm, one.name, task)
                shared = np.random.default_rng([number, list(Task).index(task)])
                noise = shared.normal(0, 0.03, DRAWS)
                mine = np.random.default_rng(sum(arm.name.encode()))
                draws = value + noise + mine.normal(0, own_noise, DRAWS)
                shown = shows(arm, value)
                scores.append(
                    Score(
                        set_name=one.name,
                        task=task,
                        map50=value + 0.2,
                        map50_95=value,
                        f1=shown,
                        by_iou=tuple(value + step for step in BY_IOU),
                        boxes=9,
                        images=one.val,
                        by_iou_draws=np.array([draws + step for step in BY_IOU]),
                        f1_draws=draws - value + shown,
                    )
                )
    facts = {"minutes": 2.0, "device": "cpu", "precision": "float32"} if arm.epochs else {}
    return ArmResult(tuple(scores), facts)


def shows(arm: Arm, value: float) -> float:
    """F1 where mAP50-95 is ``value``: what is taught as absent is found, and seldom shown."""
    return value / 3 if arm.unlabelled is Unlabelled.NEGATIVE else value + 0.1


def ledger(rule: Rule, options: StudyOptions, *, own_noise: float = 0.002) -> Ledger:
    """A study with every arm done."""
    arms = plan(SETS, options)
    outcomes = {arm.name: result(arm, rule, own_noise=own_noise) for arm in arms}
    return Ledger(SETS, options, arms, outcomes)


def typical(arm: Arm, set_name: str, task: Task) -> float:
    """Scores as a study may find them: every choice costs or brings something."""
    value: float = {Task.PEDESTRIAN: 0.40, Task.CAR: 0.70, Task.SIGN: 0.55, Task.LIGHT: 0.45}[task]
    value -= 0.02 * (set_name == "highway")
    if not arm.epochs:
        return value - (0.30 if task is Task.SIGN else 0.05)
    value += 0.004 * (len(arm.tasks) == 1) - 0.12 * (arm.size[0] < 416)
    value -= 0.25 * (not arm.pretrained) + 0.05 * (arm.unlabelled is Unlabelled.NEGATIVE)
    value += 0.03 * (arm.unlabelled is Unlabelled.DISTILL and task is not Task.SIGN)
    value -= {"last": 0.08, "head": 0.03, "neck": 0.01, "all": 0.0}[arm.trainable]
    value -= 0.3 * ((100 * arm.share) ** -0.4 - 100**-0.4)
    value -= 0.06 * (arm.name.startswith("only") and set_name not in arm.sets)
    return value + 0.002 * arm.seed
