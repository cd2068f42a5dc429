"""Frames of a clip for as long as a measurement needs them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import numpy.typing as npt

from oneglance.models.letterbox import Canvas
from oneglance.streams import Frame, open_stream


def endless(clip: str) -> Iterator[Frame]:
    """The clip's frames, from the start again when it ends."""
    while True:
        with open_stream(clip) as stream:
            yield from stream


def tensors(clip: str, size: tuple[int, int], count: int) -> list[npt.NDArray[np.float32]]:
    """Network inputs of the clip's first frames; ``size`` is (width, height)."""
    canvas = Canvas(size)
    return [canvas.fill(frame.image)[0].copy() for frame in islice(endless(clip), count)]
