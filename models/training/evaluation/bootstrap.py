"""Scores over images drawn again and again, COCO's average precision among them: how far they
are chance.

Matching is done image by image, so it is done once; drawing images with replacement then only
changes how often each image counts. A test holds that score equal to ``evaluate.score``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from oneglance.models.overlap import iou
from oneglance.models.tasks import Task

CATEGORY = {task: number for number, task in enumerate(Task, 1)}
"""The ids of tasks in COCO's own structures."""

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""IoU from which a detection is true; mAP50-95 is the mean over them."""

RECALLS = np.linspace(0, 1, 101)
MOST_DETECTIONS = 100
"""COCO looks at so many detections of an image, the surest."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Matches:
    """One task's N detections over a set of images, the surest first.

    ``image``: N numbers of images from 0. ``confidence``: N, falling. ``true``: N×10, whether
    the detection is true from each of ``THRESHOLDS`` on; ``ignored``: whether it is neither true
    nor false there, lying in an ignore region. ``boxes``: how many labelled boxes
    each image has.
    """

    image: Ints
    confidence: Floats
    true: npt.NDArray[np.bool_]
    ignored: npt.NDArray[np.bool_]
    boxes: Ints


def match(
    ground_truth: Mapping[str, Any], predictions: Sequence[Mapping[str, Any]], task: Task
) -> Matches:
    """Match detections to labels by COCO's rules; both are COCO's structures, ids from 1."""
    count, category = len(ground_truth["images"]), CATEGORY[task]
    objects, regions = (
        [a for a in ground_truth["annotations"] if a["iscrowd"] == crowd] for crowd in (0, 1)
    )
    labelled = _by_image(objects, category, count)
    unknown = _by_image(regions, category, count)
    found = _by_image(predictions, category, count)
    images, scores, true, ignored = [], [], [], []
    for number, (boxes, areas, guesses) in enumerate(zip(labelled, unknown, found, strict=True)):
        confidence = np.array([guess["score"] for guess in guesses], np.float64)
        order = np.argsort(-confidence, kind="stable")[:MOST_DETECTIONS]
        seen = _xywh([guesses[i] for i in order])
        hits = _match_image(iou(seen, _xywh(boxes)))
        images.append(np.full(len(order), number, np.int64))
        scores.append(confidence[order])
        true.append(hits)
        inside = iou(seen, _xywh(areas), crowd=True).max(axis=1, initial=0)
        ignored.append(~hits & (inside[:, None] >= np.minimum(THRESHOLDS, 1 - 1e-10)))
    confidences = np.concatenate(scores)
    surest = np.argsort(-confidences, kind="stable")
    return Matches(
        image=np.concatenate(images)[surest],
        confidence=confidences[surest],
        true=np.concatenate(true)[surest],
        ignored=np.concatenate(ignored)[surest],
        boxes=np.array([len(boxes) for boxes in labelled], np.int64),
    )


def average_precision(matches: Matches, draws: Ints) -> Floats:
    """D×10: average precision in 0..1 of each of D draws at each of ``THRESHOLDS``; the mean of
    a row is mAP50-95. NaN for a draw without a labelled box.

    ``draws``: D×images, how often each image counts; a row of ones is the score itself.
    """
    boxes: Ints = draws @ matches.boxes
    times = draws[:, matches.image]
    everything = times.cumsum(axis=1)  # detections up to each, false ones too
    result = np.zeros((len(draws), len(THRESHOLDS)))
    for level in range(len(THRESHOLDS)):
        places = np.flatnonzero(matches.true[:, level])
        hits = draws[:, matches.image[places]].cumsum(axis=1)
        ignored = matches.ignored[:, level]
        counted = (times * ~ignored).cumsum(axis=1) if ignored.any() else everything
        result[:, level] = _area(hits, counted[:, places], boxes)
    result[boxes == 0] = np.nan
    return result


def f1(matches: Matches, draws: Ints, *, confidence: float) -> Floats:
    """F1 in 0..1 of each of D draws: twice the true detections over detections and labels.

    Only detections of ``confidence`` and more count, true from an IoU of 0.5 on. Average
    precision asks in which order a network puts its detections; this asks which ones are shown.
    NaN for a draw with neither detections nor labels. ``draws`` as in ``average_precision``.
    """
    shown = (matches.confidence >= confidence) & ~matches.ignored[:, 0]
    times = draws[:, matches.image[shown]]
    both: Ints = times.sum(axis=1) + draws @ matches.boxes
    result = np.full(len(draws), np.nan)
    np.divide(2 * times @ matches.true[shown, 0], both, out=result, where=both > 0)
    return result


def draw_images(images: int, draws: int, *, seed: int) -> Ints:
    """How often each of ``images`` comes when as many are drawn with replacement, ``draws`` times.

    The same for the same numbers, so that two networks are compared on the same draws.
    """
    random = np.random.default_rng([seed, images])
    counts: Ints = random.multinomial(images, np.full(images, 1 / images), size=draws)
    return counts


def _area(hits: Ints, counted: Ints, boxes: Ints) -> Floats:
    """COCO's 101-point area below each row's curve, taken at its true detections alone.

    Between two true ones precision only falls, and COCO takes the best to the right.
    """
    if not hits.shape[1]:
        return np.zeros(len(hits))
    precision = hits / np.maximum(counted, 1)
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = hits / np.maximum(boxes, 1)[:, None]
    area = np.zeros(len(hits))
    for row in range(len(hits)):
        places = np.searchsorted(recall[row], RECALLS, side="left")
        reached = places < hits.shape[1]
        area[row] = precision[row, places[reached]].sum() / len(RECALLS)
    return area


def _match_image(overlap: Floats) -> npt.NDArray[np.bool_]:
    """Each detection, the surest first, takes the free label that it overlaps most."""
    detections, labels = overlap.shape
    true = np.zeros((detections, len(THRESHOLDS)), bool)
    near = np.flatnonzero(overlap.max(axis=1, initial=0) >= THRESHOLDS[0] - 1e-10)
    for level, threshold in enumerate(THRESHOLDS):
        free = np.ones(labels, bool)
        for detection in near:
            candidates = np.where(free, overlap[detection], -1.0)
            # Of equals the last, as COCO does.
            best = labels - 1 - int(candidates[::-1].argmax())
            if candidates[best] >= min(threshold, 1 - 1e-10):
                true[detection, level], free[best] = True, False
    return true


def _xywh(boxes: Sequence[Mapping[str, Any]]) -> Floats:
    return np.array([box["bbox"] for box in boxes], np.float64).reshape(-1, 4)


def _by_image(
    boxes: Sequence[Mapping[str, Any]], category: int, count: int
) -> list[list[Mapping[str, Any]]]:
    found: list[list[Mapping[str, Any]]] = [[] for _ in range(count)]
    for box in boxes:
        if box["category_id"] == category:
            found[box["image_id"] - 1].append(box)
    return found
