"""Engines that were compiled for one machine, kept whole for the next start, with checksums.

TensorRT takes a minute or more to compile a network. What it made is kept in a folder of its own,
which appears only when it is complete; a file that changed there since is an error and never run.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oneglance.streams.errors import ModelError, UsageError

INDEX = "index.json"
"""The SHA-256 of every other file of the folder."""


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
    nothing is left. Two processes may do so at once: the first is kept.

    Raises:
        ModelError: a file in it is damaged, missing, or not ours.
        UsageError: the folder cannot be made or read.
    """
    folder = root / key
    if check_kept(folder):
        yield folder
        return
    partial = root / f".{key}.{secrets.token_hex(6)}.part"
    try:
        partial.mkdir(parents=True)
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
