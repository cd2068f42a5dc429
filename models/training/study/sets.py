"""The data sets of a study as facts, and what follows from their counts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import log
from pathlib import Path

from oneglance.models.tasks import Task
from oneglance.models.training.recipe import STRIDE


@dataclass(frozen=True, slots=True)
class SetFacts:
    """A data set of the study. ``train`` and ``val`` count images; no val image is trained on.

    ``folders``: where its training images are; two sets with the same ones label the same images.
    ``boxes``: of each task in the training images.
    """

    name: str
    file: Path
    tasks: frozenset[Task]
    train: int
    val: int
    folders: tuple[Path, ...] = ()
    boxes: Mapping[Task, int] = field(default_factory=dict)


def trained_tasks(sets: Sequence[SetFacts]) -> tuple[Task, ...]:
    """The tasks that a training image of ``sets`` labels."""
    return tuple(task for task in Task if any(s.train and task in s.tasks for s in sets))


def groups(sets: Sequence[SetFacts]) -> list[tuple[SetFacts, ...]]:
    """The sets with training images, those that label the same images together."""
    found: dict[tuple[Path, ...] | str, list[SetFacts]] = {}
    for one in sets:
        if one.train:
            found.setdefault(one.folders or one.name, []).append(one)
    return [tuple(group) for group in found.values()]


def partly_labelled(sets: Sequence[SetFacts]) -> tuple[Task, ...]:
    """The tasks that some training images leave unlabelled."""
    labelled = [set(trained_tasks(group)) for group in groups(sets)]
    return tuple(task for task in trained_tasks(sets) if any(task not in t for t in labelled))


def part_of_boxes(sets: Sequence[SetFacts], task: Task) -> float:
    """The share of ``task`` in all training boxes, 0..1; 0 where they were not counted."""
    every = sum(sum(s.boxes.values()) for s in sets)
    return sum(s.boxes.get(task, 0) for s in sets) / max(1, every)


def training_images(sets: Sequence[SetFacts]) -> dict[Task, int]:
    """How many training images label each task; one that several sets label counts once."""
    return {
        task: sum(images_in(group) for group in groups(sets) if task in trained_tasks(group))
        for task in trained_tasks(sets)
    }


def together(sets: Sequence[SetFacts]) -> float:
    """How many times the images of the one network all single-task models see: an image that labels
    three tasks is shown to three of them."""
    return sum(training_images(sets).values()) / sum(map(images_in, groups(sets)))


def images_in(group: Sequence[SetFacts]) -> int:
    """Of sets that label the same images."""
    return max(s.train for s in group)


def balancing(sets: Sequence[SetFacts]) -> dict[str, int]:
    """By the set's name how often to show it, so that tasks with few images are seen as often as
    others: those of the rarest task that it labels against the commonest of all; {} where no
    set needs it. Sets that label the same images are shown equally often.
    """
    counts = training_images(sets)
    most = max(counts.values())
    oversample = {
        s.name: round(most / min(counts[task] for task in trained_tasks(group)))
        for group in groups(sets)
        for s in group
    }
    return oversample if set(oversample.values()) != {1} else {}


def fair_size(size: tuple[int, int], networks: int) -> tuple[int, int]:
    """The (width, height) at which so many networks cost what one costs at ``size``.

    Nearest in cost and shape: a convolutional network costs as its pixels do; sides are
    multiples of 32.

    >>> fair_size((640, 384), 4), fair_size((416, 256), 4), fair_size((640, 384), 1)
    ((320, 192), (224, 128), (640, 384))
    """
    width, height = size

    def badness(sides: tuple[int, int]) -> float:
        cost = networks * sides[0] * sides[1] / (width * height)
        return abs(log(cost)) + abs(log(sides[0] * height / (sides[1] * width)))

    widths, heights = (range(STRIDE, side + 1, STRIDE) for side in size)
    return min(product(widths, heights), key=badness)
