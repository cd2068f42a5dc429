from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from oneglance.models.decode import PLAIN_SUPPRESSION, SUPPRESSION, ClassTable, decode
from oneglance.models.metadata import Head
from oneglance.models.tasks import FOUR_TASKS, ModelClass, Task

ALL = ClassTable(FOUR_TASKS, set(Task))
COLOURS = ClassTable(
    (
        ModelClass("car", Task.CAR),
        ModelClass("light", Task.LIGHT),
        ModelClass("light_red", Task.LIGHT),
        ModelClass("light_green", Task.LIGHT),
    ),
    set(Task),
)
CAR, LIGHT, RED, GREEN = range(4)


def test_one_to_one_rows_are_kept_from_the_confidence_up() -> None:
    rows = np.array(
        [[[0, 0, 10, 10, 0.9, 1], [5, 5, 9, 9, 0.25, 2], [1, 1, 2, 2, 0.2499, 0]]], np.float32
    )
    found = decode(rows, Head.ONE_TO_ONE, confidence=0.25, table=ALL)
    assert found.class_id.tolist() == [1, 2]
    assert found.xyxy.tolist() == [[0, 0, 10, 10], [5, 5, 9, 9]]


def test_only_allowed_classes_come_out_of_either_head() -> None:
    only_sign = ClassTable(FOUR_TASKS, {Task.SIGN})
    rows = np.array([[[0, 0, 10, 10, 0.9, 1], [5, 5, 9, 9, 0.5, 2]]], np.float32)
    assert decode(rows, Head.ONE_TO_ONE, confidence=0.25, table=only_sign).class_id.tolist() == [2]
    # One anchor, best as car (0.9) and second as sign (0.5): asked for signs it is a sign.
    columns = np.array([[[5], [5], [10], [10], [0.0], [0.9], [0.5], [0.0]]], np.float32)
    found = decode(columns, Head.ONE_TO_MANY, confidence=0.25, table=only_sign)
    assert found.class_id.tolist() == [2]
    assert found.confidence.tolist() == [0.5]


def test_one_to_many_keeps_the_better_of_two_overlapping_boxes_of_a_class() -> None:
    # Boxes 0..10 and 1..11 wide: overlap 9×10 = 90, union 110, IoU 0.82 > 0.7.
    # The third is the same place but another class; the fourth is far away.
    columns = np.zeros((1, 8, 4), np.float32)
    columns[0, :4] = np.array([[5, 5, 10, 10], [6, 5, 10, 10], [5, 5, 10, 10], [50, 20, 4, 8]]).T
    columns[0, 4 + 1] = [0.6, 0.8, 0.0, 0.3]
    columns[0, 4 + 0] = [0.0, 0.0, 0.7, 0.0]
    found = decode(
        columns, Head.ONE_TO_MANY, confidence=0.25, table=ALL, suppression=PLAIN_SUPPRESSION
    )
    np.testing.assert_allclose(found.confidence, [0.8, 0.7, 0.3])
    assert found.class_id.tolist() == [1, 0, 1]
    assert found.xyxy.tolist() == [[1, 0, 11, 10], [0, 0, 10, 10], [48, 16, 52, 24]]


def column(x1: float, x2: float, *scores: float) -> list[float]:
    """An anchor whose box is 10 high, from ``x1`` to ``x2``."""
    return [(x1 + x2) / 2, 5, x2 - x1, 10, *scores]


def found_of(*columns: list[float], confidence: float = 0.25) -> list[list[float]]:
    """x1, x2 and confidence of what is found, best first."""
    output = np.array([columns], np.float32).transpose(0, 2, 1)
    found = decode(output, Head.ONE_TO_MANY, confidence=confidence, table=ALL)
    assert (found.xyxy[:, 1] == 0).all()
    rows = np.column_stack((found.xyxy[:, [0, 2]], found.confidence))
    return [[round(value, 4) for value in row] for row in rows.tolist()]


def test_boxes_of_an_object_vote_where_it_lies() -> None:
    # 0..10 and 1..11 overlap by 9/11: (0.8·1 + 0.4·0) / 1.2 and ten more.
    found = found_of(column(1, 11, 0, 0.8, 0, 0), column(0, 10, 0, 0.4, 0, 0))
    assert found == [[0.6667, 10.6667, 0.8]]


def test_what_is_another_task_or_too_unsure_or_too_far_has_no_vote() -> None:
    car = column(0, 10, 0, 0.8, 0, 0)
    assert found_of(car, column(1, 11, 0.6, 0, 0, 0)) == [[0, 10, 0.8], [1, 11, 0.6]]
    assert found_of(car, column(1, 11, 0, 0.0009, 0, 0)) == [[0, 10, 0.8]]
    # 0..10 and 2..12: 8/12 is one object with it, but too far to say where that lies.
    assert SUPPRESSION.iou < 8 / 12 < (SUPPRESSION.voting_iou or 0)
    assert found_of(car, column(2, 12, 0, 0.6, 0, 0)) == [[0, 10, 0.8]]


@pytest.mark.parametrize("confidence", [0.0, 0.001, 0.25, 0.7])
def test_a_box_lies_where_it_lies_whatever_the_confidence_asked_for(confidence: float) -> None:
    found = found_of(
        column(1, 11, 0, 0.8, 0, 0), column(0, 10, 0, 0.2, 0, 0), confidence=confidence
    )
    assert found == [[0.8, 10.8, 0.8]]


def test_a_box_without_an_area_stays_where_it_is() -> None:
    assert found_of(column(3, 3, 0, 0.8, 0, 0), column(0, 10, 0, 0.4, 0, 0)) == [
        [3, 3, 0.8],
        [0, 10, 0.4],
    ]


def test_boxes_that_overlap_less_than_the_bound_both_stay() -> None:
    # 0..10 and 4..14: overlap 60, union 140, IoU 0.43.
    columns = np.zeros((1, 8, 2), np.float32)
    columns[0, :4] = np.array([[5, 5, 10, 10], [9, 5, 10, 10]]).T
    columns[0, 4] = [0.9, 0.8]
    assert len(decode(columns, Head.ONE_TO_MANY, confidence=0.25, table=ALL).xyxy) == 2


def test_nothing_found_is_empty_arrays_of_the_right_shape() -> None:
    for head, output in (
        (Head.ONE_TO_ONE, np.zeros((1, 300, 6), np.float32)),
        (Head.ONE_TO_MANY, np.zeros((1, 8, 50), np.float32)),
    ):
        found = decode(output, head, confidence=0.25, table=ALL)
        assert found.xyxy.shape == (0, 4)
        assert found.confidence.shape == (0,)
        assert found.class_id.shape == (0,)


@pytest.mark.parametrize(
    ("scores", "assigned"),
    [
        ((0.0, 0.8, 0.40, 0.10), RED),  # half of the light's 0.8 is 0.4
        ((0.0, 0.8, 0.39, 0.10), LIGHT),
        ((0.0, 0.8, 0.50, 0.60), GREEN),
        ((0.0, 0.3, 0.80, 0.10), RED),
        ((0.9, 0.8, 0.70, 0.10), CAR),
    ],
)
def test_an_object_is_of_its_best_subclass_when_that_is_likely_enough(
    scores: Any, assigned: Any
) -> None:
    columns = np.array([[[5], [5], [10], [10], *([s] for s in scores)]], np.float32)
    found = decode(columns, Head.ONE_TO_MANY, confidence=0.25, table=COLOURS)
    assert found.class_id.tolist() == [assigned]
    assert found.confidence[0] == np.float32(max(scores))


def test_two_colours_of_one_light_are_one_light() -> None:
    # Two anchors on the same light: 0..10 and 1..11, IoU 0.82.
    columns = np.zeros((1, 8, 2), np.float32)
    columns[0, :4] = np.array([[5, 5, 10, 10], [6, 5, 10, 10]]).T
    columns[0, 4 + RED] = [0.7, 0.0]
    columns[0, 4 + GREEN] = [0.0, 0.6]
    found = decode(columns, Head.ONE_TO_MANY, confidence=0.25, table=COLOURS)
    assert found.class_id.tolist() == [RED]


def test_the_one_to_one_head_lists_an_object_once_whatever_it_may_be() -> None:
    box, other = [0, 0, 10, 10], [20, 0, 30, 10]
    rows = [[*box, 0.8, LIGHT], [*other, 0.7, RED], [*box, 0.5, GREEN], [*other, 0.3, LIGHT]]
    found = decode(np.array([rows], np.float32), Head.ONE_TO_ONE, confidence=0.25, table=COLOURS)
    assert found.class_id.tolist() == [GREEN, RED]
    np.testing.assert_allclose(found.confidence, [0.8, 0.7])
