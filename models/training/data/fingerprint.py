"""What a data set holds, as one number: the same wherever it lies, another once it changed."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from oneglance.models.cpus import available_cpus
from oneglance.models.training.data.datasets import Dataset
from oneglance.streams.errors import DataError
from oneglance.streams.outputs import os_reason

SPLITS = ("train", "val")


def fingerprint(dataset: Dataset) -> str:
    """A SHA-256 over names, mapping, labelled tasks, and each image's name, bytes and boxes.

    The bytes themselves, not size and date: a copy has another date, and an edited image may keep
    both. Hashing a gigabyte takes about as many seconds as decoding fifty megabytes of JPEG,
    which each epoch does with all of them. Paths do not count: a set may be moved.

    Raises:
        DataError: an image cannot be read, or a split is not there.
    """
    whole = hashlib.sha256()
    for part in _parts(dataset):
        whole.update(part.encode("utf-8", "surrogateescape") + b"\0")
    return whole.hexdigest()


def _parts(dataset: Dataset) -> Iterator[str]:
    yield repr(sorted(dataset.names.items()))
    yield repr(sorted((number, str(cls)) for number, cls in dataset.classes.items()))
    yield repr((sorted(dataset.labelled_tasks), sorted(dataset.partial_tasks)))
    yield repr(sorted((number, sorted(tasks)) for number, tasks in dataset.regions.items()))
    for split in SPLITS:
        if split not in dataset.folders:
            continue
        images = dataset.images(split)
        with ThreadPoolExecutor(available_cpus()) as threads:
            digests = threads.map(_digest, images)
            for image, digest in zip(images, digests, strict=True):
                yield f"{split} {image.name} {digest} {dataset.read_labels(image).boxes!r}"


def _digest(image: Path) -> str:
    try:
        found = image.stat()
        return _content_digest(image, found.st_size, found.st_mtime_ns, found.st_ino)
    except OSError as error:
        raise DataError(f"cannot read image {image}: {os_reason(error)}") from None


@functools.lru_cache(maxsize=1 << 20)
def _content_digest(image: Path, *_state: int) -> str:
    """Of the file's bytes; a study asks for the same images again and again."""
    with image.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
