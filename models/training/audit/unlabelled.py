"""Objects that a set probably shows and does not label, found by a model, to be looked at.

A model's opinion is no label: what it is sure of and no box covers is a list for somebody's eyes,
the surest first, each with a crop of the image around it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from oneglance.models.detector import Detector
from oneglance.models.overlap import Boxes, iou, to_xywh
from oneglance.models.tasks import Task
from oneglance.models.training.data.datasets import Dataset
from oneglance.models.training.data.images import read_image
from oneglance.models.training.evaluation.coco import Truth, truths
from oneglance.streams.errors import DataError
from oneglance.streams.output_folder import OutputFolder

SURE = 0.5
"""Confidence from which a detection is worth looking at."""

COVERED = 0.3
"""A detection that overlaps a box of its task by this IoU is that object, badly boxed perhaps; one
of which this share lies in an ignore region is no news."""

MARGIN = 0.5
"""How much of its own size a crop shows around an object, on each side."""

MOST_CROPS = 500
LIST = "candidates.csv"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A detection without a box. ``xyxy``: its corners in pixels of ``image``."""

    image: Path
    split: str
    task: Task
    confidence: float
    xyxy: tuple[float, float, float, float]


def unlabelled_objects(
    detector: Detector, dataset: Dataset, *, confidence: float = SURE
) -> list[Candidate]:
    """What ``detector`` finds in the tasks that the set labels, in full or in part, and no box of
    them covers; all splits, the surest first.

    Raises:
        DataError: labels are broken, an image cannot be read, or the model and the set have no
            task in common.
    """
    tasks = dataset.labelled_tasks & {cls.task for cls in detector.classes}
    if not tasks:
        raise DataError(
            f"{dataset.file} labels {', '.join(sorted(dataset.labelled_tasks))}, model "
            f"{detector.name} finds none of it"
        )
    found: list[Candidate] = []
    for split in dataset.folders:
        for truth in truths(dataset, split, dataset.images(split)):
            found += _without_box(detector, truth, split, tasks, confidence=confidence)
    return sorted(found, key=lambda one: (-one.confidence, one.image, one.xyxy))


def write_candidates(candidates: Sequence[Candidate], folder: Path) -> Path:
    """Write ``candidates.csv`` and, for the first ``MOST_CROPS``, ``crops/NUMBER-TASK.jpg``;
    returns the list.

    Raises:
        SinkError: ``folder`` holds anything but an earlier list, or cannot be written.
        DataError: an image cannot be read.
    """
    place = OutputFolder(folder, "audit")
    place.check(one.image for one in candidates)
    place.refill(_files(candidates))
    return folder / LIST


def _files(candidates: Sequence[Candidate]) -> Iterator[tuple[str, bytes | str]]:
    lines = io.StringIO()
    table = csv.writer(lines)
    table.writerow(("number", "task", "confidence", "image", "split", "x1", "y1", "x2", "y2"))
    for number, one in enumerate(candidates, 1):
        corners = [round(side, 1) for side in one.xyxy]
        table.writerow((number, one.task, f"{one.confidence:.3f}", one.image, one.split, *corners))
        if number <= MOST_CROPS:
            crop = cv2.imencode(".jpg", _crop(one))[1].tobytes()
            yield f"crops/{number:04d}-{one.task}.jpg", crop
    yield LIST, lines.getvalue()


def _without_box(
    detector: Detector, truth: Truth, split: str, tasks: frozenset[Task], *, confidence: float
) -> Iterator[Candidate]:
    found = detector(truth.image)
    assert found.confidence is not None
    seen = to_xywh(found.xyxy.astype(np.float64))
    for task in sorted(tasks):
        boxes = _boxes([xywh for cls, xywh in truth.boxes if cls.task is task])
        regions = _boxes([xywh for of, xywh in truth.regions if of is task])
        covered = iou(seen, boxes).max(axis=1, initial=0)
        inside = iou(seen, regions, crowd=True).max(axis=1, initial=0)
        mine = np.asarray(found.data["task"]) == task.value
        sure = mine & (found.confidence >= confidence)
        for index in np.flatnonzero(sure & (covered < COVERED) & (inside < COVERED)):
            x1, y1, x2, y2 = (float(side) for side in found.xyxy[index])
            sureness = float(found.confidence[index])
            yield Candidate(truth.path, split, task, sureness, (x1, y1, x2, y2))


def _boxes(xywh: Sequence[tuple[float, float, float, float]]) -> Boxes:
    return np.array(xywh, np.float64).reshape(-1, 4)


def _crop(one: Candidate) -> npt.NDArray[np.uint8]:
    """The object in its surroundings, framed."""
    image = read_image(one.image)
    height, width = image.shape[:2]
    x1, y1, x2, y2 = one.xyxy
    around_x, around_y = MARGIN * (x2 - x1) + 8, MARGIN * (y2 - y1) + 8
    corners = [(int(x1), int(y1)), (int(x2), int(y2))]
    cv2.rectangle(image, corners[0], corners[1], (0, 255, 255), 1)
    top, bottom = max(0, int(y1 - around_y)), min(height, int(y2 + around_y) + 1)
    left, right = max(0, int(x1 - around_x)), min(width, int(x2 + around_x) + 1)
    return np.ascontiguousarray(image[top:bottom, left:right], np.uint8)
