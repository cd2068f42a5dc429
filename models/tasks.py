"""The four tasks, and how a model's classes belong to them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from oneglance.streams.errors import UsageError


class Task(StrEnum):
    """What the network looks for. CAR means motor vehicles with four or more wheels."""

    PEDESTRIAN = "pedestrian"
    CAR = "car"
    SIGN = "sign"
    LIGHT = "light"


@dataclass(frozen=True, slots=True)
class ModelClass:
    """One output class of a model: its name and the task it serves.

    Several classes may serve one task (``light_red`` and ``light_green`` are both LIGHT).
    """

    name: str
    task: Task


FOUR_TASKS: tuple[ModelClass, ...] = tuple(ModelClass(task.value, task) for task in Task)
"""The plain four-class model: one class a task, in the tasks' order."""


def parse_tasks(names: Iterable[str]) -> tuple[Task, ...]:
    """Tasks by name, in the order given, each once.

    Raises:
        UsageError: a name is no task (the message offers the nearest), or none was given.

    >>> parse_tasks(["sign", "car", "sign"])
    (<Task.SIGN: 'sign'>, <Task.CAR: 'car'>)
    """
    tasks: dict[Task, None] = {}
    for name in names:
        word = name.strip().lower()
        try:
            tasks[Task(word)] = None
        except ValueError:
            near = difflib.get_close_matches(word, list(Task), n=1, cutoff=0.5)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise UsageError(f"unknown task '{name}'{hint} (tasks: {', '.join(Task)})") from None
    if not tasks:
        raise UsageError(f"no task given (tasks: {', '.join(Task)})")
    return tuple(tasks)


_NAMES_IN_DATA_SETS: dict[str, Task] = {
    **dict.fromkeys(("pedestrian", "person", "people"), Task.PEDESTRIAN),
    **dict.fromkeys(("car", "van", "truck", "bus", "vehicle"), Task.CAR),
    **dict.fromkeys(("sign", "traffic sign", "road sign", "stop sign"), Task.SIGN),
    **dict.fromkeys(("light", "traffic light", "green", "red", "yellow"), Task.LIGHT),
}


def task_of(name: str) -> Task | None:
    """The task that a data set's class of this name serves; None when it is none of ours.

    >>> task_of("Traffic_Light"), task_of("motorbike")
    (<Task.LIGHT: 'light'>, None)
    """
    return _NAMES_IN_DATA_SETS.get(name.strip().lower().replace("_", " ").replace("-", " "))
