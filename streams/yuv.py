"""An image as most decoders give it: brightness, and colour at half its size; not BGR yet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

Matrix = npt.NDArray[np.float32]
"""3×4 float32: what y, u, v and 1 give blue, green and red, all 0..255."""

_WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}
"""What red and blue weigh in the brightness (ITU-R BT.601, BT.709)."""


@dataclass(frozen=True, slots=True, eq=False)
class YuvPlanes:
    """8-bit planes, views of somebody's memory: not to be written to.

    ``luma`` H×W uint8. ``chroma``: u and v, h×w uint8 each, or one plane h×w×2 of both; h and w
    divide H and W. ``to_bgr``: how a pixel becomes BGR, clipped to 0..255.
    """

    luma: Bytes
    chroma: tuple[Bytes, ...]
    to_bgr: Matrix

    @property
    def size(self) -> tuple[int, int]:
        """``(width, height)`` in pixels."""
        return self.luma.shape[1], self.luma.shape[0]

    def cut(self, x1: int, y1: int, x2: int, y2: int) -> YuvPlanes:
        """The rectangle from ``x1``, ``y1`` up to, without, ``x2``, ``y2``, inside the image.

        Where it begins between two pixels of the colours, these are moved by half of theirs.
        """
        down, right = (
            whole // part
            for whole, part in zip(self.luma.shape, self.chroma[0].shape[:2], strict=True)
        )
        rows = slice(y1 // down, math.ceil(y2 / down))
        columns = slice(x1 // right, math.ceil(x2 / right))
        chroma = tuple(plane[rows, columns] for plane in self.chroma)
        return YuvPlanes(self.luma[y1:y2, x1:x2], chroma, self.to_bgr)

    def resized(self, size: tuple[int, int], out: Bytes | None = None) -> Bytes:
        """The image as H×W×3 uint8 BGR of ``size`` (width, height), into ``out`` if that is given.

        Each plane is resized by itself, bilinearly, and converted then: so only as many pixels
        are converted as there are in ``size``. Colour and brightness are linear, so it is the
        same as to convert and to resize then, but for rounding and for the colours' own pixels,
        between which values are interpolated here and repeated there.
        """
        return self._scaled(size, nearest=False, out=out)

    def bgr(self) -> Bytes:
        """The whole image as H×W×3 uint8 BGR; colours are repeated for each of their pixels."""
        return self._scaled(self.size, nearest=True, out=None)

    def _scaled(self, size: tuple[int, int], *, nearest: bool, out: Bytes | None) -> Bytes:
        import cv2

        how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
        planes = [cv2.resize(p, size, interpolation=how) for p in (self.luma, *self.chroma)]
        made = cv2.transform(cv2.merge(planes), self.to_bgr, dst=out)
        return np.asarray(made, np.uint8)


@cache
def to_bgr(standard: str, *, full_range: bool) -> Matrix:
    """The matrix of ``bt601`` or ``bt709``. ``full_range``: brightness is 0..255, not 16..235.

    >>> [round(float(each), 3) for each in to_bgr("bt601", full_range=True)[2]]
    [1.0, 0.0, 1.402, -179.456]
    """
    red, blue = _WEIGHTS[standard]
    green = 1 - red - blue
    from_v, from_u = 2 * (1 - red), 2 * (1 - blue)
    rows = np.array(
        [
            (1, from_u, 0),
            (1, -blue * from_u / green, -red * from_v / green),
            (1, 0, from_v),
        ]
    )
    black = 0 if full_range else 16
    if not full_range:
        rows *= (255 / 219, 255 / 224, 255 / 224)
    matrix = np.column_stack((rows, -rows @ (black, 128, 128))).astype(np.float32)
    matrix.setflags(write=False)
    return matrix
