"""An image into the network's rectangle and boxes back out of it.

Scaled to fit, centred, the rest filled with grey 114: ultralytics' convention, which the
training images follow too.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from oneglance.models.pixels import Planes, size_of
from oneglance.streams.errors import UsageError

Boxes = npt.NDArray[np.float32]
"""N×4 float32, x1 y1 x2 y2 in pixels."""

PAD_VALUE = 114


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where a source image lies inside the network's input.

    Sizes are (width, height) in pixels; ``left`` and ``top`` are the input pixel at which the
    scaled image of ``scaled`` size begins.
    """

    source: tuple[int, int]
    target: tuple[int, int]
    scaled: tuple[int, int]
    left: int
    top: int

    @classmethod
    def fit(cls, source: tuple[int, int], target: tuple[int, int]) -> Letterbox:
        """The largest centred copy of ``source`` that fits into ``target``.

        >>> Letterbox.fit((1280, 720), (640, 384))
        Letterbox(source=(1280, 720), target=(640, 384), scaled=(640, 360), left=0, top=12)
        """
        scale = min(target[0] / source[0], target[1] / source[1])
        width = min(target[0], max(1, round(source[0] * scale)))
        height = min(target[1], max(1, round(source[1] * scale)))
        left, top = (target[0] - width) // 2, (target[1] - height) // 2
        return cls(source, target, (width, height), left, top)

    @property
    def _gain(self) -> tuple[float, float]:
        return self.scaled[0] / self.source[0], self.scaled[1] / self.source[1]

    def to_input(self, xyxy: Boxes) -> Boxes:
        """Boxes of the source image in pixels of the network's input."""
        gain = np.array(self._gain * 2, np.float32)
        shift = np.array((self.left, self.top) * 2, np.float32)
        return np.asarray(xyxy * gain + shift, np.float32)

    def to_source(self, xyxy: Boxes) -> Boxes:
        """Boxes of the network's input in pixels of the source image, clipped to it."""
        gain = np.array(self._gain * 2, np.float32)
        shift = np.array((self.left, self.top) * 2, np.float32)
        boxes = np.asarray((xyxy - shift) / gain, np.float32)
        return np.clip(boxes, 0, np.array(self.source * 2, np.float32), out=boxes)


class Canvas:
    """The buffers that turn an image into the network's input, for one thread at a time.

    ``target``: (width, height) of the input. Holds a 1×3×H×W float32 tensor in RGB order,
    values 0..1, that every call overwrites.
    """

    def __init__(self, target: tuple[int, int]) -> None:
        width, height = target
        self._target = target
        self._padded = np.full((height, width, 3), PAD_VALUE, np.uint8)
        self._planes = np.empty((3, height, width), np.uint8)
        self._tensor = np.empty((1, 3, height, width), np.float32)
        self._geometry: Letterbox | None = None

    def fill(
        self, image: npt.NDArray[np.uint8] | Planes
    ) -> tuple[npt.NDArray[np.float32], Letterbox]:
        """The input tensor for ``image`` (H×W×3 BGR uint8, or planes of one) and where the image
        lies in it.

        The tensor is valid until the next call.
        """
        width, height = size_of(image)
        geometry = self._geometry
        if geometry is None or geometry.source != (width, height):
            geometry = self._geometry = Letterbox.fit((width, height), self._target)
            self._padded[:] = PAD_VALUE
        (w, h), left, top = geometry.scaled, geometry.left, geometry.top
        place = self._padded[top : top + h, left : left + w]
        if isinstance(image, np.ndarray):
            cv2.resize(image, (w, h), dst=place, interpolation=cv2.INTER_LINEAR)
        else:
            image.resized((w, h), out=place)
        # Split, convert, scale: a third of the time of transposing, a twentieth of blobFromImage.
        # To convert and scale in one step would be an eighth slower: numpy does it in small pieces.
        cv2.split(self._padded, [*self._planes[::-1]])
        np.copyto(self._tensor[0], self._planes)
        np.multiply(self._tensor, np.float32(1 / 255), out=self._tensor)
        return self._tensor, geometry


class CanvasPool:
    """Canvases that threads share: each has one while its input is made and computed.

    ``target``: (width, height) of the input. ``most``: who would be one more waits; None: nobody
    does. A canvas for each thread would be 4 MB (at 640×384) for each that waits for a CPU.
    """

    def __init__(self, target: tuple[int, int], most: int | None = None) -> None:
        self._target, self._most = target, most
        self._begin_anew()

    def _begin_anew(self) -> None:
        most = self._most
        self._room: AbstractContextManager[object] = (
            nullcontext() if most is None else threading.BoundedSemaphore(most)
        )
        self._free: list[Canvas] = []
        self._process = os.getpid()

    @contextmanager
    def borrowed(self) -> Iterator[Canvas]:
        """A canvas that is the caller's until the end of the block."""
        if self._process != os.getpid():
            self._begin_anew()  # who had one when the process forked is not here to give it back
        room, free = self._room, self._free
        with room:
            try:
                canvas = free.pop()
            except IndexError:
                canvas = Canvas(self._target)
            try:
                yield canvas
            finally:
                free.append(canvas)


def as_bgr(image: object) -> npt.NDArray[np.uint8]:
    """``image`` as H×W×3 BGR: grey is repeated, alpha is dropped, BGR passes through.

    Raises:
        UsageError: not an 8-bit image of 1, 3 or 4 channels, or one without pixels.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim not in {2, 3}:
        kind = (
            f"{image.dtype} {image.shape}"
            if isinstance(image, np.ndarray)
            else type(image).__name__
        )
        raise UsageError(f"an image is H×W×3 uint8 (BGR), not {kind}")
    if image.size == 0:
        raise UsageError(f"the image has no pixels: shape {image.shape}")
    if image.ndim == 3 and image.shape[2] == 3:
        return image
    if image.ndim == 2 or image.shape[2] == 1:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
    if image.shape[2] == 4:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGRA2BGR), np.uint8)
    raise UsageError(f"an image has 1, 3 or 4 channels, not {image.shape[2]}")
