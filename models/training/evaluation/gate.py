"""The accuracy gate: whether a quantised model still finds what its float original does.

Per set and task, on the same labelled images: what is lost of average precision and of F1, and how
far confidences have moved. Pure figures: nothing is run here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from oneglance.models.detector import DEFAULT_CONFIDENCE
from oneglance.models.overlap import iou
from oneglance.models.tasks import Task
from oneglance.models.training.evaluation.bootstrap import CATEGORY, average_precision, f1, match
from oneglance.models.training.evaluation.coco import Detected

SAME_IOU = 0.5
"""From this overlap on, two detections of one task are of one object."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What a quantised model may lose: mAP50-95 and F1 in 0..1, and how far the mean confidence
    may move, up or down."""

    map_loss: float = 0.005
    f1_loss: float = 0.01
    confidence_shift: float = 0.02

    def problems(self, row: GateRow) -> tuple[str, ...]:
        """What of ``row`` is out of bounds, in words; empty where it passes."""
        found = [
            f"{name} {loss:+.2f} points (at most {-100 * bound:+.2f})"
            for name, loss, bound in (
                ("mAP50-95", -100 * row.map_loss, self.map_loss),
                ("F1", -100 * row.f1_loss, self.f1_loss),
            )
            if not loss >= -100 * bound  # not a number fails too
        ]
        if not abs(row.shift) <= self.confidence_shift:
            found.append(f"mean confidence {row.shift:+.3f} (at most ±{self.confidence_shift:g})")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class GateRow:
    """One task of one set: figures of the original and of the quantised model, all in 0..1.

    ``shift``: how much surer the quantised one is, on average, of what the original shows.
    ``boxes``: labelled ones.
    """

    set_name: str
    task: Task
    boxes: int
    map50_95: float
    map50_95_quantised: float
    f1: float
    f1_quantised: float
    shift: float

    @property
    def map_loss(self) -> float:
        """What is lost of mAP50-95; below 0 where it has risen."""
        return self.map50_95 - self.map50_95_quantised

    @property
    def f1_loss(self) -> float:
        """What is lost of F1 at the default confidence."""
        return self.f1 - self.f1_quantised

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, figures with five digits."""
        content = asdict(self) | {"set": self.set_name, "task": self.task.value}
        del content["set_name"]
        return {k: round(v, 5) if isinstance(v, float) else v for k, v in content.items()}


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
