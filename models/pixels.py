"""What a detector looks at: an image, or a decoder's planes that are none yet."""

from __future__ import annotations

from typing import Protocol, Self, TypeGuard, TypeVar

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""H×W×3 uint8, BGR."""


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


def is_planes(pixels: object) -> TypeGuard[Planes]:
    """Whether these are planes and not an image. By one method of theirs: ``isinstance`` looks at
    all that a Protocol has, which takes 20 µs."""
    return hasattr(pixels, "resized")


def size_of(pixels: Image | Planes) -> tuple[int, int]:
    """``(width, height)``."""
    if isinstance(pixels, np.ndarray):
        return pixels.shape[1], pixels.shape[0]
    return pixels.size


def cut(pixels: Pixels, box: tuple[int, int, int, int]) -> Pixels:
    """The rectangle ``x1, y1, x2, y2``, half open; a view."""
    x1, y1, x2, y2 = box
    return pixels[y1:y2, x1:x2] if isinstance(pixels, np.ndarray) else pixels.cut(x1, y1, x2, y2)
