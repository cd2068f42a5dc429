"""What road4-n is trained and scored on: the one place that names its sets and its recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oneglance.models.tasks import FOUR_TASKS, LIGHT_COLOURS, SIGN_SUBCLASSES, ModelClass, Task
from oneglance.models.training.recipe import GradientSurgery, LossWeight, Recipe, Unlabelled
from oneglance.streams.errors import UsageError

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
BASE = SHARED / "weights" / "yolo26n-coco.pt"

TRAINED = FOUR_TASKS + LIGHT_COLOURS + SIGN_SUBCLASSES
EXPORTED = FOUR_TASKS + SIGN_SUBCLASSES
"""Colours of lights are predicted from pixels: see ``models/light_colours.py``."""


@dataclass(frozen=True, slots=True)
class Source:
    """A data set file; how often an epoch shows its images, 0 for a set that is scored on alone;
    whether its val images are scored on."""

    file: Path
    oversample: int = 1
    scored: bool = True


SETS = {
    "gtsdb": Source(SHARED / "data/gtsdb/data.yaml", oversample=0),
    "gtsdb-others": Source(ROOT / "benchmarks/data/gtsdb-others.yaml", 2, scored=False),
    "gtsdb-signs": Source(ROOT / "benchmarks/data/gtsdb-signs.yaml", 2),
    "highway": Source(SHARED / "data/highway/data.yaml"),
    "coad": Source(SHARED / "data/coad/data.yaml", scored=False),
    "lights": Source(SHARED / "data/lights/data.yaml"),
    "lights_asia": Source(SHARED / "data/lights_asia/data.yaml", 2),
    "seoul": Source(ROOT / "benchmarks/data/seoul.yaml", 4),
    "roadsigns": Source(ROOT / "benchmarks/data/roadsigns.yaml"),
    "rendered": Source(ROOT / "runs/rendered/data.yaml", scored=False),
}
"""The rendered drive is there after 'oneglance render --frames 250 --seed 11 --out runs/rendered'.
"""

WITHOUT_PEOPLE = ("lights", "lights_asia", "seoul", "roadsigns")
"""Sets that label neither people nor cars, which stand on their images."""

COLOURS_FROM = ("lights", "lights_asia", "seoul")
"""Measured on the labelled lights of the val sets, each in its box and in three a little off, as
found ones are: right on 95.9 % of those with a colour in lights, 95.6 % in lights_asia, 89.7 % in
seoul (25 lights of one drive); fitted to lights alone 95.6, 95.3 and 85.6 %. At most 3 % of any
have none.
"""

RECIPE = {
    "learning_rate": 5e-4,
    "unlabelled": Unlabelled.DISTILL,
    "alpha": 0.8,
}
"""What every arm shares with the training that made the model in the zoo, which is ``between``."""

ARMS: dict[str, dict[str, object]] = {
    "boxes": {"loss_weight": LossWeight.BOX},
    "tasks": {"loss_weight": LossWeight.TASK},
    "between": {"loss_weight": LossWeight.TASK, "balance": 0.5},
    "uncertainty": {"loss_weight": LossWeight.UNCERTAINTY},
    "pcgrad": {"gradient_surgery": GradientSurgery.PCGRAD},
    "branches": {"task_branches": True},
    "weather": {"weather": 0.3},
    "unmasked": {"unlabelled": Unlabelled.NEGATIVE},
}
"""By name, in what an arm's recipe differs; 'boxes' is the recipe itself."""

SINGLE = {f"only-{task}": task for task in Task}
"""Arms of one task each, on the sets that label it."""

BORN_AGAIN = "born-again"
"""The arm that those of one task teach, of the same seed."""


def classes_of(arm: str) -> tuple[ModelClass, ...]:
    """What an arm is trained for."""
    return tuple(c for c in TRAINED if arm not in SINGLE or c.task is SINGLE[arm])


def in_order(arms: Sequence[str]) -> list[str]:
    """``arms``, and before them those that teach one of them."""
    teachers = SINGLE if BORN_AGAIN in arms else ()
    return list(dict.fromkeys([*teachers, *arms]))


def recipe(arm: str, **asked: object) -> Recipe:
    """The recipe of ``arm`` with what was ``asked`` for.

    Raises:
        UsageError: there is no such arm, or the recipe cannot work.
    """
    known = [*ARMS, BORN_AGAIN, *SINGLE]
    if arm not in known:
        raise UsageError(f"no arm '{arm}' (arms: {', '.join(known)})")
    return Recipe(**RECIPE | ARMS.get(arm, {}) | asked)  # type: ignore[arg-type]


def parse_size(text: str) -> tuple[int, int]:
    """Width and height out of ``640x384``.

    Raises:
        UsageError: that is no size.
    """
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise UsageError(f"--size is WxH, like 640x384, not '{text}'")
    return int(width), int(height)
