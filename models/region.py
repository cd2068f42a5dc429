"""What of a frame the network looks at: a rectangle that leaves out the bonnet and the sky."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from oneglance.streams.errors import UsageError


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of a frame, half open: from ``x1``, ``y1`` up to, without, ``x2``, ``y2``.

    In pixels; or, where no number is above 1, in shares of the frame's width and height, which
    hold for frames of any size.

    >>> Region.of("0,0.25,1,0.9").pixels((1280, 720))
    (0, 180, 1280, 648)
    >>> Region.of((100, 50, 740, 410)).pixels((1280, 720))
    (100, 50, 740, 410)
    """

    x1: float
    y1: float
    x2: float
    y2: float

    def __post_init__(self) -> None:
        numbers = (self.x1, self.y1, self.x2, self.y2)
        if not all(map(math.isfinite, numbers)):
            raise UsageError(f"a region is four finite numbers, not {self}")
        if not (0 <= self.x1 < self.x2 and 0 <= self.y1 < self.y2):
            raise UsageError(
                f"the region {self} is none: x1,y1 is its upper left corner, not below 0, and "
                "x2,y2 lies right of it and below"
            )

    def __str__(self) -> str:
        return ",".join(f"{number:g}" for number in (self.x1, self.y1, self.x2, self.y2))

    @classmethod
    def of(cls, value: Region | str | Sequence[float]) -> Region:
        """A region from ``"x1,y1,x2,y2"`` or from four numbers.

        Raises:
            UsageError: it is none.
        """
        if isinstance(value, Region):
            return value
        try:
            words = value.split(",") if isinstance(value, str) else value
            x1, y1, x2, y2 = (float(word) for word in words)
        except (TypeError, ValueError):
            raise UsageError(
                f"a region is x1,y1,x2,y2 in pixels, or in shares from 0 to 1, not '{value}'"
            ) from None
        return cls(x1, y1, x2, y2)

    @property
    def in_shares(self) -> bool:
        """Whether the numbers are shares of a frame."""
        return self.x2 <= 1 and self.y2 <= 1

    def pixels(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """``x1, y1, x2, y2`` in whole pixels of a frame of ``size`` (width, height).

        Raises:
            UsageError: it is not inside such a frame, or less than a pixel of it.
        """
        width, height = size
        scale = size if self.in_shares else (1, 1)
        x1, x2 = (round(x * scale[0]) for x in (self.x1, self.x2))
        y1, y2 = (round(y * scale[1]) for y in (self.y1, self.y2))
        if x2 > width or y2 > height:
            raise UsageError(
                f"the region {self} lies outside the frame, which is {width}x{height} pixels"
            )
        if x1 == x2 or y1 == y2:
            raise UsageError(f"the region {self} is less than a pixel of a {width}x{height} frame")
        return x1, y1, x2, y2
