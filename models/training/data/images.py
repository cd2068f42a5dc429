"""Image files opened by Pillow's own readers.

Not by ``Image.open``: importing ultralytics replaces that by one which installs a package
from the network when it meets a file of no known format.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
from PIL.BmpImagePlugin import BmpImageFile
from PIL.Image import DecompressionBombError
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from oneglance.models.training.data.text import refuse_pipe
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
    if not cv2.haveImageReader(str(file)):
        raise ValueError("OpenCV cannot read its format")
    return width, height
