"""Engines that were compiled for one machine, kept whole for the next start, with checksums.

TensorRT takes a minute or more to compile a network. What it made is kept in a folder of its own,
which appears only when it is complete; a file that changed there since is an error and never run.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oneglance.streams.errors import ModelError, SinkError, UsageError
from oneglance.streams.files.lock import FolderLock

INDEX = "index.json"
"""The SHA-256 of every other file of the folder."""

_PART_NAME = re.compile(r"\.[0-9a-f]{16}-.+\.[0-9a-f]{12}\.part", re.DOTALL)
"""What ``cached`` fills, with a name of ``cache_key``'s."""

_LONGEST_S = 86_400.0
"""Nothing is compiled for as long as that."""


def default_folder() -> Path:
    """Where engines are kept unless another place is named: in the user's cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "oneglance" / "engines"


def cache_key(content: bytes, *words: str) -> str:
    """The name of an engine's folder: of the model's ``content`` and of all that decides what is
    compiled from it."""
    return "-".join((hashlib.sha256(content).hexdigest()[:16], *words))


@contextmanager
def cached(root: Path, key: str) -> Iterator[Path]:
    """The folder in which an engine finds what it compiled, or leaves what it compiles.

    A new one is filled beside its place and renamed when the block has ended well; when it fails,
    nothing is left; what a killed process left is removed by the next that compiles. Two processes
    may do so at once: the first is kept.

    Raises:
        ModelError: a file in it is damaged, missing, or not ours.
        UsageError: the folder cannot be made or read.
    """
    folder = root / key
    if check_kept(folder):
        yield folder
        return
    lock = FolderLock()
    try:
        root.mkdir(parents=True, exist_ok=True)
        _remove_parts(root)
        partial = _make_part(root, key, lock)
    except OSError as error:
        raise UsageError(
            f"engines cannot be kept in {root}: {(error.strerror or str(error)).lower()}. Name "
            "another folder (--engine-cache)"
        ) from None
    try:
        yield partial
        content = json.dumps(_checksums(partial), indent=2)
        (partial / INDEX).write_text(content, encoding="utf-8")
        with suppress(OSError):  # another process was first
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        lock.release()


def _make_part(root: Path, key: str, lock: FolderLock) -> Path:
    """A new folder to fill, which ``lock`` holds.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        partial = root / f".{key}.{secrets.token_hex(6)}.part"
        partial.mkdir()
        if lock.take(partial):
            return partial
        # Another process took it for one that a killed process left, before it was locked.


def _remove_parts(root: Path) -> None:
    """Remove what processes left that were killed while they compiled; one at work locks its own.

    Raises:
        OSError: ``root`` cannot be read.
    """
    for each in root.iterdir():
        if not _PART_NAME.fullmatch(each.name):
            continue
        lock = FolderLock()
        with suppress(SinkError, OSError):  # at work; gone already, or not ours to open
            if lock.take(each, alone=True) and (lock.is_held or _is_old(each)):
                shutil.rmtree(each, ignore_errors=True)
        lock.release()


def _is_old(folder: Path) -> bool:
    return time.time() - folder.stat().st_mtime > _LONGEST_S


def check_kept(folder: Path) -> bool:
    """Whether an engine is kept in ``folder``.

    Raises:
        ModelError: there is, and a file of it is damaged, missing, or not ours.
    """
    if not folder.exists():
        return False
    try:
        expected = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        found = _checksums(folder)
    except (OSError, ValueError):
        expected, found = None, {}
    if expected != found:
        raise ModelError(
            f"the engine cache {folder} is damaged or was changed: remove that folder, and the "
            "engine is compiled anew"
        )
    return True


def _checksums(folder: Path) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.iterdir())
        if file.name != INDEX
    }
