"""The study's numbers: scores with intervals, and differences of arms on the same images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from oneglance.models.tasks import Task
from oneglance.models.training.study.arms import Arm, StudyOptions
from oneglance.models.training.study.planner import UNTRAINED
from oneglance.models.training.study.results import ArmResult, Failure, Outcome, Score
from oneglance.models.training.study.sets import SetFacts

Floats = npt.NDArray[np.float64]

INTERVAL = (2.5, 97.5)
"""Percentiles between which 95 % of the draws lie."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """A study so far: what was asked, and by the arm's name what came out."""

    sets: tuple[SetFacts, ...]
    options: StudyOptions
    arms: tuple[Arm, ...]
    outcomes: Mapping[str, Outcome]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A score or a difference of two: its value, 95 % of the draws, and each seed's value."""

    value: float
    low: float
    high: float
    seeds: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self) | {"seeds": list(self.seeds)}


@dataclass(frozen=True, slots=True)
class Sample:
    """A score's value (0..1) and its D draws, for one seed."""

    value: float
    draws: Floats


Pick = Callable[[ArmResult], Sample | None]
"""What of an arm's result is compared."""


def of_task(task: Task) -> Pick:
    """mAP50-95 of ``task``, the mean over the sets that score it."""
    return _mean_where(lambda score: score.task is task, _map)


def f1_of_task(task: Task) -> Pick:
    """F1 of ``task`` at the default confidence, the mean over the sets that score it."""
    return _mean_where(lambda score: score.task is task, _f1)


def at_iou(task: Task, level: int) -> Pick:
    """Average precision of ``task`` at one of ``precision.THRESHOLDS``, the mean over the sets."""
    return _mean_where(
        lambda score: score.task is task,
        lambda score: Sample(score.by_iou[level], score.by_iou_draws[level]),
    )


def of_set(set_name: str, task: Task) -> Pick:
    """mAP50-95 of ``task`` on one set."""
    return _mean_where(lambda score: (score.set_name, score.task) == (set_name, task), _map)


def f1_of_set(set_name: str, task: Task) -> Pick:
    """F1 of ``task`` at the default confidence on one set."""
    return _mean_where(lambda score: (score.set_name, score.task) == (set_name, task), _f1)


def _map(score: Score) -> Sample:
    return Sample(score.map50_95, score.draws)


def _f1(score: Score) -> Sample:
    return Sample(score.f1, score.f1_draws)


def _mean_where(holds: Callable[[Score], bool], sample: Callable[[Score], Sample]) -> Pick:
    return lambda result: mean([sample(score) for score in result.scores if holds(score)])


def of_all(tasks: Sequence[Task]) -> Pick:
    """The mean over ``tasks`` of ``of_task``; of those that are scored."""

    def pick(result: ArmResult) -> Sample | None:
        found = [of_task(task)(result) for task in tasks]
        return mean([sample for sample in found if sample is not None])

    return pick


def mean(samples: Sequence[Sample]) -> Sample | None:
    """The mean of several scores, draw by draw; None of none."""
    if not samples:
        return None
    value = float(np.mean([sample.value for sample in samples]))
    draws: Floats = np.mean([sample.draws for sample in samples], axis=0)
    return Sample(value, draws)


def samples(ledger: Ledger, stem: str, pick: Pick) -> dict[int, Sample]:
    """By seed, what the arms called ``stem`` scored; the untrained one is the same for all."""
    found = {}
    for seed in ledger.options.seeds:
        name = stem if stem == UNTRAINED else f"{stem}.s{seed}"
        outcome = ledger.outcomes.get(name)
        sample = pick(outcome) if isinstance(outcome, ArmResult) else None
        if sample is not None:
            found[seed] = sample
    return found


def estimate(by_seed: Mapping[int, Sample]) -> Estimate | None:
    """The mean over seeds and its interval over images and, where there are several, seeds.

    Every seed is scored on the same images, so both are drawn independently of each other: the
    pigeonhole bootstrap of crossed data (Owen, Annals of Applied Statistics, 2007).
    """
    if not by_seed:
        return None
    values = tuple(sample.value for sample in by_seed.values())
    low, high = np.nanpercentile(drawn_means(by_seed), INTERVAL)
    return Estimate(float(np.mean(values)), float(low), float(high), values)


def drawn_means(by_seed: Mapping[int, Sample]) -> Floats:
    """The mean over as many seeds as there are, drawn anew for each draw of images: D numbers."""
    draws = np.stack([sample.draws for sample in by_seed.values()])
    seeds = np.random.default_rng(0).integers(0, len(draws), draws.shape)
    means: Floats = np.take_along_axis(draws, seeds, axis=0).mean(axis=0)
    return means


def difference(left: Mapping[int, Sample], right: Mapping[int, Sample]) -> Estimate | None:
    """``left`` − ``right`` on the same images, over the seeds that both have."""  # noqa: RUF002
    return estimate(
        {
            seed: Sample(left[seed].value - right[seed].value, left[seed].draws - right[seed].draws)
            for seed in left
            if seed in right
        }
    )


def holes(ledger: Ledger, question: int) -> tuple[str, ...]:
    """A sentence for each arm of ``question`` that has nothing to show."""
    missing = []
    for arm in ledger.arms:
        outcome = ledger.outcomes.get(arm.name)
        if question in arm.questions and not isinstance(outcome, ArmResult):
            why = f"failed: {outcome.reason}" if isinstance(outcome, Failure) else "not run yet"
            missing.append(f"`{arm.name}` is missing ({why})")
    return tuple(missing)
