"""What image files hold: animations that play, what is not read of others, less than they say.

PNG: https://www.w3.org/TR/png-3/#5Chunk-layout.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

_MOVES = frozenset((".avif", ".png"))
"""Suffixes of images whose animations libav plays."""

_PNG = b"\x89PNG\r\n\x1a\n"
PNG_END = b"\0\0\0\0IEND\xaeB\x60\x82"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Of a PNG, by its colour type."""

_MOST_DEFLATED = 1032
"""Bytes that one deflated byte becomes at most (https://zlib.net/zlib_tech.html)."""

_HEAD = 4096
_ANIMATED_WEBP = 0x02


def is_animation(file: Path) -> bool:
    """Whether an AVIF is a sequence, by its brand, or a PNG is an APNG.

    False of what cannot be read, and of a pipe, which would block for ever.
    """
    if file.suffix.lower() not in _MOVES or not file.is_file():
        return False
    try:
        with file.open("rb") as content:
            head = content.read(_HEAD)
    except OSError:
        return False
    return head[4:12] == b"ftypavis" or (head.startswith(_PNG) and _has_frames(head))


def lacks_end(file: Path) -> bool:
    """Whether a PNG ends before the chunk that it should end with, in one or between two."""
    try:
        with file.open("rb") as content:
            size = content.seek(0, os.SEEK_END)
            at = len(_PNG)
            while at + 8 <= size:
                content.seek(at)
                length, kind = struct.unpack(">I4s", content.read(8))
                at += length + 12
                if kind == b"IEND":
                    return bool(at > size)
    except OSError:
        return False
    return True


def is_damaged_png(content: bytes) -> bool:
    """Whether a chunk of this PNG is longer than what is there, its end is missing, or its data
    can never fill an image of its size; False for what is no PNG.

    OpenCV believes such lengths and takes gigabytes for them; check sums it looks at itself.
    """
    if not content.startswith(_PNG):
        return False
    at, needed, data = len(_PNG), 0, 0
    while at + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        if at + 12 + length > len(content):
            return True
        if kind == b"IHDR" and length >= 10:
            width, height, bits, colour = struct.unpack_from(">IIBB", content, at + 8)
            needed = height * (width * bits * _CHANNELS.get(colour, 1) // 8)
        elif kind == b"IDAT":
            data += length
        elif kind == b"IEND":
            return needed > data * _MOST_DEFLATED
        at += 12 + length
    return True


def others_left_out(content: bytes) -> str | None:
    """What OpenCV leaves out after the first image of an animated WebP or of a TIFF with pages,
    as the end of a sentence; None where there is one image."""
    if content[8:16] == b"WEBPVP8X" and content[20:21] and content[20] & _ANIMATED_WEBP:
        return "is an animation, of which only the first image is read: convert it to GIF or MP4"
    if content[:4] in {b"II*\0", b"MM\0*"} and _has_pages(content):
        return "has several pages, of which only the first is read: split it (tiffsplit)"
    return None


def _has_frames(head: bytes) -> bool:
    """Whether a PNG's animation control (acTL) stands before its image data, as it must."""
    at = len(_PNG)
    while at + 8 <= len(head):
        length, kind = struct.unpack_from(">I4s", head, at)
        if kind in {b"acTL", b"IDAT"}:
            return bool(kind == b"acTL")
        at += length + 12
    return False


def _has_pages(content: bytes) -> bool:
    """Whether a TIFF's first directory leads to another one, which is no reduced copy of it."""
    order = "<" if content[:2] == b"II" else ">"
    try:
        (first,) = struct.unpack_from(f"{order}I", content, 4)
        following, _ = _directory(content, first, order)
        return following != 0 and not _directory(content, following, order)[1]
    except struct.error:
        return False


def _directory(content: bytes, at: int, order: str) -> tuple[int, bool]:
    """Where the next directory of a TIFF begins (0: there is none), and whether this one is of a
    thumbnail or a mask (NewSubfileType)."""
    (count,) = struct.unpack_from(f"{order}H", content, at)
    is_reduced = False
    for number in range(count):
        tag, _, _, value = struct.unpack_from(f"{order}HHII", content, at + 2 + 12 * number)
        is_reduced |= tag == 254 and bool(value & 0b101)
    (following,) = struct.unpack_from(f"{order}I", content, at + 2 + 12 * count)
    return following, is_reduced
