from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("faster_coco_eval", reason="needs the 'eval' extra")

from oneglance.models.tasks import Task
from oneglance.models.training.evaluation.bootstrap import CATEGORY
from oneglance.models.training.evaluation.partial import partial_accuracy

SIGN = CATEGORY[Task.SIGN]


def label(image: int, box: list[float], *, crowd: int = 0) -> dict[str, Any]:
    area = box[2] * box[3]
    return {"image_id": image, "category_id": SIGN, "bbox": box, "area": area, "iscrowd": crowd}


def guess(image: int, box: list[float], score: float) -> dict[str, Any]:
    return {"image_id": image, "category_id": SIGN, "bbox": box, "score": score}


def test_recall_and_what_stands_without_a_box_are_two_figures() -> None:
    here, there, far = [0.0, 0, 10, 10], [20.0, 0, 10, 10], [60.0, 60, 10, 10]
    truth = {
        "images": [{"id": 1}, {"id": 2}],
        "annotations": [label(1, here), label(1, there), label(2, here), label(2, far, crowd=1)],
    }
    guesses = [
        guess(1, here, 0.9),  # found
        guess(1, there, 0.2),  # not sure enough
        guess(1, far, 0.8),  # without a box: a sign that nobody labelled, or a mistake
        guess(2, far, 0.8),  # in an ignore region
        guess(2, [5.0, 0, 10, 10], 0.8),  # IoU 1/3: not that box
    ]
    found = partial_accuracy(truth, guesses, Task.SIGN)
    assert found.boxes == 3
    assert found.recall == pytest.approx(1 / 3)
    assert found.unmatched_per_image == 1.0
    assert found.confidence == 0.25
    assert partial_accuracy(truth, guesses, Task.SIGN, confidence=0.1).recall == pytest.approx(
        2 / 3
    )


def test_nothing_found_and_nothing_labelled_are_zero_and_no_crash() -> None:
    truth = {"images": [{"id": 1}], "annotations": []}
    found = partial_accuracy(truth, [], Task.SIGN)
    assert (found.recall, found.unmatched_per_image, found.boxes) == (0.0, 0.0, 0)
