"""Accuracy on a task that a set labels in part.

A detection that no box confirms may be right, so there is no precision, and no average precision
that would mean anything. What can be said: how many of the boxes are found at a confidence that
is fixed, and, apart from it, how many detections stand without a box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oneglance.models.detector import DEFAULT_CONFIDENCE
from oneglance.models.tasks import Task
from oneglance.models.training.evaluation.bootstrap import match


@dataclass(frozen=True, slots=True)
class PartialAccuracy:
    """``recall``: share of the ``boxes`` found, 0..1; 0 without a box. ``unmatched_per_image``:
    detections that no box confirms, right ones among them. Both at ``confidence`` and an IoU of
    0.5."""

    recall: float
    unmatched_per_image: float
    confidence: float
    boxes: int


def partial_accuracy(
    ground_truth: Mapping[str, Any],
    predictions: Sequence[Mapping[str, Any]],
    task: Task,
    *,
    confidence: float = DEFAULT_CONFIDENCE,
) -> PartialAccuracy:
    """From COCO's own structures, see ``bootstrap.match``; ignore regions
    count neither way."""
    matches = match(ground_truth, predictions, task)
    shown = matches.confidence >= confidence
    found = int(matches.true[shown, 0].sum())
    unmatched = int((~matches.true[shown, 0] & ~matches.ignored[shown, 0]).sum())
    boxes = int(matches.boxes.sum())
    return PartialAccuracy(
        recall=found / boxes if boxes else 0.0,
        unmatched_per_image=unmatched / max(1, len(ground_truth["images"])),
        confidence=confidence,
        boxes=boxes,
    )
