"""A quantised model passes by figures, or what is wrong with it is said."""

from __future__ import annotations

import math
from typing import Any

import pytest

pytest.importorskip("faster_coco_eval", reason="needs the 'eval' extra")

from oneglance.models.tasks import Task
from oneglance.models.training.evaluation.bootstrap import CATEGORY
from oneglance.models.training.evaluation.coco import Detected
from oneglance.models.training.evaluation.gate import Gate, GateRow, compare, confidence_shift

BOX = [10.0, 10.0, 40.0, 30.0]


def row(*, map_loss: float = 0.0, f1_loss: float = 0.0, shift: float = 0.0) -> GateRow:
    return GateRow("streets", Task.CAR, 9, 0.5, 0.5 - map_loss, 0.7, 0.7 - f1_loss, shift)


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


@pytest.mark.parametrize(
    "passing",
    [
        row(),
        row(map_loss=0.0049, f1_loss=0.0099, shift=0.0199),
        row(map_loss=-0.2, f1_loss=-0.2, shift=-0.0199),
    ],
)
def test_within_the_bounds_it_passes(passing: GateRow) -> None:
    assert Gate().problems(passing) == ()


@pytest.mark.parametrize(
    ("failing", "sentence"),
    [
        (row(map_loss=0.006), "mAP50-95 -0.60 points (at most -0.50)"),
        (row(f1_loss=0.012), "F1 -1.20 points (at most -1.00)"),
        (row(shift=0.03), "mean confidence +0.030 (at most ±0.02)"),
        (row(shift=-0.03), "mean confidence -0.030 (at most ±0.02)"),
        (row(map_loss=math.nan), "mAP50-95 +nan points (at most -0.50)"),
        (row(shift=math.nan), "mean confidence +nan (at most ±0.02)"),
    ],
)
def test_each_bound_fails_by_itself(failing: GateRow, sentence: str) -> None:
    assert Gate().problems(failing) == (sentence,)


def test_all_that_is_wrong_is_reported() -> None:
    assert len(Gate().problems(row(map_loss=0.1, f1_loss=0.1, shift=0.1))) == 3


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
