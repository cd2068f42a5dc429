"""One process at a time writes to a file, or to a folder."""

from __future__ import annotations

import errno
import io
import os
import threading
import weakref
from contextlib import suppress
from pathlib import Path

from oneglance.streams.errors import SinkError
from oneglance.streams.outputs import (
    beside_file,
    fixed_path,
    is_at,
    is_part,
    real_path,
    same_file,
)

_Folder = tuple[int, int]
"""The device and the number of a folder: the same by whatever name."""

_held: weakref.WeakSet[FolderLock] = weakref.WeakSet()
_guard = threading.Lock()
_promises: weakref.WeakSet[Promise] = weakref.WeakSet()
"""What this process writes later."""


class FolderLock:
    """Of a folder, while this process writes to it; gone with the process, however it ends.

    Where the system or the file system has no locks, everybody has it. Within one process it is
    anybody's who asks, but for who asks for it ``alone``.
    """

    def __init__(self) -> None:
        self._file: int | None = None
        self._folder: _Folder | None = None
        self._close: weakref.finalize[..., FolderLock] | None = None

    def take(self, path: Path, *, alone: bool = False, name: Path | None = None) -> bool:
        """Have that of ``path``, or of nothing where there is no such folder: whether there is.
        ``name``: what errors call it.

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
                    f"cannot write to {name or path}: {who} writes to it; wait for it, or give "
                    "another folder"
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


class Promise:
    """A file that is written later and is its alone until then, in this process and among others.
    A file beside it says so, which is removed again; what is there is locked too.
    """

    def __init__(self, path: Path) -> None:
        """It is not touched.

        Raises:
            SinkError: another run or output is to write it, or writes to it.
            OSError: from the operating system.
        """
        self.path = fixed_path(path)
        _refuse_ours(path)
        beside, files = _promise(path)
        # A forked child ends while the promise holds.
        self._let_go = weakref.finalize(self, _break_promise, beside, files, os.getpid())
        _promises.add(self)

    def release(self) -> None:
        """Let others have it."""
        _promises.discard(self)
        self._let_go()

    def is_at(self, path: Path) -> bool:
        """Whether ``path`` is this file, which need not be there yet."""
        return real_path(path) == real_path(self.path) or same_file(path, self.path)


def refuse_promised(path: Path, name: Path | None = None) -> None:
    """Refuse a file, or a folder of its name, that a ``Promise`` keeps. ``name``: what errors call
    it.

    Raises:
        SinkError: one does.
        OSError: from the operating system.
    """
    name = name or path
    _refuse_ours(path, name)  # not once it is open: to close it again would break ours
    if real_path(path).name:  # the root has none
        _take_abandoned(beside_file(path), name)


def refuse_promised_in(folder: Path, name: Path) -> None:
    """Refuse a folder in which a ``Promise`` keeps a file. ``name``: what errors call it.

    Raises:
        SinkError: one does.
        OSError: from the operating system.
    """
    place = real_path(folder)
    for promise in list(_promises):
        if real_path(promise.path).parent == place:
            _refuse_ours(promise.path, name / promise.path.name)
    for entry in folder.iterdir():
        if is_part(entry):
            _take_abandoned(entry, name, keep=True)


def lock_file(file: io.FileIO, name: Path) -> None:
    """Have an open file alone among processes, until any opening of it in this one is closed; it is
    closed where another process has it.

    Raises:
        SinkError: another process has it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        # Of the process, not of the open file: a forked child that lingers does not keep it.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in {errno.EACCES, errno.EAGAIN}:  # a file system without locks
            return
        file.close()
        raise SinkError(
            f"cannot write {name}: another run writes to it; wait for it, or give another name"
        ) from None


def in_use(name: Path) -> SinkError:
    """That another output of this process writes to a file."""
    return SinkError(
        f"cannot write {name}: another output of this program writes to it; close that one first, "
        "or give another name"
    )


def _refuse_ours(path: Path, name: Path | None = None) -> None:
    if any(promise.is_at(path) for promise in list(_promises)):
        raise in_use(name or path)


def _promise(path: Path) -> tuple[Path, list[io.FileIO]]:
    """The file beside ``path``, and what is open and locked for as long as the promise holds.

    Raises:
        SinkError: another run writes to it.
        OSError: from the operating system.
    """
    beside = beside_file(path)
    while True:
        files = [io.FileIO(beside, "a+")]
        lock_file(files[0], path)
        if is_at(beside, files[0].fileno()):
            break
        files[0].close()  # removed by who had it
    try:
        if path.exists():
            files.append(io.FileIO(path, "r+"))
            lock_file(files[1], path)
    except BaseException:
        _break_promise(beside, files, os.getpid())
        raise
    return beside, files


def _break_promise(beside: Path, files: list[io.FileIO], process: int) -> None:
    if process == os.getpid():
        with suppress(OSError):
            beside.unlink()
    for file in files:
        file.close()


def _take_abandoned(beside: Path, name: Path, *, keep: bool = False) -> None:
    """Remove a file that a killed run left beside the one it was to write, unless ``keep``.

    Raises:
        SinkError: no killed one.
        OSError: from the operating system.
    """
    try:
        file = io.FileIO(beside, "r+")
    except OSError:  # there is none
        return
    lock_file(file, name)
    if not keep:
        with suppress(OSError):
            beside.unlink()
    file.close()


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
