"""The figures that a quantised model is judged by: what it loses, and how far it is surer."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("faster_coco_eval", reason="needs the 'eval' extra")

from oneglance.models.tasks import Task
from oneglance.models.training.evaluation.bootstrap import CATEGORY
from oneglance.models.training.evaluation.coco import Detected
from oneglance.models.training.evaluation.gate import compare, confidence_shift

BOX = [10.0, 10.0, 40.0, 30.0]


def guess(score: float, box: list[float] = BOX, *, image: int = 1, task: Task = Task.CAR) -> Any:
    return {"image_id": image, "category_id": CATEGORY[task], "bbox": box, "score": score}


def detected(*guesses: Any) -> Detected:
    """One image with one car at ``BOX``."""
    label = {"id": 1, "image_id": 1, "category_id": CATEGORY[Task.CAR], "bbox": BOX}
    truth = {
        "images": [{"id": 1, "width": 100, "height": 100}],
        "annotations": [label | {"area": 1200.0, "iscrowd": 0}],
        "categories": [{"id": CATEGORY[Task.CAR], "name": "car"}],
    }
    return Detected(truth, list(guesses), (Task.CAR, Task.SIGN), {})


def test_figures_are_those_of_each_task_with_labels() -> None:
    (found,) = compare("streets", detected(guess(0.9)), detected(guess(0.6)))
    assert (found.set_name, found.task, found.boxes) == ("streets", Task.CAR, 1)
    assert (found.map50_95, found.map50_95_quantised) == pytest.approx((1.0, 1.0))
    assert (found.f1, found.f1_quantised) == pytest.approx((1.0, 1.0))
    assert found.shift == pytest.approx(-0.3)
    (lost,) = compare("streets", detected(guess(0.9)), detected(guess(0.2)))
    assert (lost.map_loss, lost.f1_loss) == pytest.approx((0.0, 1.0))
    (none,) = compare("streets", detected(guess(0.9)), detected())
    assert (none.map_loss, none.f1_loss, none.shift) == pytest.approx((1.0, 1.0, -0.9))
    assert none.as_dict()["set"] == "streets"


def test_a_shift_is_that_of_boxes_which_were_shown() -> None:
    before = [guess(0.8), guess(0.1, [60, 60, 20, 20]), guess(0.5, image=2)]
    after = [guess(0.7), guess(0.9, [60, 60, 20, 20]), guess(0.7, image=2), guess(0.3, image=2)]
    assert confidence_shift(before, after, Task.CAR) == pytest.approx(0.05)
    assert confidence_shift(before, after, Task.SIGN) == 0.0
    other_task = [guess(0.7, task=Task.SIGN)]
    assert confidence_shift(before[:1], other_task, Task.CAR) == pytest.approx(-0.8)
