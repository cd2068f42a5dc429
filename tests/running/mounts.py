"""Small file systems in memory, for what happens on a disk that is full or cannot be written to."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
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
    needed = ("losetup", "mkfs.exfat", "mount.exfat-fuse")
    if missing := [name for name in needed if shutil.which(name) is None]:
        pytest.skip(f"needs {', '.join(missing)}")
    disk = folder.with_name(f"{folder.name}.img")
    with disk.open("wb") as image:
        image.truncate(size)
    found = subprocess.run(
        ["losetup", "-f", "--show", disk], capture_output=True, check=False, text=True
    )
    if found.returncode != 0:
        pytest.skip("a disk in a file needs root on Linux")
    device = found.stdout.strip()
    try:
        subprocess.run(["mkfs.exfat", device], capture_output=True, check=True)
        folder.mkdir()
        if subprocess.run(["mount.exfat-fuse", device, folder], check=False).returncode != 0:
            pytest.skip("exFAT cannot be mounted here")
        try:
            yield folder
        finally:
            subprocess.run(["umount", folder], check=True)
    finally:
        subprocess.run(["losetup", "-d", device], check=True)
