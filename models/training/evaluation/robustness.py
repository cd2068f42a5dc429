"""Accuracy under conditions: what a model keeps of its clean accuracy.

Measures after Michaelis et al. (2019): mPC, the mean performance under corruption, is mAP50-95
averaged over all conditions and severities; rPC, the relative one, is mPC over the clean
mAP50-95.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from oneglance.models.detector import Detector
from oneglance.models.engines.loading import DEFAULT_ENGINE
from oneglance.models.tasks import Task
from oneglance.models.training.data.datasets import Dataset, read_dataset
from oneglance.models.training.evaluation.coco import (
    EVALUATION_CONFIDENCE,
    Alteration,
    Evaluation,
    TaskAccuracy,
    detect_altered,
    evaluation_of,
    refuse_boxless,
)
from oneglance.models.training.evaluation.conditions import Condition, Severity, apply_condition
from oneglance.streams.errors import UsageError


@dataclass(frozen=True, slots=True)
class Robustness:
    """A model's accuracy on clean images, and on the same ones under conditions."""

    clean: Evaluation
    under: Mapping[tuple[Condition, Severity], Evaluation]

    @property
    def tasks(self) -> list[Task]:
        """Those that are found on clean images at all: of others nothing can be kept."""
        return [task for task, accuracy in self.clean.tasks.items() if accuracy.map50 > 0]

    def accuracy(self, task: Task, condition: Condition, severity: Severity) -> TaskAccuracy:
        """Of one task under one condition."""
        return self.under[condition, severity].tasks[task]

    def kept(self, task: Task, condition: Condition, severity: Severity) -> float:
        """mAP50 under the condition over the clean one."""
        return self.accuracy(task, condition, severity).map50 / self.clean.tasks[task].map50

    def mpc(self, task: Task) -> float:
        """The mean of mAP50-95 over conditions and severities, in 0..1."""
        return float(np.mean([found.tasks[task].map50_95 for found in self.under.values()]))

    def rpc(self, task: Task) -> float:
        """``mpc`` over the clean mAP50-95."""
        return self.mpc(task) / self.clean.tasks[task].map50_95

    def worst(self, task: Task, severity: Severity = Severity.MIDDLE) -> tuple[Condition, float]:
        """The condition of which a task keeps least, and how much of its mAP50 that is."""
        conditions = (c for c, of in self.under if of is severity)
        return min(
            ((c, self.kept(task, c, severity)) for c in conditions), key=lambda found: found[1]
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: ``{"conditions": {condition: {severity: {task: {"map50", "map50_95",
        "by_size"}}}}, "worst": {severity: {task: {"condition", "kept": share}}},
        "mpc": {task: 0..1}, "rpc": {task: share}}``; the clean figures, and what ``by_size`` is,
        are ``Evaluation``'s."""
        conditions: dict[str, dict[str, Any]] = {}
        for (condition, severity), found in self.under.items():
            conditions.setdefault(condition.value, {})[severity.name.lower()] = {
                task.value: {
                    "map50": found.tasks[task].map50,
                    "map50_95": found.tasks[task].map50_95,
                    "by_size": found.tasks[task].by_size,
                }
                for task in self.tasks
            }
        worst: dict[str, dict[str, Any]] = {}
        for severity in dict.fromkeys(severity for _, severity in self.under):
            for task in self.tasks:
                condition, kept = self.worst(task, severity)
                found_worst = {"condition": condition.value, "kept": kept}
                worst.setdefault(severity.name.lower(), {})[task.value] = found_worst
        return {
            "conditions": conditions,
            "worst": worst,
            "mpc": {task.value: self.mpc(task) for task in self.tasks},
            "rpc": {task.value: self.rpc(task) for task in self.tasks},
        }


def evaluate_file_under_conditions(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    split: str = "val",
    engine: str = DEFAULT_ENGINE,
    precision: str | None = None,
) -> Robustness:
    """``evaluate_under_conditions`` for a model by name or path and a data set file.

    Raises:
        DataError, ModelError, UsageError: as it and ``evaluate_file`` do.
    """
    detector = Detector.load(
        model, confidence=EVALUATION_CONFIDENCE, engine=engine, precision=precision
    )
    return evaluate_under_conditions(detector, read_dataset(data), split=split)


def evaluate_under_conditions(
    detector: Detector,
    dataset: Dataset,
    *,
    split: str = "val",
    conditions: Sequence[Condition] = tuple(Condition),
    severities: Sequence[Severity] = tuple(Severity),
) -> Robustness:
    """Score ``detector`` as ``evaluate`` does, on clean images and under every condition.

    Every image is detected once clean and once for each condition and severity, so this takes 22
    times as long by default.

    Raises:
        DataError, UsageError: as ``evaluate`` and ``apply_condition`` do; no task of the set is
            labelled completely.
    """
    refuse_boxless(detector, dataset, split)
    pairs = [(condition, severity) for condition in conditions for severity in severities]
    alterations: list[Alteration] = [lambda image, _: image]
    alterations += [partial(_altered, condition=c, severity=s) for c, s in pairs]
    clean, *under = (
        evaluation_of(found, detector)
        for found in detect_altered(detector, dataset, alterations, split=split)
    )
    if not clean.tasks:
        raise UsageError(
            f"{dataset.file} labels every task in part: there is no mAP that conditions could "
            "change; give a set with complete labels"
        )
    return Robustness(clean, dict(zip(pairs, under, strict=True)))


def _altered(
    image: npt.NDArray[np.uint8], number: int, *, condition: Condition, severity: Severity
) -> npt.NDArray[np.uint8]:
    return apply_condition(image, condition, severity, seed=number)
