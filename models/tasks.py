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

    @property
    def is_parent(self) -> bool:
        """Whether the class is its whole task, of no subclass (a colour, a category)."""
        return self.name == self.task.value


FOUR_TASKS: tuple[ModelClass, ...] = tuple(ModelClass(task.value, task) for task in Task)
"""The four-class model without subclasses: one class a task, in the tasks' order."""

LIGHT_COLOURS: tuple[ModelClass, ...] = tuple(
    ModelClass(f"light_{colour}", Task.LIGHT) for colour in ("red", "yellow", "green")
)
"""Lights that say what they show; their parent class ``light`` is one of unknown colour."""

SIGN_SUBCLASSES: tuple[ModelClass, ...] = tuple(
    ModelClass(f"sign_{category}", Task.SIGN)
    for category in ("prohibitory", "mandatory", "danger", "other")
)
"""Signs by GTSDB's own four categories; their parent class ``sign`` is any sign."""

CLASSES: dict[str, ModelClass] = {
    c.name: c for c in (*FOUR_TASKS, *LIGHT_COLOURS, *SIGN_SUBCLASSES)
}
"""Every class a model of ours may have, by name. One whose name is its task's is a parent class."""


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


def parse_classes(names: Iterable[str]) -> tuple[ModelClass, ...]:
    """Classes of ``CLASSES`` by name, in the order given, each once.

    Raises:
        UsageError: a name is no class of ours (the message offers the nearest), or none given.

    >>> [c.task for c in parse_classes(["light", "light_red"])]
    [<Task.LIGHT: 'light'>, <Task.LIGHT: 'light'>]
    """
    found: dict[ModelClass, None] = {}
    for name in names:
        word = name.strip().lower()
        if word not in CLASSES:
            near = difflib.get_close_matches(word, CLASSES, n=1, cutoff=0.5)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise UsageError(f"unknown class '{name}'{hint} (classes: {', '.join(CLASSES)})")
        found[CLASSES[word]] = None
    if not found:
        raise UsageError(f"no class given (classes: {', '.join(CLASSES)})")
    return tuple(found)


def normalised(name: str) -> str:
    """A class name as names are compared: lower case, ``_`` and ``-`` as spaces.

    >>> normalised("Traffic_Light-Green")
    'traffic light green'
    """
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())


CLASS_NAMES: dict[str, str] = {
    **{normalised(name): name for name in CLASSES},
    **dict.fromkeys(("person", "people", "rider"), "pedestrian"),
    **dict.fromkeys(("van", "truck", "bus", "lorry", "vehicle", "motor vehicle"), "car"),
    **dict.fromkeys(("traffic sign", "road sign", "stop sign", "trafficsign"), "sign"),
    **dict.fromkeys(("traffic light", "trafficlight"), "light"),
    **{colour: f"light_{colour}" for colour in ("red", "yellow", "green")},
    **{f"traffic light {colour}": f"light_{colour}" for colour in ("red", "yellow", "green")},
}
"""Our class by the names that data sets give it, as ``normalised`` writes them."""


def class_of(name: str) -> ModelClass | None:
    """The class of ours that a data set's class of this name means; None when it is none.

    >>> class_of("red"), class_of("motorbike")
    (ModelClass(name='light_red', task=<Task.LIGHT: 'light'>), None)
    """
    ours = CLASS_NAMES.get(normalised(name))
    return None if ours is None else CLASSES[ours]


def task_of(name: str) -> Task | None:
    """The task that a data set's class of this name serves; None when it is none of ours.

    >>> task_of("Traffic_Light"), task_of("motorbike")
    (<Task.LIGHT: 'light'>, None)
    """
    found = class_of(name)
    return None if found is None else found.task
