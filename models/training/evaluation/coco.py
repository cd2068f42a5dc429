"""Accuracy of a model file, through the same Detector that users run.

COCO's mAP by ``faster-coco-eval`` (a test holds it equal to pycocotools), for each task: a
prediction counts for its class's task, a label for the task its name serves. Where both have
subclasses of a task (a light's colour), how often they are right is reported beside it. No torch
here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import supervision as sv
from faster_coco_eval import COCO, COCOeval_faster

from oneglance.models.detector import DEFAULT_CONFIDENCE, Detector
from oneglance.models.engines.loading import DEFAULT_ENGINE
from oneglance.models.tasks import ModelClass, Task
from oneglance.models.training.data.checks import check_images
from oneglance.models.training.data.datasets import Dataset, read_dataset
from oneglance.models.training.data.finding import without_labels
from oneglance.models.training.data.images import read_image
from oneglance.models.training.data.labels import refuse
from oneglance.models.training.evaluation.bootstrap import CATEGORY
from oneglance.models.training.evaluation.partial import PartialAccuracy, partial_accuracy
from oneglance.models.training.evaluation.subclasses import SubclassAccuracy, compare_subclasses
from oneglance.streams.errors import DataError

EVALUATION_CONFIDENCE = 0.001
"""mAP walks the whole precision-recall curve, so nearly every box counts; COCO's habit."""

SIZES = ("small", "medium", "large")
"""COCO's, in pixels of the image: up to 32², up to 96², above."""


@dataclass(frozen=True, slots=True)
class TaskAccuracy:
    """COCO's mAP of one task, in 0..1, and how many labelled boxes it stands on.

    ``by_size``: mAP50-95 of its objects of each of COCO's sizes that is labelled: ``small`` up to
    32² pixels of the image, ``medium`` up to 96², ``large``.
    """

    map50: float
    map50_95: float
    boxes: int
    by_size: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What ``evaluate`` found: its images, accuracy and subclass accuracy for each task."""

    images: int
    tasks: dict[Task, TaskAccuracy]
    subclasses: dict[Task, SubclassAccuracy] = field(default_factory=dict)
    partial: dict[Task, PartialAccuracy] = field(default_factory=dict)
    engine: str = ""
    precision: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: ``{"images": n, "tasks": {task: {"map50", "map50_95", "boxes", "by_size"}},
        "subclasses": {task: {"correct", "unassigned", "found", "share", "of": {subclass: the
        same}}}, "partial": {task:
        {"recall", "unmatched_per_image", "confidence", "boxes"}}}``, the latter for tasks labelled
        in part."""
        return {
            "images": self.images,
            "tasks": {t.value: asdict(a) for t, a in self.tasks.items()},
            "subclasses": {t.value: s.as_dict() for t, s in self.subclasses.items()},
            "partial": {t.value: asdict(p) for t, p in self.partial.items()},
        }


@dataclass(frozen=True, slots=True)
class Truth:
    """An image, its boxes and the regions in which a task is unknown, ``xywh`` in pixels from the
    top left."""

    path: Path
    image: npt.NDArray[np.uint8]
    boxes: list[tuple[ModelClass, tuple[float, float, float, float]]]
    regions: list[tuple[Task, tuple[float, float, float, float]]] = field(default_factory=list)


def evaluate_file(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    split: str = "val",
    engine: str = DEFAULT_ENGINE,
    precision: str | None = None,
) -> Evaluation:
    """``evaluate`` for a model by name or path and a data set file.

    Raises:
        DataError, ModelError, UsageError: as ``evaluate``, ``read_dataset`` and
            ``Detector.load`` do.
    """
    dataset = read_dataset(data)
    detector = Detector.load(
        model, confidence=EVALUATION_CONFIDENCE, engine=engine, precision=precision
    )
    return evaluate(detector, dataset, split=split)


def evaluate(detector: Detector, dataset: Dataset, *, split: str = "val") -> Evaluation:
    """Run ``detector`` over ``split`` and score it by COCO's rules.

    ``detector`` should have been loaded with ``EVALUATION_CONFIDENCE``: a higher one cuts the
    curve. A detection in an ignore region is neither right nor wrong (COCO's
    ``iscrowd``). Tasks that the set does not label, or labels no box of, or that the model does not
    do, are left out. A task labelled in part has no average precision, for a detection without a
    box may be right: see ``partial``. Subclasses are judged on detections of
    ``DEFAULT_CONFIDENCE``.

    Raises:
        DataError: the split is missing, an image cannot be read, labels are broken (all are
            named), no box is labelled, or the model and the set have no task in common.
    """
    refuse_boxless(detector, dataset, split)
    return evaluation_of(detect(detector, dataset, split=split), detector)


def refuse_boxless(detector: Detector, dataset: Dataset, split: str) -> None:
    """Refuse to score on images that show none of what ``detector`` finds: any would pass.

    Raises:
        DataError: there is no such split, or not one box of a task of its in it.
    """
    served = {cls.task for cls in detector.classes} & dataset.labelled_tasks
    images = dataset.images(split)
    for image in images:
        labels = dataset.read_labels(image)
        classes = (dataset.class_of(box) for box in labels.boxes)
        if any(cls is not None and cls.task in served for cls in classes):
            return
        if any(not problem.usable for problem in labels.problems):
            return  # what is broken is named when all are read
    if served and any(map(dataset.has_labels, images)):
        raise DataError(
            f"{dataset.file}: not one box of {', '.join(sorted(served))} in its {split} images: "
            "there is nothing to score"
        )


def evaluation_of(found: Detected, detector: Detector) -> Evaluation:
    """The scores of what ``detector`` found."""
    scored = {task: score(found.ground_truth, found.predictions, task) for task in found.tasks}
    accuracy = {task: a for task, a in scored.items() if a is not None}
    partial = {
        task: partial_accuracy(found.ground_truth, found.predictions, task)
        for task in found.partial_tasks
    }
    return Evaluation(
        len(found.ground_truth["images"]),
        accuracy,
        found.subclasses,
        partial,
        engine=detector.engine,
        precision=detector.precision,
    )


@dataclass(frozen=True, slots=True)
class Detected:
    """Labels and detections of a split in COCO's own structures, and the tasks to score; apart
    from them those that the set labels in part.

    Image ids count from 1 in the order of ``Dataset.images``.
    """

    ground_truth: dict[str, Any]
    predictions: list[dict[str, Any]]
    tasks: tuple[Task, ...]
    subclasses: dict[Task, SubclassAccuracy]
    partial_tasks: tuple[Task, ...] = ()


Alteration = Callable[[npt.NDArray[np.uint8], int], npt.NDArray[np.uint8]]
"""What is done to an image, H×W×3 BGR, before a detector sees it; the second is its number."""


def detect(
    detector: Detector, dataset: Dataset, *, split: str = "val", without: Container[Path] = ()
) -> Detected:
    """Run ``detector`` over ``split``, see ``evaluate``; not over the images ``without``."""
    (found,) = detect_altered(
        detector, dataset, [lambda image, _: image], split=split, without=without
    )
    return found


def detect_altered(
    detector: Detector,
    dataset: Dataset,
    alterations: Sequence[Alteration],
    *,
    split: str = "val",
    without: Container[Path] = (),
) -> list[Detected]:
    """``detect`` on images altered in each of several ways, in their order; each is read once."""
    served = {cls.task for cls in detector.classes}
    common = tuple(task for task in Task if task in dataset.labelled_tasks & served)
    if not common:
        raise DataError(
            f"{dataset.file} labels {', '.join(sorted(dataset.labelled_tasks))}, model "
            f"{detector.name} does {', '.join(sorted(served))}: nothing to score"
        )
    both = _tasks_with_subclasses(dataset.classes.values()) & _tasks_with_subclasses(
        detector.classes
    )
    subclasses = [
        {task: SubclassAccuracy(0, 0, 0) for task in common if task in both} for _ in alterations
    ]
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    predictions: list[list[dict[str, Any]]] = [[] for _ in alterations]
    chosen = [path for path in dataset.images(split) if path not in without]
    for number, truth in enumerate(truths(dataset, split, chosen), 1):
        height, width = truth.image.shape[:2]
        images.append(
            {"id": number, "width": width, "height": height, "file_name": truth.path.name}
        )
        for cls, xywh in truth.boxes:
            annotations.append(_annotation(len(annotations) + 1, number, cls.task, xywh))
        for task, xywh in truth.regions:
            region = _annotation(len(annotations) + 1, number, task, xywh)
            annotations.append(region | {"iscrowd": 1})
        for alter, seen, right in zip(alterations, predictions, subclasses, strict=True):
            found = detector(alter(truth.image, number))
            seen.extend(_predictions(found, number))
            for task in right:
                right[task] += _compare_subclasses(truth, found, task)
    categories = [{"id": CATEGORY[task], "name": task.value} for task in common]
    ground_truth = {"images": images, "annotations": annotations, "categories": categories}
    tasks = tuple(task for task in common if task not in dataset.partial_tasks)
    partial = tuple(task for task in common if task in dataset.partial_tasks)
    return [
        Detected(ground_truth, seen, tasks, right, partial)
        for seen, right in zip(predictions, subclasses, strict=True)
    ]


def score(
    ground_truth: dict[str, Any], predictions: list[dict[str, Any]], task: Task
) -> TaskAccuracy | None:
    """COCO's mAP of one task; None when no box of it is labelled.

    ``ground_truth`` and ``predictions`` are COCO's own structures, ``CATEGORY`` their ids.
    """
    boxes = sum(
        a["category_id"] == CATEGORY[task] and not a["iscrowd"] for a in ground_truth["annotations"]
    )
    if not boxes:
        return None
    if not any(p["category_id"] == CATEGORY[task] for p in predictions):
        return TaskAccuracy(0.0, 0.0, boxes)
    truth = COCO(ground_truth)
    judge = COCOeval_faster(truth, truth.loadRes(predictions), "bbox", print_function=_silent)
    judge.params.catIds = [CATEGORY[task]]
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    # -1 where no object of that size is labelled
    by_size = {name: float(ap) for name, ap in zip(SIZES, judge.stats[3:6], strict=True) if ap >= 0}
    return TaskAccuracy(float(judge.stats[1]), float(judge.stats[0]), boxes, by_size)


def _silent(*_: object) -> None:
    """The reference tool prints its table; ours is printed by the command line."""


def truths(dataset: Dataset, split: str, images: Iterable[Path]) -> Iterator[Truth]:
    """Each of ``images``, of ``split``, with its boxes of ours.

    Raises:
        DataError: there are no labels, some are broken (all are named), or an image cannot be read.
    """
    files = list(images)
    refuse(without_labels(dataset, split, files))
    labelled = [(path, dataset.read_labels(path)) for path in files]
    refuse([p for _, labels in labelled for p in labels.problems if not p.usable])
    # OpenCV makes grey of what a cut file lacks.
    refuse([problem for wrong in check_images(dataset, files) for problem in wrong])
    for path, labels in labelled:
        image = read_image(path)
        height, width = image.shape[:2]
        truth = Truth(path, image, [])
        for box in labels.boxes:
            left, top = (box.x - box.width / 2) * width, (box.y - box.height / 2) * height
            xywh = left, top, box.width * width, box.height * height
            cls = dataset.class_of(box)
            if cls is not None:
                truth.boxes.append((cls, xywh))
            truth.regions.extend((task, xywh) for task in sorted(dataset.ignored_in(box)))
        yield truth


def _tasks_with_subclasses(classes: Iterable[ModelClass | None]) -> set[Task]:
    return {cls.task for cls in classes if cls is not None and not cls.is_parent}


def _compare_subclasses(truth: Truth, found: sv.Detections, task: Task) -> SubclassAccuracy:
    assert found.confidence is not None
    labelled = [(cls.name, xywh) for cls, xywh in truth.boxes if cls.task is task]
    xyxy = np.array([xywh for _, xywh in labelled], np.float64).reshape(-1, 4)
    xyxy[:, 2:] += xyxy[:, :2]
    mine = np.asarray(found.data["task"]) == task.value
    sure = np.flatnonzero(mine & (found.confidence >= DEFAULT_CONFIDENCE))
    order = sure[np.argsort(-found.confidence[sure], kind="stable")]
    return compare_subclasses(
        xyxy,
        [name for name, _ in labelled],
        found.xyxy[order].astype(np.float64),
        [str(name) for name in np.asarray(found.data["class_name"])[order]],
        parent=task.value,
    )


def _annotation(
    identity: int, image: int, task: Task, xywh: tuple[float, float, float, float]
) -> dict[str, Any]:
    return {
        "id": identity,
        "image_id": image,
        "category_id": CATEGORY[task],
        "bbox": list(xywh),
        "area": xywh[2] * xywh[3],
        "iscrowd": 0,
    }


def _predictions(found: sv.Detections, number: int) -> list[dict[str, Any]]:
    assert found.confidence is not None
    xywh = found.xyxy.astype(np.float64)
    xywh[:, 2:] -= xywh[:, :2]
    return [
        {
            "image_id": number,
            "category_id": CATEGORY[Task(task)],
            "bbox": box,
            "score": confidence,
        }
        for task, box, confidence in zip(
            np.asarray(found.data["task"]).tolist(),
            xywh.tolist(),
            found.confidence.tolist(),
            strict=True,
        )
    ]
