"""Folders and globs of images as a stream, in the order a person would sort them."""

from __future__ import annotations

import glob
import logging
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from oneglance.streams.errors import (
    SourceBroken,
    SourceNotFound,
    SourceUnreadable,
    UsageError,
    cause,
)
from oneglance.streams.frame import Frame, Image
from oneglance.streams.redaction import redact_address

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

DEFAULT_RATE = Fraction(10)
"""Frames a second that images are taken to lie apart: pictures carry no time of their own."""


class ImageFiles:
    """Images one after the other; sizes may differ.

    Grey is repeated into three channels, alpha dropped, 16 bits scaled to 8, EXIF orientation
    honoured. A frame's ``source`` is the image's path and its ``index`` the image's place in
    the sorted list, so that a result can be told to its file. An image that cannot be read
    keeps its place: it is skipped with a warning, listed in ``unreadable`` and, when all others
    have been delivered, raised. Nothing is lost silently, and one bad file does not end the run.
    """

    live = False

    def __init__(
        self, files: Sequence[Path], *, source: str, frame_rate: Fraction = DEFAULT_RATE
    ) -> None:
        """``files`` in the order to play them.

        Raises:
            UsageError: a frame rate of zero or less.
        """
        if frame_rate <= 0:
            raise UsageError(f"the frame rate of images must be above 0, not {frame_rate}")
        self._files = tuple(files)
        self._rate = Fraction(frame_rate)
        self.source = source
        self.frame_rate: Fraction | None = self._rate
        self.unreadable: list[Path] = []
        self._closed = threading.Event()

    @classmethod
    def from_path(
        cls, path: str | os.PathLike[str], *, frame_rate: Fraction = DEFAULT_RATE
    ) -> ImageFiles:
        """The images of a folder (hidden ones and subfolders left out) or of a glob pattern.

        Raises:
            SourceNotFound: nothing matches the pattern, or no image does.
            SourceUnreadable: the folder holds no image, or the files may not be looked at.
        """
        text = os.fspath(path)
        try:
            files = _in_folder(text) if Path(text).is_dir() else _matching(text)
        except OSError as error:
            raise SourceUnreadable(f"cannot look into {text}: {cause(error)}") from None
        return cls(sorted(files, key=_natural), source=text, frame_rate=frame_rate)

    @property
    def frame_count(self) -> int | None:
        """How many images there are, unreadable ones included."""
        return len(self._files)

    def __iter__(self) -> Iterator[Frame]:
        """Frames; ``timestamp_s`` is the index divided by ``frame_rate``.

        Raises:
            SourceBroken: at the end, when some images could not be read.
            SourceUnreadable: at the end, when none could.
        """
        self.unreadable.clear()
        for index, file in enumerate(self._files):
            if self._closed.is_set():
                return
            started = time.perf_counter()
            image = read_image(file)
            decode_s = time.perf_counter() - started
            if image is None:
                logger.warning("cannot read image %s: skipped", file)
                self.unreadable.append(file)
            else:
                at_s = float(index / self._rate)
                yield Frame(image, index, at_s, str(file), decode_s=decode_s)
        if self.unreadable:
            raise self._lost()

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

    def _lost(self) -> SourceBroken | SourceUnreadable:
        lost, of = len(self.unreadable), len(self._files)
        if of == 1:
            return SourceUnreadable(
                f"{self._files[0]} is not an image that can be read, or is damaged"
            )
        names = ", ".join(p.name for p in self.unreadable[:3]) + (", …" if lost > 3 else "")
        if lost == of:
            return SourceUnreadable(
                f"none of the {of} images of {self.source} can be read ({names})"
            )
        return SourceBroken(
            f"{lost} of {of} images of {self.source} could not be read ({names}); "
            "every other image was delivered"
        )


def _in_folder(folder: str) -> list[Path]:
    files = [p for p in Path(folder).iterdir() if is_image(p) and not p.name.startswith(".")]
    if not files:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise SourceUnreadable(f"folder {folder} has no image in it ({kinds})")
    return files


def _matching(pattern: str) -> list[Path]:
    found = [Path(p) for p in glob.glob(pattern, recursive=True)]  # noqa: PTH207 - any root
    files = [p for p in found if is_image(p)]
    if not files:
        others = "1 other file does" if len(found) == 1 else f"{len(found)} other files do"
        name = redact_address(pattern)
        raise SourceNotFound(f"no image matches {name}{f' ({others})' if found else ''}")
    return files


def is_image(file: Path) -> bool:
    """Whether the name says that this is an image, and it is no folder."""
    return file.suffix.lower() in IMAGE_SUFFIXES and not file.is_dir()


def read_image(file: Path) -> Image | None:
    """The picture as H×W×3 BGR uint8; None when the file holds none that can be read whole."""
    try:
        if not file.is_file():  # a pipe of that name would block for ever
            return None
        content = file.read_bytes()  # and not cv2.imread, which fails on some file names
        if not content or _is_cut_jpeg(content):
            return None
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error):
        return None
    return None if image is None else np.asarray(image, np.uint8)


def _is_cut_jpeg(content: bytes) -> bool:
    """Whether a JPEG stops in the middle: OpenCV before 5 fills the rest with grey."""
    if not content.startswith(b"\xff\xd8"):
        return False
    at = 2
    while content[at : at + 1] == b"\xff":
        marker = content[at + 1 : at + 2]
        if marker == b"\xda":  # the picture itself; the end of a thumbnail may come before
            return content.find(b"\xff\xd9", at) < 0
        filler = marker == b"\xff"
        at += 1 if filler else 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return at >= len(content)


def _natural(file: Path) -> tuple[list[int | str], str]:
    """frame2 before frame10."""
    words: list[int | str] = list(re.split("([0-9]+)", str(file).lower()))
    words[1::2] = [int(word) for word in words[1::2]]  # numbers stand at odd places always
    return words, str(file)
