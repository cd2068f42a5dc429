"""What a detector looks at: an image, or a decoder's planes that are none yet."""

from __future__ import annotations

from typing import Protocol, Self, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""H×W×3 uint8, BGR."""


@runtime_checkable
class Planes(Protocol):
    """Planes of an image, from which a small BGR image costs less than the whole one."""

    @property
    def size(self) -> tuple[int, int]:
        """``(width, height)`` in pixels."""
        ...

    def cut(self, x1: int, y1: int, x2: int, y2: int) -> Self:
        """A rectangle of it, half open."""
        ...

    def resized(self, size: tuple[int, int], out: Image | None = None) -> Image:
        """BGR of ``size`` (width, height), into ``out`` if that is given."""
        ...

    def bgr(self) -> Image:
        """All of it as BGR."""
        ...


Pixels = TypeVar("Pixels", Image, Planes, Image | Planes)


def size_of(pixels: Image | Planes) -> tuple[int, int]:
    """``(width, height)``."""
    return pixels.size if isinstance(pixels, Planes) else (pixels.shape[1], pixels.shape[0])


def cut(pixels: Pixels, box: tuple[int, int, int, int]) -> Pixels:
    """The rectangle ``x1, y1, x2, y2``, half open; a view."""
    x1, y1, x2, y2 = box
    return pixels.cut(x1, y1, x2, y2) if isinstance(pixels, Planes) else pixels[y1:y2, x1:x2]
