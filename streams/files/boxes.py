"""The boxes that ISO media (mp4, mov) is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

HEADER = 8
_LONG_HEADER = 16


BOXES = frozenset(
    b"ftyp styp moov moof mdat mfra meta free skip wide uuid sidx ssix prft emsg udta pnot".split()
)
"""What may stand at the top level."""


def box_at(content: IO[bytes], at: int) -> tuple[bytes, int | None]:
    """The name and the length of the box that begins at that byte; None: it reaches to the end."""
    content.seek(at)
    header = content.read(_LONG_HEADER)
    length = int.from_bytes(header[:4], "big")
    if length == 1:
        length = int.from_bytes(header[8:16], "big")
    return header[4:8], length or None


def top_level_boxes(content: IO[bytes], size: int) -> Iterator[tuple[bytes, int | None]]:
    """The name of each box of a file of ``size`` bytes, and the offset at which it should end.

    The end lies beyond ``size`` where the file is truncated, and is None for a last box that says
    it reaches to the file's end, however long that is. Nothing comes after what cannot be a box.

    >>> import io
    >>> film = io.BytesIO(b"\\0\\0\\0\\x0cftypisom" b"\\0\\0\\0\\x64mdat")
    >>> list(top_level_boxes(film, 20))
    [(b'ftyp', 12), (b'mdat', 112)]
    """
    at = 0
    while at + HEADER <= size:
        name, length = box_at(content, at)
        if length is None:
            yield name, None
            return
        if length < HEADER:
            return
        at += length
        yield name, at
