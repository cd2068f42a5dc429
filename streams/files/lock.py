"""One process at a time writes to a folder."""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import suppress
from pathlib import Path

from oneglance.streams.errors import SinkError
from oneglance.streams.outputs import is_at

_Folder = tuple[int, int]
"""The device and the number of a folder: the same by whatever name."""

_held: weakref.WeakSet[FolderLock] = weakref.WeakSet()
_guard = threading.Lock()


class FolderLock:
    """Of a folder, while this process writes to it; gone with the process, however it ends.

    Where the system or the file system has no locks, everybody has it. Within one process it is
    anybody's who asks, but for who asks for it ``alone``.
    """

    def __init__(self) -> None:
        self._file: int | None = None
        self._folder: _Folder | None = None
        self._close: weakref.finalize[..., FolderLock] | None = None

    def take(self, path: Path, *, alone: bool = False) -> bool:
        """Have that of ``path``, or of nothing where there is no such folder: whether there is.

        Raises:
            SinkError: another process has it, or with ``alone`` another lock of this one.
            OSError: the folder cannot be looked into.
        """
        try:
            import fcntl
        except ImportError:  # Windows
            return path.is_dir()
        self.release()
        with _guard:
            try:
                file = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            except (FileNotFoundError, NotADirectoryError):
                return False
            found = os.fstat(file)
            folder = (found.st_dev, found.st_ino)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                is_ours = any(other._folder == folder for other in _held)
                if is_ours and not alone:
                    return True
                who = "another part of this program" if is_ours else "another run"
                raise SinkError(
                    f"cannot write to {path}: {who} writes to it; wait for it, or give another "
                    "folder"
                ) from None
            except OSError:  # a file system without locks
                os.close(file)
                return True
            if not is_at(path, file):  # removed by who had it, and perhaps made anew
                os.close(file)
                return False
            self._file, self._folder = file, folder
            self._close = weakref.finalize(self, _closed, file)
            _held.add(self)
            return True

    @property
    def is_held(self) -> bool:
        """Whether there is a lock; see the class for where there is none."""
        return self._file is not None

    def release(self) -> None:
        """Let others have it."""
        with _guard:
            if self._close is not None:
                self._close()
            self._file = self._folder = self._close = None
            _held.discard(self)


def _closed(file: int) -> None:
    with suppress(OSError):
        os.close(file)


def _forked() -> None:
    """The lock is the parent's, and must not outlive it in a worker that lingers."""
    global _guard  # noqa: PLW0603 - another thread may have held it
    _guard = threading.Lock()
    for lock in list(_held):
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
