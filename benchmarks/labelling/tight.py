"""A set whose training boxes are drawn close to their objects again.

``lights`` came augmented: its images were turned a little, and the boxes with them, each
becoming the upright box around the turned one, which no longer fits the light. A network that
learns from them draws wide boxes, and its mAP50-95 falls where the val images are as they were
taken. The pretrained network, which never saw them, sees where each light ends: where a label and
an answer of its are of one object, the answer's box replaces the label's. Other labels become
smaller, about their middle, as those did in the median.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.labelling.linked_images import label_line
from benchmarks.labelling.training_sets import made_already, write_training_set
from oneglance.models.detector import Detector
from oneglance.models.overlap import iou, to_xywh
from oneglance.models.tasks import Task
from oneglance.models.training.data.datasets import Dataset, read_dataset
from oneglance.models.training.data.images import read_image
from oneglance.streams.errors import DataError

CONFIDENCE = 0.1
"""What the answers are asked for with: that something is there, the label says."""

SAME_FROM = 0.4
"""The IoU of a label and an answer that are of one object."""

INPUT = (640, 640)
"""Of the network that answers, in pixels: the images have 416×416. At 832×832 it finds fewer of the
val images' lights, whose boxes fit, and fits them less (0.82 on average, here 0.85)."""

_Box = npt.NDArray[np.float64]
"""Left, top, width and height in pixels."""


@dataclass(frozen=True, slots=True)
class _Label:
    class_id: int
    box: _Box
    answer: _Box | None


def tight(file: Path, folder: Path, detector: Detector) -> Path:
    """Write a set into ``folder`` that is ``file``'s with other boxes on its training images.

    ``folder`` is written once; what is there from an earlier time is kept. Returns its data set
    file, which links the images and the val split's labels.

    Raises:
        DataError: the set cannot be read, ``detector`` answers for none of its boxes, or what is
            there was made of another.
        SinkError: ``folder`` holds what was not written by this.
    """
    dataset = read_dataset(file)
    made = made_already(folder, dataset)
    if made is not None:
        return made
    images = dataset.images("train")
    sizes: dict[Path, tuple[int, int]] = {}
    labels = {image: list(_labels(dataset, image, detector, sizes)) for image in images}
    shares = _shares(labels)
    if not shares:
        raise DataError(f"{file}: the pretrained network finds none of its boxes")
    width, height = (statistics.median(each) for each in zip(*shares, strict=True))
    lines = {
        image: [_line(each, sizes[image], (width, height)) for each in labels[image]]
        for image in images
    }
    return write_training_set(folder, dataset, lines)


def _labels(
    dataset: Dataset, path: Path, detector: Detector, sizes: dict[Path, tuple[int, int]]
) -> Iterator[_Label]:
    image = read_image(path)
    height, width = image.shape[:2]
    sizes[path] = width, height
    found = detector(image)
    tasks = np.array([Task(str(task)) for task in found.data["task"]], object)
    corners = to_xywh(np.asarray(found.xyxy, np.float64))
    labelled = dataset.read_labels(path).boxes
    labels = np.array(
        [(b.x - b.width / 2, b.y - b.height / 2, b.width, b.height) for b in labelled]
    ).reshape(-1, 4) * (width, height, width, height)
    overlaps = iou(labels, corners)
    of_task = np.array([dataset.tasks[box.class_id] for box in labelled], object)
    overlaps[of_task[:, None] != tasks[None]] = 0
    for number, box in enumerate(labelled):
        answer = None
        if len(corners):
            nearest = int(overlaps[number].argmax())
            is_ours = overlaps[:, nearest].argmax() == number  # an answer is of one object
            if is_ours and overlaps[number, nearest] >= SAME_FROM:
                answer = corners[nearest]
        yield _Label(box.class_id, labels[number], answer)


def _shares(labels: Mapping[Path, Sequence[_Label]]) -> list[tuple[float, float]]:
    """Width and height of each answer over those of its label."""
    return [
        (each.answer[2] / each.box[2], each.answer[3] / each.box[3])
        for of_image in labels.values()
        for each in of_image
        if each.answer is not None
    ]


def _line(label: _Label, size: tuple[int, int], share: tuple[float, float]) -> str:
    left, top, width, height = label.box if label.answer is None else label.answer
    if label.answer is None:
        smaller = width * share[0], height * share[1]
        left, top = left + (width - smaller[0]) / 2, top + (height - smaller[1]) / 2
        width, height = smaller
    return label_line(label.class_id, (left, top, width, height), size)
