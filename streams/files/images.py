"""Images as a stream."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from oneglance.streams.errors import SourceBroken, SourceUnreadable, UsageError
from oneglance.streams.files.image_count import is_animation, is_damaged_png, others_left_out
from oneglance.streams.files.jpeg import is_damaged_jpeg, with_end
from oneglance.streams.frame import Frame, Image
from oneglance.streams.outputs import fixed_path
from oneglance.streams.playing import Closing

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset((".bmp", ".png", ".tif", ".tiff", ".webp", ".avif", ".jp2")) | {
    *(".dib", ".jfif", ".jpe", ".jpeg", ".jpg"),
    *(".pbm", ".pgm", ".pnm", ".ppm"),
}

_GAP = rb"(?:\s|#[^\n]*\n)+"
_NETPBM = re.compile(
    rb"P(?:(4)|([56]))%b(\d{1,9})%b(\d{1,9})(?(2)%b(\d{1,5}))\s" % (_GAP, _GAP, _GAP)
)

DEFAULT_RATE = Fraction(10)
"""Frames a second that images are taken to lie apart: image files carry no time of their own."""


class ImageFiles(Closing):
    """Images one after the other; sizes may differ.

    Grey is repeated into three channels, alpha dropped, 16 bits scaled to 8, EXIF orientation
    honoured. A frame's ``source`` is the image's path and its ``index`` the image's place in
    the sorted list, so that a result can be traced to its file. An image that cannot be read
    keeps its place: it is skipped with a warning, listed in ``unreadable`` and, when all others
    have been delivered, raised. Nothing is lost silently, and one bad file does not end the run.
    """

    live = False

    def __init__(
        self,
        files: Sequence[Path],
        *,
        source: str,
        frame_rate: Fraction = DEFAULT_RATE,
        folder: Path | None = None,
    ) -> None:
        """``files`` in the order to play them. ``folder``: where those of relative names lie; the
        current one.

        Raises:
            UsageError: a frame rate of zero or less.
        """
        if frame_rate <= 0:
            raise UsageError(f"the frame rate of images must be above 0, not {frame_rate}")
        self._files = tuple(files)
        self._folder = fixed_path("") if folder is None else folder
        self._rate = Fraction(frame_rate)
        self.source = source
        self.frame_rate: Fraction | None = self._rate
        self.unreadable: list[Path] = []
        self._closed = threading.Event()

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
            image = read_image(self._folder / file, name=file)
            decode_s = time.perf_counter() - started
            if image is None:
                logger.warning("cannot read image %s: skipped", file)
                self.unreadable.append(file)
            else:
                timestamp_s = float(index / self._rate)
                yield Frame(image, index, timestamp_s, str(file), decode_s=decode_s)
        if self.unreadable:
            raise self._lost()

    def close(self) -> None:
        """End iteration at its next image."""
        self._closed.set()

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


def is_image(file: Path) -> bool:
    """Whether the name says that this is a still image, and it is no folder."""
    return file.suffix.lower() in IMAGE_SUFFIXES and not file.is_dir() and not is_animation(file)


def read_image(file: Path, *, name: Path | None = None) -> Image | None:
    """The image as H×W×3 BGR uint8; None when the file holds none that can be read completely.
    ``name``: what the file is called, if not by its path.

    Of a file with several images it is the first, and a warning says so.
    """
    try:
        if not file.is_file():  # a pipe of that name would block for ever
            return None
        content = file.read_bytes()  # and not cv2.imread, which fails on some file names
        if not content or any(is_damaged(content) for is_damaged in _DAMAGED):
            return None
        image = decoded(with_end(content))
    except OSError:
        return None
    if left_out := others_left_out(content):
        logger.warning("%s %s", name or file, left_out)
    return image


def decoded(content: bytes) -> Image | None:
    """The image in ``content`` as H×W×3 BGR uint8, as OpenCV reads it; None where it reads none,
    or none so large (the environment's ``OPENCV_IO_MAX_IMAGE_PIXELS``)."""
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if image is None else np.asarray(image, np.uint8)


def _is_truncated_netpbm(content: bytes) -> bool:
    """Whether a binary PBM, PGM or PPM is shorter than its header says: OpenCV plays on."""
    head = _NETPBM.match(content)
    if head is None:
        return False
    width, height = int(head[3]), int(head[4])
    if head[1]:
        size = (width + 7) // 8 * height
    else:
        sample = 2 if int(head[5]) > 255 else 1
        size = width * height * sample * (3 if head[2] == b"6" else 1)
    return len(content) - head.end() < size


_DAMAGED = (is_damaged_jpeg, is_damaged_png, _is_truncated_netpbm)
"""What sees damage that OpenCV is silent on, or pays gigabytes for."""
