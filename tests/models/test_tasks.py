from __future__ import annotations

from typing import Any

import pytest

from oneglance.models.tasks import Task, parse_tasks, task_of
from oneglance.streams.errors import UsageError


def test_tasks_are_parsed_in_the_order_given_each_once() -> None:
    assert parse_tasks([" Light", "car", "light"]) == (Task.LIGHT, Task.CAR)


def test_no_task_at_all_is_refused() -> None:
    with pytest.raises(UsageError, match="no task given"):
        parse_tasks([])


def test_a_word_like_nothing_is_refused_with_the_list() -> None:
    with pytest.raises(
        UsageError, match=r"unknown task 'zzz' \(tasks: pedestrian, car, sign, light\)"
    ):
        parse_tasks(["zzz"])


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("person", Task.PEDESTRIAN),
        ("Bus", Task.CAR),
        ("traffic-light", Task.LIGHT),
        ("stop sign", Task.SIGN),
        ("motorbike", None),
    ],
)
def test_names_of_data_sets_find_their_task(name: str, task: Any) -> None:
    assert task_of(name) is task
