from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneglance.models.tasks import Task
from oneglance.perception.replay.comparison import (
    Comparison,
    FrameDifference,
    Kind,
    Tolerance,
    compare_frame,
    worst,
)
from oneglance.perception.replay.runs import Row, detections_of
from oneglance.streams.errors import UsageError


def car(*, dx: float = 0.0, score: float = 0.8, name: str = "car", task: Task = Task.CAR) -> Row:
    return task, name, score, (100 + dx, 100, 200 + dx, 150)


def compared(
    before: list[Row], after: list[Row], *, tolerance: Tolerance | None = None, index: int = 0
) -> FrameDifference:
    return compare_frame(
        index,
        detections_of(before),
        detections_of(after),
        tolerance=tolerance or Tolerance(),
        least_confidence=0.25,
    )


@pytest.mark.parametrize(
    ("before", "after", "kinds"),
    [
        ([car()], [car()], {}),
        ([], [], {}),
        ([car()], [car(dx=4, score=0.84)], {}),
        ([car()], [], {(Task.CAR, Kind.MISSING): 1}),
        ([], [car()], {(Task.CAR, Kind.EXTRA): 1}),
        ([car()], [car(dx=20)], {(Task.CAR, Kind.MOVED): 1}),
        ([car()], [car(dx=90)], {(Task.CAR, Kind.MISSING): 1, (Task.CAR, Kind.EXTRA): 1}),
        ([car()], [car(score=0.7)], {(Task.CAR, Kind.SCORE): 1}),
        (
            [car(task=Task.LIGHT, name="light_red")],
            [car(task=Task.LIGHT, name="light_green")],
            {(Task.LIGHT, Kind.CLASS): 1},
        ),
        (
            [car()],
            [car(task=Task.SIGN, name="sign")],
            {(Task.CAR, Kind.MISSING): 1, (Task.SIGN, Kind.EXTRA): 1},
        ),
    ],
)
def test_each_way_to_differ_is_distinguished(
    before: list[Row], after: list[Row], kinds: dict[tuple[Task, Kind], int]
) -> None:
    assert dict(compared(before, after).kinds) == kinds


def test_a_box_at_the_least_confidence_may_come_and_go() -> None:
    assert not compared([car(score=0.28)], []).kinds
    assert not compared([], [car(score=0.28)]).kinds
    assert compared([car(score=0.32)], []).kinds


def test_boxes_that_stand_close_are_matched_so_that_all_find_theirs() -> None:
    before = [car(dx=0), car(dx=30)]
    after = [car(dx=29), car(dx=1)]
    assert not compared(before, after).kinds


def test_which_boxes_differ_is_reported_by_their_rows() -> None:
    found = compared([car(), car(dx=500)], [car(dx=900), car()])
    assert found.differing_before == (1,)
    assert found.differing_after == (0,)


def test_few_enough_differences_are_within_the_tolerance() -> None:
    comparison = Comparison(Tolerance(share=0.1))
    for index in range(9):
        comparison.add(compared([car()], [car()], index=index))
    comparison.add(compared([car()], [], index=9))
    assert comparison.is_within
    assert comparison.other_counts == 1
    comparison.add(compared([car()], [], index=10))
    assert not comparison.is_within
    assert comparison.as_dict()["within_tolerance"] is False


def test_many_boxes_of_one_task_do_not_hide_another() -> None:
    comparison = Comparison(Tolerance(share=0.1))
    sign = car(task=Task.SIGN, name="sign")
    for index in range(99):
        comparison.add(compared([car()], [car()], index=index))
    comparison.add(compared([sign], [], index=99))
    assert not comparison.is_within


@pytest.mark.parametrize("what", ["lost", "retimed"])
def test_frames_that_are_gone_or_elsewhere_in_time_are_never_within(what: str) -> None:
    comparison = Comparison(Tolerance(share=1))
    comparison.add(compared([car()], [car()]))
    setattr(comparison, what, 1)
    assert not comparison.is_within


def test_the_worst_frames_come_first_and_good_ones_never() -> None:
    frames = [
        compared([car()], [car()], index=0),
        compared([car()], [], index=1),
        compared([car(), car(dx=400)], [], index=2),
        compared([car()], [], index=3),
    ]
    assert [each.index for each in worst(frames, 3)] == [2, 1, 3]


@pytest.mark.parametrize("name", ["iou", "score", "share"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_tolerance_that_is_none_is_refused(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=name):
        Tolerance(**{name: value})


rows = st.lists(
    st.tuples(
        st.sampled_from(list(Task)),
        st.just("x"),
        st.floats(0.25, 1, width=32),
        st.tuples(st.floats(0, 50), st.floats(0, 50), st.floats(60, 99), st.floats(60, 99)),
    ),
    max_size=8,
)


@given(rows, rows)
def test_nothing_is_counted_twice_or_forgotten(before: list[Row], after: list[Row]) -> None:
    found = compare_frame(
        0,
        detections_of(before),
        detections_of(after),
        tolerance=Tolerance(iou=0, score=0),
        least_confidence=0.0,
    )
    for task in Task:
        missing, extra = found.kinds[task, Kind.MISSING], found.kinds[task, Kind.EXTRA]
        assert found.matched[task] + missing == sum(row[0] is task for row in before)
        assert found.matched[task] + extra == sum(row[0] is task for row in after)


@given(rows)
def test_a_run_is_itself(found: list[Row]) -> None:
    assert not compared(found, list(found)).kinds
