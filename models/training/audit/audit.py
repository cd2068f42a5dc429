"""What data sets hold, what is wrong with them, and how to train with them.

``audit`` decodes every image once (a small scale, all CPUs) and reads every label line.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from oneglance.models.tasks import Task
from oneglance.models.training.audit.advice import (
    Advice,
    Answer,
    Look,
    amounts_similar,
    layers_to_train,
    similar_domain,
    subclasses_similar,
)
from oneglance.models.training.audit.image_stats import ImageStats, look_at_all, same_looks
from oneglance.models.training.data.checks import check
from oneglance.models.training.data.datasets import SPLITS, Dataset
from oneglance.models.training.data.labels import LabelledBox, Problem
from oneglance.streams.errors import DataError
from oneglance.streams.redaction import redact

SMALL_PX = 16
"""A box is small when the square root of its area at the training input is below this."""


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """One task in one split: boxes, images that have one, share of small boxes, its classes."""

    boxes: int
    images: int
    small_share: float
    classes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """One split of a set. ``tasks`` holds the labelled tasks; the others are unknown there.

    ``sizes``: (width, height) of images → how many, the commonest first. ``background``:
    images without a box. ``unlabelled``: images without a label file. ``negatives``: boxes of
    the set's names that mean none of our classes, by name; ``regions``: those of which nothing is
    known; ``left_out``: boxes whose task it does not claim to label.
    """

    images: int
    background: int
    unlabelled: int
    sizes: Mapping[tuple[int, int], int]
    tasks: Mapping[Task, TaskFacts]
    negatives: Mapping[str, int]
    regions: Mapping[str, int]
    left_out: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """Two images that look the same, ``train`` trained on and ``val`` scored on."""

    train: Path
    val: Path
    bits: int


@dataclass(frozen=True, slots=True)
class SetAudit:
    """One data set: what it holds, what is wrong, and whether it looks like the pretraining's.

    ``alike``: training images that look like another one of this set, which add little.
    """

    file: Path
    name: str
    labelled: frozenset[Task]
    partial: frozenset[Task]
    splits: Mapping[str, SplitFacts]
    problems: tuple[Problem, ...]
    alike: int
    look: Look | None
    domain: Answer | None


@dataclass(frozen=True, slots=True)
class Audit:
    """Every set, images in both splits, and the answers to the lecture's three questions."""

    size: tuple[int, int]
    sets: tuple[SetAudit, ...]
    near_duplicates: tuple[NearDuplicate, ...]
    amounts: Answer
    layers: Advice

    @property
    def problems(self) -> list[Problem]:
        """Everything that ``--strict`` takes for an error."""
        found = [problem for one in self.sets for problem in one.problems]
        for pair in self.near_duplicates:
            what = f"looks the same as {pair.train}, which is trained on ({pair.bits} bits differ)"
            found.append(Problem(pair.val, None, what, usable=True))
        return found

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: sizes as ``WxH``, paths and tasks as text."""
        return {
            "size": f"{self.size[0]}x{self.size[1]}",
            "small_px": SMALL_PX,
            "sets": [_set_as_dict(one) for one in self.sets],
            "near_duplicates": [
                {"train": str(t.train), "val": str(t.val), "bits": t.bits}
                for t in self.near_duplicates
            ],
            "amounts": asdict(self.amounts),
            "layers_to_train": asdict(self.layers),
        }


def audit(
    datasets: Sequence[Dataset],
    *,
    size: tuple[int, int] = (640, 384),
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Audit:
    """Look through ``datasets``. ``size``: (width, height) of the training input.

    ``progress(done, total)`` is called after every image.
    """
    names = set_names(datasets)
    listed = [{split: _images(dataset, split) for split in SPLITS} for dataset in datasets]
    total = sum(len(images) for splits in listed for images in splits.values())
    done = 0

    def seen() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    sets: list[SetAudit] = []
    stats: dict[str, list[ImageStats]] = {split: [] for split in SPLITS}
    for dataset, name, images in zip(datasets, names, listed, strict=True):
        looked = {split: list(look_at_all(images[split], seen)) for split in SPLITS}
        sets.append(_audit_one(dataset, name, images=images, looked=looked, size=size))
        for split in SPLITS:
            stats[split] += _decoded(looked[split])
    near_duplicates = tuple(
        NearDuplicate(train.file, val.file, bits)
        for val, train, bits in same_looks(stats["val"] + stats["test"], stats["train"])
    )
    boxes = [_training_boxes(one) for one in sets]
    summed = {t: sum(b.get(t, 0) for b in boxes) for t in Task if any(t in b for b in boxes)}
    amounts = amounts_similar(boxes, names)
    return Audit(
        size=size,
        sets=tuple(sets),
        near_duplicates=near_duplicates,
        amounts=replace(
            amounts, reasons=amounts.reasons + subclasses_similar(_training_classes(sets))
        ),
        layers=layers_to_train(summed, similar_domain=_mostly_similar_domain(sets)),
    )


def advised_layers(datasets: Sequence[Dataset], *, sample: int = 100) -> Advice:
    """``Audit.depth`` at a fraction of the cost: ``sample`` training images a set are decoded."""
    boxes: Counter[Task] = Counter()
    similar = {True: 0, False: 0}
    for dataset in datasets:
        images = _images(dataset, "train")
        boxes.update(dataset.count_boxes(images))
        stats = _decoded(look_at_all(images[:: max(1, len(images) // sample)]))
        if stats:
            similar[similar_domain(_look(stats)).good] += len(images)
    return layers_to_train(boxes, similar_domain=similar[True] >= similar[False])


def set_names(datasets: Sequence[Dataset]) -> list[str]:
    """A short name for each set: its folder's, unless two share one."""
    short = [
        d.file.resolve().parent.name if d.file.stem in {"data", "dataset"} else d.file.stem
        for d in datasets
    ]
    whole = len(set(short)) == len(short)
    return short if whole else [str(d.file) for d in datasets]


def _images(dataset: Dataset, split: str) -> list[Path]:
    """The images of a split, none where it is missing; images trained on are no val images."""
    try:
        images = dataset.images(split)
        return (
            sorted(set(images) - set(dataset.images("train")))
            if split != "train" and "train" in dataset.folders
            else images
        )
    except DataError:  # ``check`` reports it
        return []


def _decoded(looked: Iterable[ImageStats | str]) -> list[ImageStats]:
    return [stats for stats in looked if isinstance(stats, ImageStats)]


def _audit_one(
    dataset: Dataset,
    name: str,
    *,
    images: Mapping[str, list[Path]],
    looked: Mapping[str, list[ImageStats | str]],
    size: tuple[int, int],
) -> SetAudit:
    problems = check(dataset)
    named = {problem.file for problem in problems if not problem.usable}
    splits: dict[str, SplitFacts] = {}
    for split in SPLITS:
        pairs = list(zip(images[split], looked[split], strict=True))
        for file, stats in pairs:
            if isinstance(stats, str) and file not in named:
                problems.append(Problem(file, None, stats, usable=False))
        if pairs:
            splits[split] = _facts(dataset, pairs, size)
    trained = _decoded(looked["train"])
    everything = [stats for split in SPLITS for stats in _decoded(looked[split])]
    look = _look(everything) if everything else None
    return SetAudit(
        file=dataset.file,
        name=name,
        labelled=dataset.labelled_tasks,
        partial=dataset.partial_tasks,
        splits=splits,
        problems=tuple(problems),
        alike=len(same_looks(trained, trained)),
        look=look,
        domain=None if look is None else similar_domain(look),
    )


def _facts(
    dataset: Dataset, pairs: Sequence[tuple[Path, ImageStats | str]], size: tuple[int, int]
) -> SplitFacts:
    negatives: dict[str, int] = {}
    regions: dict[str, int] = {}
    left_out: dict[str, int] = {}
    sizes: dict[tuple[int, int], int] = {}
    found: dict[Task, list[tuple[Path, str, float]]] = {t: [] for t in dataset.labelled_tasks}
    background = unlabelled = 0
    for file, stats in pairs:
        unlabelled += not dataset.has_labels(file)
        boxes = dataset.read_labels(file).boxes
        background += not boxes
        shape = stats.size if isinstance(stats, ImageStats) else size
        if isinstance(stats, ImageStats):
            sizes[shape] = sizes.get(shape, 0) + 1
        for box in boxes:
            cls = dataset.class_of(box)
            if cls is None:
                word = dataset.names[box.class_id]
                unused = negatives
                if box.crowd or box.class_id in dataset.regions:
                    unused = regions
                elif box.class_id in dataset.left_out:
                    unused = left_out
                unused[word] = unused.get(word, 0) + 1
            else:
                found[cls.task].append((file, cls.name, side_px(box, shape, size)))
    return SplitFacts(
        images=len(pairs),
        background=background,
        unlabelled=unlabelled,
        sizes=dict(sorted(sizes.items(), key=lambda item: -item[1])),
        tasks={task: _task_facts(found[task]) for task in Task if task in found},
        negatives=negatives,
        regions=regions,
        left_out=left_out,
    )


def side_px(box: LabelledBox, shape: tuple[int, int], size: tuple[int, int]) -> float:
    """The square root of ``box``'s area in pixels once its image is letterboxed into ``size``.

    ``shape`` and ``size`` are (width, height) in pixels.

    >>> side_px(LabelledBox(0, 0.5, 0.5, 0.1, 0.4), (1280, 720), (640, 384))
    96.0
    """
    scale = min(size[0] / shape[0], size[1] / shape[1])
    return math.sqrt(box.width * shape[0] * box.height * shape[1]) * scale


def _task_facts(found: Sequence[tuple[Path, str, float]]) -> TaskFacts:
    classes: dict[str, int] = {}
    for _, name, _ in found:
        classes[name] = classes.get(name, 0) + 1
    small = sum(side < SMALL_PX for _, _, side in found)
    return TaskFacts(
        boxes=len(found),
        images=len({file for file, _, _ in found}),
        small_share=small / len(found) if found else 0.0,
        classes=classes,
    )


def _look(stats: Sequence[ImageStats]) -> Look:
    count = len(stats)
    sizes = {p.size for p in stats}
    red, green, blue = (sum(p.mean[i] for p in stats) / count for i in range(3))
    return Look(
        mean=(red, green, blue),
        contrast=sum(p.contrast for p in stats) / count,
        colour_share=sum(not p.grey for p in stats) / count,
        square=len(sizes) == 1 and all(width == height for width, height in sizes),
    )


def _mostly_similar_domain(sets: Sequence[SetAudit]) -> bool:
    """Whether at least half of the images are in sets that look like the pretraining's."""
    count = {True: 0, False: 0}
    for one in sets:
        if one.domain is not None:
            count[one.domain.good] += sum(facts.images for facts in one.splits.values())
    return count[True] >= count[False]


def _training_classes(sets: Sequence[SetAudit]) -> dict[Task, dict[str, int]]:
    found: dict[Task, dict[str, int]] = {}
    for one in sets:
        for task, facts in one.splits["train"].tasks.items() if "train" in one.splits else ():
            counts = found.setdefault(task, {})
            for name, number in facts.classes.items():
                counts[name] = counts.get(name, 0) + number
    return found


def _training_boxes(one: SetAudit) -> dict[Task, int]:
    train = one.splits.get("train")
    return {} if train is None else {task: facts.boxes for task, facts in train.tasks.items()}


def _set_as_dict(one: SetAudit) -> dict[str, Any]:
    return {
        "name": one.name,
        "file": str(one.file),
        "labels": sorted(task.value for task in one.labelled),
        "partial": sorted(task.value for task in one.partial),
        "splits": {
            split: {
                "images": facts.images,
                "background": facts.background,
                "without_label_file": facts.unlabelled,
                "sizes": {f"{w}x{h}": count for (w, h), count in facts.sizes.items()},
                "tasks": {task.value: asdict(found) for task, found in facts.tasks.items()},
                "negatives": dict(facts.negatives),
                "regions": dict(facts.regions),
                "left_out": dict(facts.left_out),
            }
            for split, facts in one.splits.items()
        },
        "alike": one.alike,
        "look": None if one.look is None else asdict(one.look),
        "domain": None if one.domain is None else asdict(one.domain),
        "problems": [
            {
                "file": redact(str(p.file)),
                "line": p.line,
                "what": redact(p.what),
                "usable": p.usable,
            }
            for p in one.problems
        ],
    }
