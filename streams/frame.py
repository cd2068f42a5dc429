"""One picture on its way through the house."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""H×W×3 uint8, BGR (OpenCV's order)."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A picture and what is known of it; frozen, because several threads hold it at once.

    ``image`` is H×W×3 uint8 in BGR order. ``index`` is 0-based and counts every frame the
    source produced, those dropped later included. ``timestamp_s`` is the capture time in
    seconds: the presentation time for recordings, the host's monotonic clock at arrival for
    live sources. ``source`` is a name safe to print: no credential in it.

    Raises:
        ValueError: the image is not H×W×3 uint8.

    >>> Frame(np.zeros((4, 6, 3), np.uint8), index=0, timestamp_s=0.0, source="demo").size
    (6, 4)
    """

    image: Image
    index: int
    timestamp_s: float
    source: str

    def __post_init__(self) -> None:
        image = self.image
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"a frame is H×W×3 uint8, not {image.shape} {image.dtype}")

    @property
    def size(self) -> tuple[int, int]:
        """``(width, height)`` in pixels."""
        return self.image.shape[1], self.image.shape[0]
