"""A share of the training images: the same for everyone who asks, and nested."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oneglance.streams.errors import UsageError


@dataclass(frozen=True, slots=True)
class Subset:
    """``share`` (above 0, at most 1) of each data set's training images, drawn by ``seed``.

    With one seed a smaller share lies inside every larger one. Images are drawn by their file's
    name, so an image that two sets share is in both draws, on any machine.

    Raises:
        UsageError: no such share.
    """

    share: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise UsageError(
                f"the share of the training images is above 0 and at most 1, not {self.share}"
            )

    def count(self, total: int) -> int:
        """How many of ``total`` images are drawn: the nearest, at least one of any."""
        return min(total, max(1, round(self.share * total)))

    def of(self, images: Sequence[Path]) -> list[Path]:
        """The images drawn, in their order in ``images``."""
        order = sorted(range(len(images)), key=lambda i: (self._rank(images[i]), images[i]))
        return [images[i] for i in sorted(order[: self.count(len(images))])]

    def _rank(self, image: Path) -> bytes:
        return hashlib.sha256(f"{self.seed}/{image.name}".encode()).digest()


WHOLE = Subset()
