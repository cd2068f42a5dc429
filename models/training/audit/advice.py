"""The lecture's questions before training, answered from counts: pure rules, no files.

1. Are the tasks' amounts similar? If not, the big task wins every gradient.
2. Is the input's domain similar to the pretraining's? Only then does transfer carry.
3. How many layers to train with this much data? Few examples fit few parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from oneglance.models.tasks import Task
from oneglance.models.training.pretrained import TAUGHT_TASKS
from oneglance.models.training.recipe import TrainableLayers

SIMILAR_RATIO = 4.0
"""Amounts are similar while the richest task has at most this many times the poorest's boxes."""

MOST_OVERSAMPLING = 4
"""An image seen more often than this in an epoch is learnt by heart."""

BELOW: Mapping[TrainableLayers, float] = {
    TrainableLayers.LAST: 100,
    TrainableLayers.HEAD: 500,
    TrainableLayers.NECK: 2000,
    TrainableLayers.ALL: float("inf"),
}
"""The training boxes of the poorest task below which these layers are advised.

Rules of thumb to start from (``oneglance study`` measures): the last layer has a few hundred
numbers a class, the head of YOLO26n 0.3 million, with the neck 1.2 million, all 2.6 million.
"""

TRAINS: Mapping[TrainableLayers, str] = {
    TrainableLayers.LAST: "each class's last weights alone",
    TrainableLayers.HEAD: "the detection head (ultralytics: freeze=23)",
    TrainableLayers.NECK: "neck and head and keeps the backbone (ultralytics: freeze=11)",
    TrainableLayers.ALL: "all layers",
}

COCO_MEAN = (0.471, 0.448, 0.408)
COCO_CONTRAST = 0.24
"""Mean RGB and standard deviation in 0..1 that COCO's photographs are commonly normalised by."""

MEAN_SLACK = 0.15
CONTRAST_BOUNDS = (0.12, 0.36)
COLOUR_SHARE = 0.9
"""Within these, a set's images are taken for photographs of the pretraining's domain."""


@dataclass(frozen=True, slots=True)
class Look:
    """The images of a set on average: RGB and contrast in 0..1, and the share in colour.

    ``square``: whether every image is of one square size, so probably cropped or stretched.
    """

    mean: tuple[float, float, float]
    contrast: float
    colour_share: float
    square: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A verdict, and why in sentences."""

    good: bool
    verdict: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Advice:
    """How much of the network to train, and why in sentences."""

    train: TrainableLayers
    reasons: tuple[str, ...]


def amounts_similar(boxes: Sequence[Mapping[Task, int]], names: Sequence[str]) -> Answer:
    """Question 1, for ``boxes[set][task]``, the training boxes of each named set.

    Where the amounts differ, the reasons say how often to oversample which set so that they differ
    least (1 to ``MOST_OVERSAMPLING`` times each).
    """
    total = _total(boxes, [1] * len(boxes))
    ratio = _ratio(total)
    counts = ", ".join(f"{task} {count}" for task, count in total.items())
    if ratio <= SIMILAR_RATIO:
        return Answer(True, "similar", (f"{counts}: at most {ratio:.1f} times as many",))
    rich, poor = max(total, key=total.__getitem__), min(total, key=total.__getitem__)
    many = f"{ratio:.1f} times as many" if total[poor] else "but none"
    reasons = [f"{counts}: {rich} has {many} boxes as {poor}" if total[poor] else f"{counts}"]
    oversample = best_oversampling(boxes)
    better = _ratio(_total(boxes, oversample))
    if better < ratio:
        often = ", ".join(f"{n} ×{k}" for n, k in zip(names, oversample, strict=True) if k > 1)
        reasons.append(f"oversampling {often} leaves {better:.1f} times")
    return Answer(False, "not similar", tuple(reasons))


def subclasses_similar(classes: Mapping[Task, Mapping[str, int]]) -> tuple[str, ...]:
    """A sentence for each task whose own classes (subclasses) differ by ``SIMILAR_RATIO``."""
    sentences = []
    for task, counts in classes.items():
        found = {name: count for name, count in counts.items() if name != task.value}
        if len(found) < 2:
            continue
        rich, poor = max(found, key=found.__getitem__), min(found, key=found.__getitem__)
        if found[rich] > SIMILAR_RATIO * found[poor]:
            sentences.append(f"within {task}: {rich} {found[rich]}, but {poor} {found[poor]}")
    return tuple(sentences)


def best_oversampling(boxes: Sequence[Mapping[Task, int]]) -> tuple[int, ...]:
    """How often to oversample each set so that the tasks' amounts differ least, then cheapest."""
    if len(boxes) > 6:  # 4^7 choices would take seconds; many sets balance each other
        return (1,) * len(boxes)
    choices = product(range(1, MOST_OVERSAMPLING + 1), repeat=len(boxes))
    return min(choices, key=lambda ks: (round(_ratio(_total(boxes, ks)), 1), sum(ks)))


def _total(boxes: Sequence[Mapping[Task, int]], oversample: Sequence[int]) -> dict[Task, int]:
    total: dict[Task, int] = {}
    for counts, times in zip(boxes, oversample, strict=True):
        for task, count in counts.items():
            total[task] = total.get(task, 0) + times * count
    return {task: total[task] for task in Task if task in total}


def _ratio(total: Mapping[Task, int]) -> float:
    if not total or not max(total.values()):
        return 1.0
    return max(total.values()) / min(total.values()) if min(total.values()) else float("inf")


def similar_domain(look: Look) -> Answer:
    """Question 2: are these colour photographs, lit like COCO's?"""
    doubts = []
    if look.colour_share < COLOUR_SHARE:
        doubts.append(f"{1 - look.colour_share:.0%} of the images are grey, COCO's are in colour")
    level, usual = sum(look.mean) / 3, sum(COCO_MEAN) / 3
    if abs(level - usual) > MEAN_SLACK:
        word = "darker" if level < usual else "brighter"
        doubts.append(f"{word} than photographs are: mean level {level:.2f}, COCO's {usual:.2f}")
    low, high = CONTRAST_BOUNDS
    if not low <= look.contrast <= high:
        word = "flatter" if look.contrast < low else "harsher"
        doubts.append(f"{word} than photographs: contrast {look.contrast:.2f}")
    if doubts:
        return Answer(False, "different", tuple(doubts))
    seen = f"mean level {level:.2f} (COCO {usual:.2f}), contrast {look.contrast:.2f}"
    reasons = [f"colour photographs, {seen} (COCO {COCO_CONTRAST:.2f})"]
    if look.square:
        reasons.append("all of one square size: cropped or stretched, shapes may be wrong")
    return Answer(True, "similar", tuple(reasons))


def layers_to_train(boxes: Mapping[Task, int], *, similar_domain: bool) -> Advice:
    """Question 3: the layers for the poorest task's boxes, one step deeper for each novelty.

    Deeper for inputs of another domain (features must change), and for a task that the
    pretraining hardly knew (the head must grow new ones). ``boxes``: training boxes of a task.
    """
    if not boxes:
        return Advice(TrainableLayers.LAST, ("no task has a training box",))
    poorest = min((task for task in Task if task in boxes), key=boxes.__getitem__)
    steps = list(TrainableLayers)
    step = next(i for i, layers in enumerate(steps) if boxes[poorest] < BELOW[layers])
    reasons = [
        f"the poorest task, {poorest}, has {boxes[poorest]} training boxes: {_rule(steps, step)}"
    ]
    new = [task for task in boxes if task not in TAUGHT_TASKS]
    if not similar_domain and step < len(steps) - 1:
        step += 1
        reasons.append("the images are of another domain than the pretraining's: one step deeper")
    if new and step < len(steps) - 1:
        step += 1
        reasons.append(f"the pretraining hardly knew {', '.join(new)}: one step deeper")
    reasons.append(f"'{steps[step]}' trains {TRAINS[steps[step]]}")
    return Advice(steps[step], tuple(reasons))


def _rule(steps: Sequence[TrainableLayers], step: int) -> str:
    if step == len(steps) - 1:
        return f"'{steps[step]}' from {BELOW[steps[step - 1]]:.0f} on"
    return f"'{steps[step]}' below {BELOW[steps[step]]:.0f}"
