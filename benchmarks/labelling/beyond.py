"""A set with more on its training images than it labels: what the pretrained network sees at twice
the size at which they are trained.

People and cars are few in our sets, and stand unlabelled on the images that were labelled for their
lights or signs. A small network at 640 pixels can learn from what the same one sees at 1280, as
gtsdb was labelled. The answers are true and not all there (``labels: {car: partial}``): where there
is none, nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from benchmarks.labelling.linked_images import label_line
from benchmarks.labelling.training_sets import made_already, write_training_set
from oneglance.models.detector import Detector
from oneglance.models.overlap import to_xywh
from oneglance.models.tasks import Task
from oneglance.models.training.data.datasets import Dataset, read_dataset
from oneglance.models.training.data.images import read_image
from oneglance.streams.errors import DataError

TASKS = (Task.PEDESTRIAN, Task.CAR)

INPUT = (1280, 768)
"""Of the network that answers, in pixels: twice that of the training."""

CONFIDENCE = 0.3
"""Of an answer that becomes a label, as in gtsdb."""


def beyond(file: Path, folder: Path, detector: Detector) -> Path:
    """Write a set into ``folder`` that is ``file``'s with boxes of those of ``TASKS`` that it does
    not label, as ``detector`` finds them.

    ``folder`` is written once; what is there from an earlier time is kept. Returns its data set
    file.

    Raises:
        DataError: the set cannot be read, labels all of ``TASKS``, or what is there was made of
            another.
        SinkError: ``folder`` holds what was not written by this.
    """
    dataset = read_dataset(file)
    made = made_already(folder, dataset)
    if made is not None:
        return made
    new = [task for task in TASKS if task not in dataset.labelled_tasks]
    if not new:
        raise DataError(f"{file} labels {' and '.join(TASKS)} already")
    first = max(dataset.names) + 1
    numbers = {task: first + place for place, task in enumerate(new)}
    lines = {
        image: [*_own(dataset, image), *_answers(image, detector, numbers)]
        for image in dataset.images("train")
    }
    names = {**dataset.names, **{number: task.value for task, number in numbers.items()}}
    claims = {
        task.value: "partial" if task in dataset.partial_tasks or task in new else "complete"
        for task in (*dataset.labelled_tasks, *new)
    }
    return write_training_set(folder, dataset, lines, {"names": names, "labels": claims})


def _own(dataset: Dataset, image: Path) -> Iterator[str]:
    for box in dataset.read_labels(image).boxes:
        if box.class_id in dataset.left_out:  # of a task that the set does not claim to label
            continue
        sides = box.x - box.width / 2, box.y - box.height / 2, box.width, box.height
        yield label_line(box.class_id, sides, (1, 1))


def _answers(path: Path, detector: Detector, numbers: Mapping[Task, int]) -> Iterator[str]:
    image = read_image(path)
    found = detector(image)
    boxes = to_xywh(np.asarray(found.xyxy, np.float64)).tolist()
    named = zip(map(Task, map(str, found.data["task"])), boxes, strict=True)
    for task, sides in named:
        if task in numbers:
            yield label_line(numbers[task], sides, image.shape[1::-1])
