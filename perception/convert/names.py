"""Names for files and images, and numbers short enough to read."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from oneglance.perception.convert.boxes import FrameBoxes


class ClipNames:
    """A name for each clip that is good for a file, and another's never."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def __call__(self, clip: str) -> str:
        """The clip's name: its file's, without the suffix.

        >>> names = ClipNames()
        >>> names("a/drive.mp4"), names("b/drive.mp4"), names("a/drive.mp4")
        ('drive', 'drive-2', 'drive')
        """
        if clip not in self._names:
            last = PurePosixPath(clip.partition("?")[0]).stem
            stem = re.sub(r"[^\w.-]+", "_", last).strip(".") or "clip"
            taken = {name.lower() for name in self._names.values()}
            name, number = stem, 1
            while name.lower() in taken:
                number += 1
                name = f"{stem}-{number}"
            self._names[clip] = name
        return self._names[clip]

    def image(self, frame: FrameBoxes) -> str:
        """The image of a frame: its own file, or ``CLIP/000000.jpg``, which need not exist."""
        return frame.image or f"{self(frame.clip)}/{frame.index:06}.jpg"


def short(value: float, digits: int = 3) -> float:
    """``value`` with so many digits after the point."""
    return round(float(value), digits)
