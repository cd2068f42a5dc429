from __future__ import annotations

from typing import Any

import numpy as np

from oneglance.models.training.evaluation.subclasses import SubclassAccuracy, compare_subclasses

# Two lights side by side, 10×10 px, and a third far away.
BOXES = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [80, 0, 90, 10]], np.float64)
NAMES = ["light_red", "light_green", "light"]


def counts(found: SubclassAccuracy) -> tuple[int, int, int]:
    return found.correct, found.unassigned, found.found


def compare(found: Any, assigned: Any) -> SubclassAccuracy:
    boxes = np.array(found, np.float64).reshape(-1, 4)
    return compare_subclasses(BOXES, NAMES, boxes, assigned, parent="light")


def test_correct_wrong_and_unassigned_are_three_things() -> None:
    assert counts(compare(BOXES[:2], ["light_red", "light_green"])) == (2, 0, 2)
    assert counts(compare(BOXES[:2], ["light_red", "light_red"])) == (1, 0, 2)
    assert counts(compare(BOXES[:2], ["light", "light_green"])) == (1, 1, 2)


def test_each_labelled_subclass_is_counted_apart() -> None:
    of = compare(BOXES[:2], ["light", "light_red"]).of
    assert {name: (*counts(one), one.wrong) for name, one in of.items()} == {
        "light_red": (0, 1, 1, 0),
        "light_green": (0, 0, 1, 1),
    }
    both = compare(BOXES[:1], ["light_red"]) + compare(BOXES[:2], ["light", "light_green"])
    assert {name: counts(one) for name, one in both.of.items()} == {
        "light_green": (1, 0, 1),
        "light_red": (1, 1, 2),
    }
    assert both.assigned_share == 1
    assert both.unassigned == both.found / 3
    assert both.as_dict()["of"]["light_red"] == {
        "correct": 1,
        "unassigned": 1,
        "found": 2,
        "share": 0.5,
    }


def test_an_object_without_a_subclass_says_nothing_about_subclasses() -> None:
    assert compare(BOXES[2:], ["light_red"]) == SubclassAccuracy(0, 0, 0)


def test_a_detection_that_overlaps_too_little_is_not_true() -> None:
    # 10×10 boxes 4 px apart share 6×10 of 140: 0.43. 3 px apart, 7×10 of 130: 0.54.
    assert compare([[4, 0, 14, 10]], ["light_red"]).found == 0
    assert compare([[3, 0, 13, 10]], ["light_red"]).found == 1


def test_the_best_detection_takes_the_object_and_a_second_one_nothing() -> None:
    found = compare([BOXES[0], BOXES[0]], ["light_green", "light_red"])
    assert counts(found) == (0, 0, 1)


def test_nothing_found_and_nothing_labelled_are_fine() -> None:
    assert compare([], []) == SubclassAccuracy(0, 0, 0)
    none = compare_subclasses(np.empty((0, 4)), [], BOXES, NAMES, parent="light")
    assert none == SubclassAccuracy(0, 0, 0)
    assert none.share == 0


def test_images_add_up() -> None:
    total = SubclassAccuracy(3, 1, 4) + SubclassAccuracy(0, 0, 1)
    assert total == SubclassAccuracy(3, 1, 5)
    assert total.share == 0.6
