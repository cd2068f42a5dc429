"""A share of the training images or of their boxes: the same for everyone who asks, and nested."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from oneglance.streams.errors import UsageError

WHOLE_IMAGES, KEPT_BOXES = 0.25, 0.5
"""Of a thinned set: the share of the images that keep all boxes, and of the others' boxes."""


class Thinned(StrEnum):
    """Whether boxes of the training images are left out, to measure what that costs.

    NO. PARTIAL: three quarters of the images lose half of their boxes, and declare what they label
    as ``partial``. COMPLETE: they lose them and go on to say that all is labelled.
    """

    NO = "no"
    PARTIAL = "partial"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class Subset:
    """``share`` (above 0, at most 1) of each data set's training images, drawn by ``seed``.

    With one seed a smaller share lies inside every larger one. Images are drawn by their file's
    name, so an image that two sets share is in both draws, on any machine. ``thinned``: whether
    they lose boxes, drawn in the same way.

    Raises:
        UsageError: no such share.
    """

    share: float = 1.0
    seed: int = 0
    thinned: Thinned = Thinned.NO

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

    def thins(self, images: Sequence[Path]) -> frozenset[Path]:
        """Those of a set's training images that lose boxes."""
        if self.thinned is Thinned.NO:
            return frozenset()
        whole = Subset(round(WHOLE_IMAGES * self.share, 6), self.seed)
        return frozenset(images).difference(whole.of(images))

    def keeps(self, image: Path, number: int) -> bool:
        """Whether box ``number`` stays, of an image that loses some."""
        drawn = _digest(f"{self.seed}/{image.name}/{number}")
        return int.from_bytes(drawn[:4], "big") < KEPT_BOXES * 2**32

    def _rank(self, image: Path) -> bytes:
        return _digest(f"{self.seed}/{image.name}")


def _digest(text: str) -> bytes:
    """Of a text with a file's name in it, whatever its bytes."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


WHOLE = Subset()
