"""How a network is trained, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from oneglance.models.training.heads import Depth, Rows
from oneglance.streams.errors import UsageError

STRIDE = 32
"""Both sides of a network's input are multiples of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is fine-tuned. Gentle by default: see ``heads`` for what that avoids.

    ``size``: (width, height) of the input in pixels, multiples of 32. ``learning_rate``: peak
    rate of AdamW, cosine to a hundredth of it. ``mosaic``: share of training images that are
    four in one; none in the last ``calm_epochs``. ``train``: which layers learn. ``rows``:
    where the last layer starts. ``masked``: what an image does not label teaches nothing;
    False takes it for absent, which is for comparison only.
    """

    epochs: int = 20
    size: tuple[int, int] = (640, 384)
    batch: int = 16
    learning_rate: float = 4e-4
    weight_decay: float = 5e-4
    warmup_epochs: float = 1.0
    mosaic: float = 0.5
    calm_epochs: int = 5
    scale: float = 0.4
    seed: int = 0
    train: Depth = Depth.ALL
    rows: Rows = Rows.RELATED
    masked: bool = True

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1:
            raise UsageError("epochs and batch must be at least 1")
        if not self.learning_rate > 0:
            raise UsageError(f"the learning rate must be above 0, not {self.learning_rate}")
        if any(side < STRIDE or side % STRIDE for side in self.size):
            width, height = self.size
            raise UsageError(f"size {width}x{height}: both sides must be multiples of {STRIDE}")

    def as_dict(self) -> dict[str, Any]:
        """The same, ready for JSON."""
        return asdict(self) | {"size": list(self.size)}
