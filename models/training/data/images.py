"""Image files opened by Pillow's own readers.

Not by ``Image.open``: importing ultralytics replaces that by one which installs a package
from the network when it meets a file of no known format.
"""

from __future__ import annotations

from pathlib import Path

from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile


def open_image(file: Path) -> ImageFile:
    """Open a JPEG, PNG, BMP or WebP by its first bytes, whatever its name; nothing is decoded.

    Raises:
        OSError: the file is missing or cannot be read.
        SyntaxError, ValueError: it is none of these, or its header is broken.
    """
    with file.open("rb") as opened:
        start = opened.read(12)
    if start.startswith(b"\xff\xd8\xff"):
        return JpegImageFile(str(file))
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile(str(file))
    if start.startswith(b"BM"):
        return BmpImageFile(str(file))
    if start.startswith(b"RIFF") and start.endswith(b"WEBP"):
        return WebPImageFile(str(file))
    raise ValueError("no JPEG, PNG, BMP or WebP")
