"""The accuracy gate's figures: whether a quantised model still finds what its float original does.

Per set and task, on the same labelled images: what is lost of average precision and of F1, and how
far confidences have moved. Nothing is run here; ``engines.accuracy_gate`` judges them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from oneglance.models.detector import DEFAULT_CONFIDENCE
from oneglance.models.engines.accuracy_gate import GateRow
from oneglance.models.overlap import iou
from oneglance.models.tasks import Task
from oneglance.models.training.evaluation.bootstrap import CATEGORY, average_precision, f1, match
from oneglance.models.training.evaluation.coco import Detected

SAME_IOU = 0.5
"""From this overlap on, two detections of one task are of one object."""


def compare(set_name: str, original: Detected, quantised: Detected) -> list[GateRow]:
    """A row for each task of a set that has labelled boxes; both ran over the same images.

    Tasks labelled in part are left out: they have no average precision.
    """
    rows = []
    once = np.ones((1, len(original.ground_truth["images"])), np.int64)
    for task in original.tasks:
        before, after = (
            match(found.ground_truth, found.predictions, task) for found in (original, quantised)
        )
        if not before.boxes.sum():
            continue
        map_before, map_after = (
            float(average_precision(matches, once).mean()) for matches in (before, after)
        )
        f1_before, f1_after = (
            float(f1(matches, once, confidence=DEFAULT_CONFIDENCE)[0])
            for matches in (before, after)
        )
        rows.append(
            GateRow(
                set_name,
                task,
                int(before.boxes.sum()),
                map50_95=map_before,
                map50_95_quantised=map_after,
                f1=f1_before,
                f1_quantised=f1_after,
                shift=confidence_shift(original.predictions, quantised.predictions, task),
            )
        )
    return rows


def confidence_shift(
    original: Iterable[Mapping[str, Any]], quantised: Iterable[Mapping[str, Any]], task: Task
) -> float:
    """How much surer the quantised model is, on average, of boxes that the original shows.

    Both are COCO's structures. A box's counterpart is the surest that overlaps it; one without
    any has lost all its confidence. 0 where the original shows nothing.
    """
    by_image: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for guess in quantised:
        if guess["category_id"] == CATEGORY[task]:
            by_image[guess["image_id"]].append(guess)
    shifts = []
    for box in original:
        if box["category_id"] == CATEGORY[task] and box["score"] >= DEFAULT_CONFIDENCE:
            others = by_image[box["image_id"]]
            overlaps = iou(_xywh([box]), _xywh(others))[0]
            scores = [o["score"] for o, s in zip(others, overlaps, strict=True) if s >= SAME_IOU]
            shifts.append(max(scores, default=0.0) - box["score"])
    return float(np.mean(shifts)) if shifts else 0.0


def _xywh(guesses: Sequence[Mapping[str, Any]]) -> Any:
    return np.array([guess["bbox"] for guess in guesses], np.float64).reshape(-1, 4)
