"""What an audit needs to see of every image: its size, its look, and which look the same."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from oneglance.models.cpus import available_cpus
from oneglance.models.training.data.images import UNREADABLE, open_image

HASH_SIDE = 16
"""The difference hash has HASH_SIDE² = 256 bits."""

SAME_LOOK_BITS = 32
"""Images whose hashes differ in no more bits look the same.

Measured on ../shared/data: copies and re-encodings differ in 0 to 32 bits, two different
frames of one road in 41 or more. A copy that was turned or recoloured is not found.
"""

GREY_LEVELS = 1.5
"""An image whose channels differ by less, of 255, is grey (infrared, black and white).

Measured: the dullest colour photograph of ../shared/data, fog on a motorway, has 1.9.
"""

_THUMBNAIL = 64
_CHUNK = 2048

Bits = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ImageStats:
    """One decoded image: (width, height) in pixels, mean RGB and contrast in 0..1, its hash.

    ``contrast`` is the standard deviation of the thumbnail's levels. ``bits`` is the difference
    hash, 256 booleans; ``mirrored`` that of the mirror image.
    """

    file: Path
    size: tuple[int, int]
    mean: tuple[float, float, float]
    contrast: float
    grey: bool
    bits: Bits
    mirrored: Bits


def look_at(file: Path) -> ImageStats | str:
    """Decode ``file`` at a small scale; a text that says why when that fails.

    A JPEG's whole data is read, so that one cut short is noticed.
    """
    try:
        with open_image(file) as opened:
            size = _upright(opened)
            small = _thumbnail(opened)
    except UNREADABLE as error:
        return f"cannot be decoded ({error})"
    pixels = np.asarray(small, np.float32)
    spread = float(np.mean(pixels.max(axis=2) - pixels.min(axis=2)))
    red, green, blue = (float(level) / 255 for level in pixels.mean(axis=(0, 1)))
    return ImageStats(
        file,
        size,
        (red, green, blue),
        float(pixels.std()) / 255,
        spread < GREY_LEVELS,
        _hash(small),
        _hash(small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    )


def _upright(image: Image.Image) -> tuple[int, int]:
    """(width, height) as shown: a phone's image may lie on its side and say so."""
    turned = image.getexif().get(274) in {5, 6, 7, 8}
    return (image.height, image.width) if turned else image.size


def jpeg_hash(data: bytes) -> Bits:
    """The hash that ``look_at`` finds once ``data``, a whole JPEG image, is a file."""
    with JpegImageFile(io.BytesIO(data)) as opened:
        return _hash(_thumbnail(opened))


def _thumbnail(opened: ImageFile) -> Image.Image:
    opened.draft("RGB", (_THUMBNAIL, _THUMBNAIL))
    return opened.convert("RGB").resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)


def _hash(small: Image.Image) -> Bits:
    levels = small.convert("L").resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX)
    rows = np.asarray(levels, np.int16)
    return (rows[:, 1:] > rows[:, :-1]).ravel()


def look_at_all(
    files: Iterable[Path], seen: Callable[[], None] = lambda: None
) -> Iterator[ImageStats | str]:
    """``look_at`` for every file, in order, on all CPUs; ``seen`` is called after each."""
    with ThreadPoolExecutor(available_cpus()) as pool:
        for stats in pool.map(look_at, files):
            seen()
            yield stats


def same_looks(
    ones: list[ImageStats], others: list[ImageStats]
) -> list[tuple[ImageStats, ImageStats, int]]:
    """For each of ``ones`` that looks like one of ``others``: both, and how many bits differ.

    The nearest of ``others`` is given, once; it may be the mirror image. Files that are the
    same path are not compared with themselves.
    """
    if not ones or not others:
        return []
    table = np.stack([p.bits for p in others]).astype(np.float32).T * 2 - 1
    places = {p.file: i for i, p in enumerate(others)}
    pairs = []
    for start in range(0, len(ones), _CHUNK):
        chunk = ones[start : start + _CHUNK]
        distance = np.minimum(*(_distance(bits, table) for bits in _both(chunk)))
        for row, one in enumerate(chunk):
            if one.file in places:
                distance[row, places[one.file]] = HASH_SIDE**2
        nearest = distance.argmin(axis=1)
        for row, one in enumerate(chunk):
            bits = int(distance[row, nearest[row]])
            if bits <= SAME_LOOK_BITS:
                pairs.append((one, others[nearest[row]], bits))
    return pairs


def _both(stats: list[ImageStats]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    return np.stack([p.bits for p in stats]), np.stack([p.mirrored for p in stats])


def _distance(bits: npt.NDArray[np.bool_], table: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    """Bits that differ, ones × others: for ±1 vectors, (length - product) / 2."""
    product = (bits.astype(np.float32) * 2 - 1) @ table
    return np.rint((HASH_SIDE**2 - product) / 2).astype(np.int32)
