"""What the pretrained network already knows of our tasks: COCO's classes, in one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from oneglance.models.tasks import Task


@dataclass(frozen=True, slots=True)
class CocoClasses:
    """COCO's classes of one task. ``names``: the first is the one that new weights start from.
    ``is_all``: whether together they mean the same as the task."""

    names: tuple[str, ...]
    is_all: bool


COCO_CLASSES: Mapping[Task, CocoClasses] = {
    Task.PEDESTRIAN: CocoClasses(("person",), is_all=True),
    Task.CAR: CocoClasses(("car", "bus", "truck"), is_all=True),
    # The only signs COCO labels: its silence says nothing of the others.
    Task.SIGN: CocoClasses(("stop sign",), is_all=False),
    Task.LIGHT: CocoClasses(("traffic light",), is_all=True),
}
"""For each task, what a network trained on COCO knows of it."""

TAUGHT_TASKS = tuple(task for task, known in COCO_CLASSES.items() if known.is_all)
"""What the pretrained network can answer for."""
