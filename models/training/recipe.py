"""How a network is trained, as data; no torch here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, TypeVar

from oneglance.models.training.subsets import Subset
from oneglance.streams.errors import UsageError

STRIDE = 32
"""Both sides of a network's input are multiples of it."""


class Rows(StrEnum):
    """Where the rows of the last layer start: NEW at random, RELATED from pretrained rows."""

    NEW = "new"
    RELATED = "related"


class Depth(StrEnum):
    """Which layers train; all before them are frozen, BatchNorm statistics included.

    LAST: the last layer of the class branches alone. HEAD: the detection head. NECK: head and
    feature pyramid. ALL: everything.
    """

    LAST = "last"
    HEAD = "head"
    NECK = "neck"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is fine-tuned. Gentle by default: see ``heads`` for what that avoids.

    ``size``: (width, height) of the input in pixels, multiples of 32. ``learning_rate``: peak
    rate of AdamW, cosine to a hundredth of it. ``mosaic``: share of training images that are
    four in one; none in the last ``calm_share`` of the epochs. ``train``: which layers
    learn. ``rows``: where the last layer starts. ``masked``: what an image does not label
    teaches nothing; False takes it for absent, which is for comparison only. ``repeats``: how
    often an epoch shows the images of each data set; once by default. ``share``: of each set's
    training images, drawn by ``seed``; see ``subsets``.
    """

    epochs: int = 20
    size: tuple[int, int] = (640, 384)
    batch: int = 16
    learning_rate: float = 4e-4
    weight_decay: float = 5e-4
    warmup_epochs: float = 1.0
    mosaic: float = 0.5
    calm_share: float = 0.3
    scale: float = 0.4
    seed: int = 0
    repeats: tuple[int, ...] | None = None
    train: Depth = Depth.ALL
    rows: Rows = Rows.RELATED
    masked: bool = True
    share: float = 1.0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1:
            raise UsageError("epochs and batch must be at least 1")
        if not self.learning_rate > 0:
            raise UsageError(f"the learning rate must be above 0, not {self.learning_rate}")
        if any(side < STRIDE or side % STRIDE for side in self.size):
            width, height = self.size
            raise UsageError(f"size {width}x{height}: both sides must be multiples of {STRIDE}")
        _ = self.subset  # refuses a share that is none

    @property
    def subset(self) -> Subset:
        """The training images that are shown."""
        return Subset(self.share, self.seed)

    def as_dict(self) -> dict[str, Any]:
        """The same, ready for JSON."""
        repeats = None if self.repeats is None else list(self.repeats)
        return asdict(self) | {"size": list(self.size), "repeats": repeats}


def parse_depth(word: str) -> Depth:
    """The depth of that name.

    Raises:
        UsageError: there is none.
    """
    return _parse(word, Depth, "--train")


def parse_rows(word: str) -> Rows:
    """The start of the rows of that name.

    Raises:
        UsageError: there is none.
    """
    return _parse(word, Rows, "--head")


_Choice = TypeVar("_Choice", bound=StrEnum)


def _parse(word: str, choices: type[_Choice], option: str) -> _Choice:
    try:
        return choices(word)
    except ValueError:
        raise UsageError(f"{option} is one of {', '.join(choices)}, not '{word}'") from None
