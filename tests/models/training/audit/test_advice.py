from __future__ import annotations

from typing import Any

import pytest

from oneglance.models.tasks import Task
from oneglance.models.training.audit.advice import (
    COCO_MEAN,
    Look,
    amounts_similar,
    best_oversampling,
    layers_to_train,
    similar_domain,
    subclasses_similar,
)

PERSON, CAR, SIGN, LIGHT = Task


def test_amounts_within_four_times_are_similar() -> None:
    answer = amounts_similar([{PERSON: 100, CAR: 300}, {CAR: 100}], ["a", "b"])
    assert answer.good
    assert answer.reasons == ("pedestrian 100, car 400: at most 4.0 times as many",)


def test_amounts_beyond_four_times_are_not_and_oversampling_is_advised() -> None:
    # Signs only in "b": 1000 cars to 100 signs; shown three times, to 300; four times, to 400.
    answer = amounts_similar([{CAR: 1000}, {SIGN: 100}], ["a", "b"])
    assert not answer.good
    assert answer.reasons == (
        "car 1000, sign 100: car has 10.0 times as many boxes as sign",
        "oversampling b ×4 leaves 2.5 times",
    )


def test_a_task_without_a_box_is_not_similar() -> None:
    assert not amounts_similar([{CAR: 10, SIGN: 0}], ["a"]).good


def test_oversampling_that_does_not_help_is_not_advised() -> None:
    answer = amounts_similar([{CAR: 1000, SIGN: 10}], ["a"])
    assert answer.reasons == ("car 1000, sign 10: car has 100.0 times as many boxes as sign",)


def test_the_cheapest_of_equally_good_oversamplings_is_chosen() -> None:
    assert best_oversampling([{CAR: 100}, {SIGN: 50}]) == (1, 2)
    assert best_oversampling([{CAR: 100}, {SIGN: 100}]) == (1, 1)
    assert best_oversampling([{CAR: 10**6}] + [{SIGN: 1}] * 6) == (1,) * 7


def test_kinds_of_a_task_are_compared_with_each_other_and_not_with_the_plain_class() -> None:
    counts = {
        LIGHT: {"light": 5000, "light_red": 900, "light_yellow": 200},
        SIGN: {"sign": 9000, "sign_other": 5},
        CAR: {"car": 7},
    }
    assert subclasses_similar(counts) == ("within light: light_red 900, but light_yellow 200",)


@pytest.mark.parametrize(
    ("look", "doubt"),
    [
        (Look(COCO_MEAN, 0.24, 0.5), "50% of the images are grey"),
        (Look((0.1, 0.1, 0.1), 0.2, 1.0), "darker than photographs are: mean level 0.10"),
        (Look((0.9, 0.9, 0.9), 0.2, 1.0), "brighter than photographs are: mean level 0.90"),
        (Look(COCO_MEAN, 0.05, 1.0), "flatter than photographs: contrast 0.05"),
        (Look(COCO_MEAN, 0.45, 1.0), "harsher than photographs: contrast 0.45"),
    ],
)
def test_images_unlike_photographs_are_of_another_kind_and_the_reason_is_reported(
    look: Any, doubt: str
) -> None:
    answer = similar_domain(look)
    assert not answer.good
    assert len(answer.reasons) == 1
    assert answer.reasons[0].startswith(doubt)


def test_photographs_are_of_the_same_kind_and_squares_are_remarked() -> None:
    assert similar_domain(Look(COCO_MEAN, 0.24, 1.0)).good
    squares = similar_domain(Look(COCO_MEAN, 0.24, 1.0, square=True))
    assert squares.good
    assert "cropped or stretched" in squares.reasons[1]


@pytest.mark.parametrize(
    ("boxes", "trainable"),
    [(99, "last"), (100, "head"), (499, "head"), (500, "neck"), (1999, "neck"), (2000, "all")],
)
def test_more_boxes_of_the_poorest_task_train_more_layers(boxes: int, trainable: str) -> None:
    assert layers_to_train({CAR: 10**6, PERSON: boxes}, similar_domain=True).train == trainable


def test_another_domain_and_a_new_task_go_one_step_deeper_each() -> None:
    assert layers_to_train({PERSON: 50}, similar_domain=False).train == "head"
    assert layers_to_train({PERSON: 900, SIGN: 50}, similar_domain=True).train == "head"
    advice = layers_to_train({PERSON: 900, SIGN: 50}, similar_domain=False)
    assert advice.train == "neck"
    assert advice.reasons == (
        "the poorest task, sign, has 50 training boxes: 'last' below 100",
        "the images are of another domain than the pretraining's: one step deeper",
        "the pretraining hardly knew sign: one step deeper",
        "'neck' trains neck and head and keeps the backbone (ultralytics: freeze=11)",
    )


def test_nothing_is_deeper_than_all_layers() -> None:
    assert layers_to_train({SIGN: 10**5}, similar_domain=False).train == "all"


def test_without_a_box_there_is_little_to_train() -> None:
    assert layers_to_train({}, similar_domain=True).reasons == ("no task has a training box",)
