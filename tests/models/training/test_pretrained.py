"""What COCO knows of our tasks, held to the network that we start from."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the 'train' extra")

from oneglance.models import Task
from oneglance.models.training.checkpoints import read_checkpoint
from oneglance.models.training.data.mappings import MAPPINGS
from oneglance.models.training.pretrained import COCO_CLASSES, TAUGHT_TASKS


def test_every_task_has_classes_and_they_are_the_pretrained_networks_own(shared: Path) -> None:
    names = set(read_checkpoint(shared / "weights" / "yolo26n-coco.pt").names.values())
    assert set(COCO_CLASSES) == set(Task)
    for known in COCO_CLASSES.values():
        assert set(known.names) <= names


def test_no_class_means_two_tasks() -> None:
    names = [name for known in COCO_CLASSES.values() for name in known.names]
    assert len(names) == len(set(names))


def test_of_signs_alone_it_knows_too_little_to_teach_or_to_label() -> None:
    assert set(TAUGHT_TASKS) == set(Task) - {Task.SIGN}
    assert MAPPINGS["coco"] == {
        "person": "pedestrian",
        "car": "car",
        "bus": "car",
        "truck": "car",
        "stop sign": None,
        "traffic light": "light",
    }
