"""Decoded images at training size in one file, so that an epoch decodes nothing.

``images-FINGERPRINT.bin`` holds the pixels, uint8 BGR, one image after another; a ``.json`` beside
it, written last, says where each lies. The fingerprint is of the images' bytes and the size, so
another training of the same images shares the file and changed images get another. The file is
mapped, not read: processes share it, and the system keeps in memory what it has room for.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from oneglance.models.cpus import available_cpus
from oneglance.models.training.data.images import open_image
from oneglance.streams.errors import DataError
from oneglance.streams.outputs import alone, os_reason, replace_file

Image = npt.NDArray[np.uint8]

_AT_ONCE = 64
"""Images decoded ahead of the one that is written."""

_logger = logging.getLogger(__name__)


class _Place(NamedTuple):
    """Where an image lies in the file, its size there and of its own, and its checksum."""

    offset: int
    height: int
    width: int
    own_height: int
    own_width: int
    crc: int

    @property
    def size(self) -> int:
        return self.height * self.width * 3


def read_at(file: Path, side: int) -> tuple[Image, tuple[int, int]]:
    """The image H×W×3 BGR with its long side resized to ``side`` pixels, and its own (H, W).

    As ultralytics' ``load_image`` does it, to the bit.

    Raises:
        DataError: it cannot be read.
    """
    own = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_COLOR)
    if own is None:
        raise DataError(f"cannot read image {file}")
    height, width = own.shape[:2]
    ratio = side / max(height, width)
    if ratio != 1:
        size = min(math.ceil(width * ratio), side), min(math.ceil(height * ratio), side)
        own = cv2.resize(own, size, interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(own, np.uint8), (height, width)


class ImageCache:
    """The images ``files`` decoded, long side ``side`` pixels; made in ``folder`` when not there.

    A file that is not whole is made again; an image in it that does not match its checksum is
    read from its source. Both are logged, nothing is lost.

    Raises:
        DataError: an image cannot be read, or the cache cannot be written.
    """

    def __init__(self, folder: Path, files: Sequence[Path], side: int) -> None:
        self._files, self._side = tuple(files), side
        with ThreadPoolExecutor(available_cpus()) as threads:
            self._digests = list(threads.map(_digest, files))
        name = hashlib.sha256(f"{side} {sorted(set(self._digests))}".encode()).hexdigest()[:16]
        self.file = folder / f"images-{name}.bin"
        places = self._read_index()
        if places is None and self.file.with_suffix(".json").is_file():
            _logger.warning("%s is not whole: made again", self.file)
        self._places: Mapping[str, _Place] = self._make() if places is None else places
        self._pixels: np.memmap[Any, np.dtype[np.uint8]] | None = None

    def __len__(self) -> int:
        return len(self._files)

    def image(self, index: int) -> tuple[Image, tuple[int, int], tuple[int, int]]:
        """A copy of the image, its own (H, W) and its (H, W) here."""
        place = self._places[self._digests[index]]
        if self._pixels is None:  # in each process its own
            self._pixels = np.memmap(self.file, np.uint8, "r")
        flat = self._pixels[place.offset : place.offset + place.size]
        if zlib.crc32(flat.data) != place.crc:
            _logger.warning("%s: image %d is damaged: read from its source", self.file, index)
            image, own = read_at(self._files[index], self._side)
            return image, own, image.shape[:2]
        shape = place.height, place.width
        return np.array(flat).reshape(*shape, 3), (place.own_height, place.own_width), shape

    def __getstate__(self) -> dict[str, Any]:
        """Without the mapping, which would be copied whole."""
        return self.__dict__ | {"_pixels": None}

    def _read_index(self) -> dict[str, _Place] | None:
        index = self.file.with_suffix(".json")
        if not index.is_file():
            return None
        try:
            content = json.loads(index.read_text(encoding="utf-8"))
            places = {digest: _Place(*numbers) for digest, numbers in content.items()}
            whole = places.keys() == set(self._digests)
            if whole and self.file.stat().st_size == sum(place.size for place in places.values()):
                return places
        except (OSError, ValueError, TypeError, AttributeError):
            pass
        return None

    def _make(self) -> dict[str, _Place]:
        files = dict(zip(self._digests, self._files, strict=True))
        part = self.file.with_suffix(".part")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with alone(part):
                if (made := self._read_index()) is not None:
                    return made  # by another training, for which we waited
                self._check_room(files.values())
                with part.open("wb") as out:
                    places = dict(self._decode(files, out))
                    out.flush()
                    os.fsync(out.fileno())
                part.replace(self.file)
                replace_file(self.file.with_suffix(".json"), json.dumps(places).encode())
        except OSError as error:
            raise DataError(f"cannot write {self.file}: {os_reason(error)}") from None
        return places

    def _decode(self, files: Mapping[str, Path], out: BinaryIO) -> Iterator[tuple[str, _Place]]:
        digests, offset = list(files), 0
        with ThreadPoolExecutor(available_cpus()) as threads:
            for first in range(0, len(digests), _AT_ONCE):
                some = digests[first : first + _AT_ONCE]
                read = threads.map(lambda digest: read_at(files[digest], self._side), some)
                for digest, (image, own) in zip(some, read, strict=True):
                    out.write(image.data)
                    height, width = image.shape[:2]
                    place = _Place(offset, height, width, *own, zlib.crc32(image.data))
                    yield digest, place
                    offset += place.size

    def _check_room(self, files: Iterable[Path]) -> None:
        needed = 0
        for file in files:
            try:
                with open_image(file) as opened:
                    width, height = opened.size
            except (OSError, SyntaxError, ValueError):
                raise DataError(f"cannot read image {file}") from None
            ratio = self._side / max(width, height)
            needed += 3 * math.ceil(width * ratio) * math.ceil(height * ratio)
        free = shutil.disk_usage(self.file.parent).free
        if needed > free:
            raise DataError(
                f"{self.file.parent} has {free / 1e9:.1f} GB free, the decoded images take "
                f"{needed / 1e9:.1f} GB: give another folder, or --cache off"
            )


def _digest(file: Path) -> str:
    try:
        return hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
    except OSError as error:
        raise DataError(f"cannot read image {file}: {error.strerror}") from None
