"""The boxes of a frame, whatever wrote them down and in whatever format they go on."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

MOST_PIXELS = 2**20
"""Of a side of an image, whatever made it."""


@dataclass(frozen=True, slots=True)
class Box:
    """One box: ``xyxy`` in pixels, ``confidence`` in 0..1, ``track_id`` None for no track.

    Raises:
        ValueError: a number is none, a corner lies on the wrong side of the other, or the
            confidence is another one.
    """

    task: str
    class_name: str
    confidence: float
    xyxy: tuple[float, float, float, float]
    track_id: int | None

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (*self.xyxy, self.confidence))):
            raise ValueError(f"a '{self.class_name}' has a side or a confidence that is no number")
        x1, y1, x2, y2 = self.xyxy
        if x2 < x1 or y2 < y1:
            raise ValueError(f"a '{self.class_name}' has a width or height below zero")
        if not 0 <= self.confidence <= 1:
            raise ValueError(f"a '{self.class_name}' has the confidence {self.confidence:g}")


@dataclass(frozen=True, slots=True)
class FrameBoxes:
    """The boxes of a frame. ``index``: 0-based. ``size``: width and height. ``image``: the frame's
    own file, with ``/``; None for one of a clip. Time and size are None where they are unknown.

    Raises:
        ValueError: they are no time, no size, or no frame's number.
    """

    clip: str
    index: int
    timestamp_s: float | None
    size: tuple[int, int] | None
    boxes: tuple[Box, ...]
    image: str | None = None

    def __post_init__(self) -> None:
        if self.index < 0:
            raise ValueError(f"there is no frame {self.index}")
        if self.timestamp_s is not None and not math.isfinite(self.timestamp_s):
            raise ValueError(f"frame {self.index} has a time that is no number")
        if self.size is not None and not all(1 <= side <= MOST_PIXELS for side in self.size):
            raise ValueError(f"frame {self.index} is {self.size[0]}×{self.size[1]} pixels")


def safe_name(name: str) -> str:
    """An image's name as a relative path that leads nowhere else.

    >>> safe_name("C:\\\\a\\\\..\\\\b.jpg"), safe_name("/etc/../x.jpg")
    ('C_/a/b.jpg', 'etc/x.jpg')
    """
    parts = re.sub(r"[\0:]", "_", name.replace("\\", "/")).split("/")
    return "/".join(part for part in parts if part not in {"", ".", ".."}) or "image"
