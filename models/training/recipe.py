"""How a network is trained, as data; no torch here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self, TypeGuard

from oneglance.models.training.data.subsets import Subset, Thinned
from oneglance.streams.errors import DataError, UsageError

STRIDE = 32
"""Both sides of a network's input are multiples of it."""

MOST_SIDE = 8192
"""Of an input, in pixels: a larger one than this is a slip of the hand, and fills any memory."""

MODEL = "model.pt"
"""The result of a training, in its folder."""


class HeadInit(StrEnum):
    """Where the last layer's weights of each class start: RANDOM, or PRETRAINED: those of a
    related class of the pretrained network."""

    RANDOM = "random"
    PRETRAINED = "pretrained"


class TrainableLayers(StrEnum):
    """Which layers train; all before them are frozen, BatchNorm statistics included.

    LAST: the last layer of the class branches alone. HEAD: the detection head. NECK: head and
    feature pyramid. ALL: everything.
    """

    LAST = "last"
    HEAD = "head"
    NECK = "neck"
    ALL = "all"


class Unlabelled(StrEnum):
    """What an image teaches of a task that its source does not label.

    IGNORE: nothing. NEGATIVE: that there is none of it; for comparison only. DISTILL: what the
    pretrained network predicts, where its classes mean the same (see ``distillation``).
    """

    IGNORE = "ignore"
    NEGATIVE = "negative"
    DISTILL = "distill"


class LossWeight(StrEnum):
    """What counts equally in the loss of a batch.

    BOX: every box, as in ultralytics, so that tasks with few boxes count little. TASK: every task
    that has boxes in it, however many; or something between the two, see ``Recipe.balance``.
    UNCERTAINTY: as TASK, and a task whose loss is twice another's half as much: the weights at
    which the uncertainties of Kendall et al. (CVPR 2018) are at their best.
    """

    BOX = "box"
    TASK = "task"
    UNCERTAINTY = "uncertainty"


class GradientSurgery(StrEnum):
    """What becomes of tasks' gradients that point against each other.

    NONE: they are added up. PCGRAD: each gives way to the others first (Yu et al., NeurIPS 2020;
    see ``surgery``), for a backward pass a task.
    """

    NONE = "none"
    PCGRAD = "pcgrad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is fine-tuned. Gentle by default: see ``heads`` for what that avoids.

    ``size``: (width, height) of the input in pixels, multiples of 32. ``learning_rate``: peak
    rate of AdamW, cosine to a hundredth of it; the class branches of the head learn
    ``class_rate`` times as fast. ``mosaic``: share of training images that are four in one; none
    in the last ``calm_share`` of the epochs. ``trainable``: which layers learn. ``head_init``:
    where the last layer starts. ``unlabelled``: what an image teaches of tasks it does not label.
    ``loss_weight``: what counts equally in the loss; ``balance``: unless that is every box, how
    far: a task of n boxes counts as n to the power of 1 - balance. ``gradient_surgery``: what
    becomes of tasks' gradients that conflict. ``task_branches``: whether the head has a layer for
    each task; see ``branches``. ``oversample``: how often an epoch shows the images
    of each data set; once by default. ``share``: of each set's training images, drawn by ``seed``;
    ``thinned``: whether they lose boxes; see ``subsets``. ``alpha``: the share of the fine-tuned
    weights in the result, above 0 to 1; the rest is the pretrained ones' (WiSE-FT; see
    ``averaging``).
    ``weather``: share of training images, mosaics included, that are shown by night, in haze, rain
    or glare, blurred or compressed; see ``weather``.
    """

    epochs: int = 20
    size: tuple[int, int] = (640, 384)
    batch: int = 16
    learning_rate: float = 4e-4
    class_rate: float = 1.0
    weight_decay: float = 5e-4
    warmup_epochs: float = 1.0
    mosaic: float = 0.5
    calm_share: float = 0.3
    scale: float = 0.4
    seed: int = 0
    oversample: tuple[int, ...] | None = None
    trainable: TrainableLayers = TrainableLayers.ALL
    head_init: HeadInit = HeadInit.PRETRAINED
    unlabelled: Unlabelled = Unlabelled.IGNORE
    loss_weight: LossWeight = LossWeight.BOX
    balance: float = 1.0
    gradient_surgery: GradientSurgery = GradientSurgery.NONE
    task_branches: bool = False
    share: float = 1.0
    thinned: Thinned = Thinned.NO
    alpha: float = 1.0
    weather: float = 0.0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1:
            raise UsageError("epochs and batch must be at least 1")
        if not 0 < self.learning_rate <= 1:
            raise UsageError(
                f"the learning rate must be above 0 and at most 1, not {self.learning_rate}: "
                "AdamW mostly learns with 1e-5 to 1e-2"
            )
        if not 0 < self.class_rate <= 1000:
            raise UsageError(
                f"the class rate must be above 0 and at most 1000, not {self.class_rate}"
            )
        if not 0 <= self.balance <= 1:
            raise UsageError(f"balance must be from 0 to 1, not {self.balance}")
        if (
            self.gradient_surgery is not GradientSurgery.NONE
            and self.trainable is TrainableLayers.LAST
        ):
            raise UsageError(
                "gradient surgery is for layers that tasks share, and the last layer has a part "
                "for each: train more of the network, or leave out --gradient-surgery"
            )
        if not 0 <= self.weather <= 1:
            raise UsageError(f"weather must be from 0 to 1, not {self.weather}")
        if not 0 < self.alpha <= 1:
            raise UsageError(f"alpha must be above 0 and at most 1, not {self.alpha}")
        check_sides(self.size)
        _ = self.subset  # refuses a share that is none

    @property
    def subset(self) -> Subset:
        """The training images that are shown."""
        return Subset(self.share, self.seed, self.thinned)

    def as_dict(self) -> dict[str, Any]:
        """The same, ready for JSON."""
        oversample = None if self.oversample is None else list(self.oversample)
        return asdict(self) | {"size": list(self.size), "oversample": oversample}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """The recipe that ``as_dict`` described."""
        oversample = content["oversample"]
        return cls(
            **dict(content)
            | {
                "size": tuple(content["size"]),
                "oversample": None if oversample is None else tuple(oversample),
                "trainable": TrainableLayers(content["trainable"]),
                "head_init": HeadInit(content["head_init"]),
                "unlabelled": Unlabelled(content["unlabelled"]),
                "loss_weight": LossWeight(content["loss_weight"]),
                "gradient_surgery": GradientSurgery(content.get("gradient_surgery", "none")),
                "thinned": Thinned(content.get("thinned", "no")),
            }
        )


def check_sides(size: tuple[int, int], stride: int = STRIDE) -> None:
    """See that ``size``, (width, height) in pixels, can be the input of a network of ``stride``.

    Raises:
        UsageError: a side is no multiple of it, or larger than ``MOST_SIDE``.
    """
    width, height = size
    if any(side < stride or side % stride for side in size):
        near = "x".join(str(max(stride, round(side / stride) * stride)) for side in size)
        network = "" if stride == STRIDE else " for this network"
        raise UsageError(
            f"size {width}x{height}: both sides must be multiples of {stride}{network}, "
            f"such as {near}"
        )
    if max(size) > MOST_SIDE:
        raise UsageError(f"size {width}x{height}: a side is at most {MOST_SIDE} pixels")


def read_recipe(file: Path) -> dict[str, Any]:
    """What a ``recipe.json`` says; {} where there is none.

    Raises:
        DataError: it is damaged, or is none of ours.
    """
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):
        facts = None
    if not _is_recipe(facts):
        raise DataError(
            f"{file} is damaged: nothing says how the weights beside it were made; train anew in "
            "another folder"
        )
    return facts


def _is_recipe(facts: object) -> TypeGuard[dict[str, Any]]:
    """Whether it is of the form of a training's recipe, or of an average's."""
    if not isinstance(facts, dict):
        return False
    if "average_of" in facts:
        parts = facts["average_of"]
        return isinstance(parts, list) and bool(parts) and all(map(_is_recipe, parts))
    run = facts.get("run", {})
    data = run.get("data", []) if isinstance(run, dict) else None
    return isinstance(data, list) and all(isinstance(file, str) for file in data)


def training_facts(weights: Path) -> dict[str, Any]:
    """What ``recipe.json`` beside ``weights`` says of how they were made; {} without one, or where
    it speaks of other weights than these.

    Folders are left out: they say nothing to anybody else and may hold names.

    Raises:
        DataError: the recipe is damaged; or ``weights`` bear the name of those that it speaks
            of, and are others.
    """
    recipe = weights.parent / "recipe.json"
    facts = read_recipe(recipe)
    if "model_sha256" in facts and not is_whole(weights, facts):
        if weights.name != MODEL:
            return {}
        raise DataError(
            f"{weights} is not what {recipe} speaks of: it is damaged, or was exchanged. The "
            "command that made it makes it anew; weights of your own belong in a folder of theirs"
        )
    if "data" in facts.get("run", {}):  # an average says the same of its parts
        facts["run"]["data"] = [_set_name(Path(data)) for data in facts["run"]["data"]]
    return facts


def is_whole(weights: Path, facts: Mapping[str, Any]) -> bool:
    """Whether the weights are those that the recipe speaks of, to the last byte."""
    try:
        return hashlib.sha256(weights.read_bytes()).hexdigest() == facts.get("model_sha256")
    except FileNotFoundError:
        return False


def _set_name(file: Path) -> str:
    return file.parent.name if file.stem == "data" else file.stem
