"""Folders and globs of images as a stream, in the order a person would sort them."""

from __future__ import annotations

import glob
import logging
import os
import re
import threading
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from oneglance.streams.errors import SourceBroken, SourceNotFound, SourceUnreadable
from oneglance.streams.frame import Frame, Image

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

DEFAULT_RATE = Fraction(10)
"""Frames a second that images are taken to lie apart: pictures carry no time of their own."""


class ImageFiles:
    """Images one after the other; sizes may differ.

    Grey is repeated into three channels, alpha dropped, 16 bits scaled to 8, EXIF orientation
    honoured. An image that cannot be read is skipped with a warning and, when all others have
    been delivered, raised: nothing is lost silently, and one bad file does not end the run.
    """

    live = False

    def __init__(
        self, files: Sequence[Path], *, source: str, frame_rate: Fraction = DEFAULT_RATE
    ) -> None:
        self._files = tuple(files)
        self.source = source
        self.frame_rate: Fraction | None = frame_rate
        self.unreadable: list[Path] = []
        self._closed = threading.Event()

    @classmethod
    def from_path(cls, path: str | os.PathLike[str]) -> ImageFiles:
        """The images of a folder, of a glob pattern, or a single one.

        Raises:
            SourceNotFound: no such folder, or nothing matches the pattern.
            SourceUnreadable: the folder holds no image.
        """
        text = os.fspath(path)
        if Path(text).is_dir():
            files = [p for p in Path(text).iterdir() if is_image(p)]
            if not files:
                kinds = ", ".join(sorted(IMAGE_SUFFIXES))
                raise SourceUnreadable(f"folder {text} has no image in it ({kinds})")
        else:
            files = [Path(p) for p in glob.glob(text, recursive=True) if is_image(Path(p))]  # noqa: PTH207
            if not files:
                raise SourceNotFound(f"no image matches {text}")
        return cls(sorted(files, key=_natural), source=text)

    @property
    def frame_count(self) -> int | None:
        """How many images there are."""
        return len(self._files)

    def __iter__(self) -> Iterator[Frame]:
        """Frames; ``timestamp_s`` is the index over ``frame_rate``.

        Raises:
            SourceBroken: at the end, when some images could not be read.
        """
        rate = self.frame_rate or DEFAULT_RATE
        for index, file in enumerate(self._files):
            if self._closed.is_set():
                return
            image = read_image(file)
            if image is None:
                logger.warning("cannot read image %s: skipped", file)
                self.unreadable.append(file)
                continue
            yield Frame(image, index, float(index / rate), self.source)
        if self.unreadable:
            names = ", ".join(p.name for p in self.unreadable[:3])
            more = ", …" if len(self.unreadable) > 3 else ""
            raise SourceBroken(
                f"{self.source}: {len(self.unreadable)} of {len(self._files)} images could not be "
                f"read ({names}{more}); every other image was delivered"
            )

    def close(self) -> None:
        """End iteration at its next image."""
        self._closed.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def is_image(file: Path) -> bool:
    """Whether the name says that this is an image."""
    return file.suffix.lower() in IMAGE_SUFFIXES


def read_image(file: Path) -> Image | None:
    """The picture as H×W×3 BGR uint8; None when the file holds none that can be read."""
    try:
        content = np.fromfile(file, np.uint8)  # unlike imread: any file name, no noise on stderr
        image = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
    except (OSError, cv2.error):
        return None
    return None if image is None else np.asarray(image, np.uint8)


def _natural(file: Path) -> list[tuple[int, int | str]]:
    """frame2 before frame10."""
    words = re.split(r"(\d+)", str(file).lower())
    return [(0, int(word)) if word.isdigit() else (1, word) for word in words]
