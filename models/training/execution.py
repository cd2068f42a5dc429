"""On what a network is trained and for how long; no torch here.

Apart from the recipe, because it changes nothing of what is learnt but by rounding and by how far
the training came: a run begun on one machine goes on on another.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from oneglance.models.tasks import ModelClass, parse_classes
from oneglance.models.training.recipe import Recipe, Unlabelled
from oneglance.streams.errors import UsageError

AUTO = "auto"


class Amp(StrEnum):
    """Mixed precision. AUTO: bfloat16 where the device computes it natively, else float16 on a
    GPU, else none. BF16 and FP16: that one or an error. OFF: float32 throughout."""

    AUTO = "auto"
    OFF = "off"
    BF16 = "bf16"
    FP16 = "fp16"


class Cache(StrEnum):
    """Where decoded images are kept between epochs. DISK: one file that all processes map."""

    RAM = "ram"
    DISK = "disk"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How a training is carried out.

    ``device``: ``auto`` (the first CUDA GPU, else the CPU), ``cpu``, a GPU's number (``0``),
    several (``0,1``), ``mps``; ``cpu,cpu`` is two processes on the CPU. ``workers``: processes
    that load images, for each GPU; a CPU loads in the training process. ``minutes``: after so
    many the training stops, its weights so far exported as a result; None for no limit.
    ``shorten``: with ``minutes``, plan fewer epochs, so that the learning rate comes down within
    the limit, instead of stopping half-way to go on another day. ``cache_folder``: where
    ``Cache.DISK`` keeps its file, for several trainings to share; the training's own by default.

    Raises:
        UsageError: a value that cannot be used.
    """

    device: str = AUTO
    workers: int = 8
    amp: Amp = Amp.AUTO
    minutes: float | None = None
    shorten: bool = False
    cache: Cache = Cache.RAM
    cache_folder: Path | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"auto|mps|cpu(,cpu)*|\d+(,\d+)*", self.device):
            raise UsageError(
                f"--device is auto, cpu, mps, or numbers of GPUs like 0 or 0,1, not '{self.device}'"
            )
        names = self.device.split(",")
        if names[0] != "cpu" and len(set(names)) < len(names):
            raise UsageError(f"--device {self.device} names a GPU twice")
        if self.workers < 0:
            raise UsageError(f"--workers must be 0 or more, not {self.workers}")
        if self.minutes is not None and not (self.minutes > 0 and math.isfinite(self.minutes)):
            raise UsageError(f"--minutes must be above 0, not {self.minutes:g}")
        if self.shorten and self.minutes is None:
            raise UsageError("--shorten needs the --minutes to shorten the training to")
        if self.amp is Amp.FP16 and names[0] == "cpu":
            raise UsageError("--amp fp16 needs a GPU: on a CPU it is bf16 or off")

    @property
    def processes(self) -> int:
        """How many processes train side by side."""
        return len(self.device.split(","))

    def check_batch(self, batch: int) -> None:
        """Refuse a batch that the processes cannot share evenly.

        Raises:
            UsageError: it is no multiple of their number.
        """
        if batch % self.processes:
            raise UsageError(
                f"--batch {batch} cannot be shared by {self.processes} devices: give a multiple "
                f"of {self.processes}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A training as it was asked for. ``base``: the pretrained checkpoint, None for none.

    ``teachers``: checkpoints of networks that teach theirs of the classes; see ``distillation``.
    """

    classes: Sequence[ModelClass]
    recipe: Recipe
    execution: Execution
    base: Path | None
    teachers: Sequence[Path] = ()

    @property
    def asks_teachers(self) -> bool:
        """Whether other networks look at every image too."""
        return bool(self.teachers) or self.recipe.unlabelled is Unlabelled.DISTILL

    def as_dict(self) -> dict[str, Any]:
        """The same, ready for JSON."""
        execution = asdict(self.execution)
        folder = execution.pop("cache_folder")
        return {
            "classes": [cls.name for cls in self.classes],
            "recipe": self.recipe.as_dict(),
            "execution": execution | {"cache_folder": None if folder is None else str(folder)},
            "base": None if self.base is None else str(self.base),
            "teachers": [str(file) for file in self.teachers],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Job:
        """The job that ``as_dict`` described."""
        execution = dict(content["execution"])
        folder = execution.pop("cache_folder")
        return cls(
            classes=parse_classes(content["classes"]),
            recipe=Recipe.from_dict(content["recipe"]),
            execution=Execution(
                **execution
                | {
                    "amp": Amp(execution["amp"]),
                    "cache": Cache(execution["cache"]),
                    "cache_folder": None if folder is None else Path(folder),
                }
            ),
            base=None if content["base"] is None else Path(content["base"]),
            teachers=tuple(Path(file) for file in content["teachers"]),
        )
