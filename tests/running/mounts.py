"""Small file systems in memory, for what happens on a disk that is full or cannot be written to."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A tmpfs with ``options`` (``size=20m``, ``ro``) at ``folder``, which is made; skips the test
    where that needs rights that we have not."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        is_mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        is_mounted = False
    if not is_mounted:
        pytest.skip("mounting a file system needs root on Linux")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def mounted_exfat(folder: Path, *, size: int = 32 << 20) -> Iterator[Path]:
    """An exFAT of its own at ``folder``, which is made: it takes no links and not every name;
    skips the test where that needs rights or programs (exfatprogs, exfat-fuse) that are missing."""
    with _disk(folder, size, "mkfs.exfat", "mount.exfat-fuse") as device:
        subprocess.run(["mkfs.exfat", device], capture_output=True, check=True)
        with _mounted(["mount.exfat-fuse", device], folder):
            yield folder


@contextmanager
def mounted_ext4(folder: Path, *, size: int = 32 << 20) -> Iterator[Callable[[], None]]:
    """A file system at ``folder``, which is made, and what breaks it: from then on nothing can be
    written there, to open files neither, as after errors of the disk."""
    with _disk(folder, size, "mkfs.ext4") as device:
        subprocess.run(["mkfs.ext4", "-q", device], capture_output=True, check=True)
        with _mounted(["mount", "-o", "errors=remount-ro", device], folder):
            # It ends in an error of its own, which is the point.
            breaks = ["mount", "-o", "remount,abort", str(folder)]
            yield lambda: (subprocess.run(breaks, capture_output=True, check=False), None)[1]


@contextmanager
def _disk(folder: Path, size: int, *programs: str) -> Iterator[str]:
    if missing := [name for name in ("losetup", *programs) if shutil.which(name) is None]:
        pytest.skip(f"needs {', '.join(missing)}")
    disk = folder.with_name(f"{folder.name}.img")
    with disk.open("wb") as image:
        image.truncate(size)
    taken = ["losetup", "-f", "--show", str(disk)]
    found = subprocess.run(taken, capture_output=True, check=False, text=True)
    if found.returncode != 0:
        pytest.skip("a disk in a file needs root on Linux")
    try:
        yield found.stdout.strip()
    finally:
        subprocess.run(["losetup", "-d", found.stdout.strip()], check=True)


@contextmanager
def _mounted(command: list[str], folder: Path) -> Iterator[None]:
    folder.mkdir()
    if subprocess.run([*command, str(folder)], capture_output=True, check=False).returncode != 0:
        pytest.skip("it cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
