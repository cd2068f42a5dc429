"""A detector's scores on a data set, with what drawing the images again says of each."""

from __future__ import annotations

from collections.abc import Iterator, Set
from pathlib import Path

import numpy as np

from oneglance.models.detector import DEFAULT_CONFIDENCE, Detector
from oneglance.models.training.data.datasets import Dataset
from oneglance.models.training.evaluation.bootstrap import average_precision, draw_images, f1, match
from oneglance.models.training.evaluation.coco import detect, score
from oneglance.models.training.study.results import Score

DRAWS = 1000
"""How often val images are drawn for an interval."""


def scores_on(
    detector: Detector, dataset: Dataset, name: str, *, without: Set[Path]
) -> Iterator[Score]:
    """A score for each task that the set labels and the detector finds, on its val images.

    ``name``: what the scores call the set. ``without``: images left out. The draws are the same
    for every detector, so that two are compared draw by draw.
    """
    found = detect(detector, dataset, without=without)
    images = len(found.ground_truth["images"])
    once = np.ones((1, images), np.int64)
    draws = np.vstack((once, draw_images(images, DRAWS, seed=0)))  # as they are, then drawn
    for task in found.tasks:
        accuracy = score(found.ground_truth, found.predictions, task)
        if accuracy is not None:
            matches = match(found.ground_truth, found.predictions, task)
            by_iou = average_precision(matches, draws)
            shown = f1(matches, draws, confidence=DEFAULT_CONFIDENCE)
            yield Score(
                set_name=name,
                task=task,
                map50=accuracy.map50,
                map50_95=accuracy.map50_95,
                f1=float(shown[0]),
                boxes=accuracy.boxes,
                images=images,
                by_iou=tuple(by_iou[0].tolist()),
                by_iou_draws=by_iou[1:].T,
                f1_draws=shown[1:],
            )
