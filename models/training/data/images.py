"""Image files opened by Pillow's own readers.

Not by ``Image.open``: importing ultralytics replaces that by one which installs a package
from the network when it meets a file of no known format.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ExifTags import Base
from PIL.Image import DecompressionBombError
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from oneglance.models.training.data.text import refuse_pipe
from oneglance.streams.errors import DataError
from oneglance.streams.files.jpeg import is_damaged_jpeg

MOST_PIXELS = 200_000_000
"""A header can claim any size: this is 600 MB once decoded."""


def open_image(file: Path) -> ImageFile:
    """Open a JPEG, PNG, BMP, WebP or TIFF by its first bytes; nothing is decoded.

    Raises:
        OSError: the file is missing or cannot be read.
        SyntaxError, ValueError: it is none of these, its header is broken, or it says that there
            are more than ``MOST_PIXELS``; see ``UNREADABLE``.
    """
    refuse_pipe(file)
    with file.open("rb") as opened:
        start = opened.read(12)
    image = _opened(file, start)
    width, height = image.size
    if width * height > MOST_PIXELS:
        image.close()
        raise ValueError(f"{width}x{height} pixels, more than {MOST_PIXELS // 10**6} million")
    return image


def _opened(file: Path, start: bytes) -> ImageFile:
    if start.startswith(b"\xff\xd8\xff"):
        return JpegImageFile(str(file))
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile(str(file))
    if start.startswith(b"BM"):
        return BmpImageFile(str(file))
    if start.startswith(b"RIFF") and start.endswith(b"WEBP"):
        return WebPImageFile(str(file))
    if start.startswith((b"II*\0", b"MM\0*")):
        return TiffImageFile(str(file))
    raise ValueError("no JPEG, PNG, BMP, WebP or TIFF")


def shown_size(image: ImageFile) -> tuple[int, int]:
    """(width, height) in pixels as OpenCV reads it: turned as its camera says."""
    width, height = image.size
    if isinstance(image, TiffImageFile):  # which Pillow turns by itself, or not, by its version
        width, height = image.tag_v2[Base.ImageWidth], image.tag_v2[Base.ImageLength]
    try:
        orientation = image.getexif().get(Base.Orientation)
    except UNREADABLE:
        orientation = None
    return (height, width) if orientation in {5, 6, 7, 8} else (width, height)


UNREADABLE = (
    *(OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError),
    *(struct.error, zlib.error, DecompressionBombError),
)
"""What Pillow's readers raise on a file that is no whole image."""


def decode_image(file: Path) -> tuple[int, int]:
    """(width, height) of an image in pixels, all of which have been decoded.

    Training and evaluation read images with OpenCV, which makes grey of what a cut file lacks, so
    Pillow decodes them here; a JPEG at an eighth of its size, for which all its data is read.

    Raises:
        one of ``UNREADABLE``: the file is missing, is no image, or is not whole.
    """
    with open_image(file) as opened:
        width, height = opened.size
        if is_damaged_jpeg(file.read_bytes()):
            raise ValueError("a JPEG that was cut or damaged")
        opened.draft(opened.mode, (width // 8, height // 8))  # JPEG alone can
        opened.load()
    if not _can_be_read(file):
        raise ValueError("OpenCV cannot read its format")
    return width, height


def read_image(file: Path) -> npt.NDArray[np.uint8]:
    """An image as H×W×3 BGR uint8, by OpenCV, as training reads it.

    Raises:
        DataError: it is missing, or no image.
    """
    # By name OpenCV 5.0 fails on a TIFF that its camera turned.
    image = _decoded(file)
    if image is None:
        raise DataError(f"cannot read image {file}")
    return np.asarray(image, np.uint8)


def _can_be_read(file: Path) -> bool:
    return cv2.haveImageReader(str(file)) if _is_unicode(file) else _decoded(file) is not None


def _is_unicode(file: Path) -> bool:
    """Whether its name is text: a name of other bytes, as old archives have them, ends the process
    in OpenCV (5.0, a segmentation fault)."""
    try:
        str(file).encode()
    except UnicodeEncodeError:
        return False
    return True


def _decoded(file: Path) -> Any:
    try:
        return cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error):  # an empty file, or more pixels than the environment allows
        return None
