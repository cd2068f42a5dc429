"""Files that outputs are written to: opened early, written in full, errors that say what to do."""

from __future__ import annotations

import io
import os
import stat
import sys
import weakref
from pathlib import Path
from typing import BinaryIO

from oneglance.streams.errors import SinkError
from oneglance.streams.files.lock import Promise, in_use, lock_file, refuse_promised
from oneglance.streams.outputs import (
    check_place,
    fixed_path,
    is_at,
    open_file,
    output_error,
    real_path,
    write_whole,
)

STANDARD_OUTPUT = "-"

_open: weakref.WeakSet[io.FileIO] = weakref.WeakSet()
"""What this process writes."""

_NAMES_OF_STDOUT = frozenset((STANDARD_OUTPUT, "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"))


def is_standard_output(path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` is ``-``, another name of standard output, or the very file that it leads
    to: opening that one would empty what ``>>`` is to keep."""
    if os.fspath(path) in _NAMES_OF_STDOUT:
        return True
    try:
        assert sys.stdout is not None
        ours, theirs = os.fstat(sys.stdout.fileno()), Path(path).stat()
    except (AssertionError, OSError, ValueError):  # none, one in memory; no such file
        return False
    is_kept = stat.S_ISREG(ours.st_mode) or stat.S_ISFIFO(ours.st_mode)
    return is_kept and os.path.samestat(ours, theirs)


def standard_output() -> io.FileIO | BinaryIO:
    """Standard output, unbuffered where it is a file of the system.

    Raises:
        SinkError: there is none.
    """
    output = sys.stdout
    if output is None:
        raise SinkError("there is no standard output here: name a file instead of '-'")
    output.flush()
    try:
        return io.FileIO(output.fileno(), "w", closefd=False)
    except OSError:  # standard output replaced by something in memory
        return output.buffer


def write_standard_output(text: str) -> None:
    """Write all of ``text`` as UTF-8, whatever encoding the stream has.

    Raises:
        SinkError: there is no standard output, or it cannot be written to; a reader that is gone
            is no error.
    """
    try:
        file = standard_output()
        write_whole(file, text.encode())
        file.flush()
    except BrokenPipeError:
        return
    except OSError as error:
        raise output_error("standard output", error) from None


def open_output(path: Path, *, keep: bool = False) -> io.FileIO:
    """Open ``path`` for writing, unbuffered; what it held before is gone.

    While it is open, nobody else can have it, in this process or another; but for a file that was
    open before (``/dev/stderr``), which goes on where it ends. ``keep``: what it held stays for
    now, and the file can be read as well.

    Raises:
        SinkError: the file cannot be written: no such folder, a folder itself, no permission,
            a read-only or full disk; or another run or output writes to it, and what it holds
            stays.
    """
    try:
        return _opened(path, keep=keep)
    except OSError as error:
        raise output_error(path, error) from None


def _opened(path: Path, *, keep: bool, is_look: bool = False) -> io.FileIO:
    if (number := open_file(path)) is not None:
        return io.FileIO(os.dup(number), "w")
    _refuse_ours(path)  # not once it is open: to close it again would let other processes have it
    opener = _open_what_is_there if is_look else _open_as_it_is
    file = io.FileIO(fixed_path(path), "w+" if keep else "w", opener=opener)
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        lock_file(file, path)
        if not is_look:  # who opens it meanwhile, in another thread, need not wait for a look
            _open.add(file)
        if not keep:
            file.truncate()
    return file


def refuse_removed(file: io.FileIO, path: Path) -> None:
    """Close a file that somebody removed while we write to it, and say so: it would be written to
    the end and be nowhere. Moved, it is not lost.

    Raises:
        SinkError: it was removed.
    """
    if file.closed:
        return
    found = os.fstat(file.fileno())
    place = path if isinstance(file.name, int) else Path(os.fsdecode(file.name))
    if found.st_nlink == 0 and stat.S_ISREG(found.st_mode) and not _is_at(place, file):
        file.close()
        raise SinkError(f"{path} was removed while it was written: what it held is lost; run again")


def _is_at(path: Path, file: io.FileIO) -> bool:
    try:
        return is_at(path, file.fileno())
    except OSError:
        return False


class Promised:
    """A file that is written when an output ends, and is its alone until then; a device is
    anybody's. See ``Promise``."""

    def __init__(self, path: Path) -> None:
        """See that it can be written; it is not touched.

        Raises:
            SinkError: as ``open_output``.
        """
        check_writable(path)
        self.path = fixed_path(path)
        self._promise: Promise | None = None
        if path.is_file() or not path.exists():
            try:
                self._promise = Promise(path)
            except OSError as error:
                raise output_error(path, error) from None

    def release(self) -> None:
        """Let others have it."""
        if self._promise is not None:
            self._promise.release()


def _refuse_ours(path: Path) -> None:
    """Refuse a file that another output writes, or is to write.

    Raises:
        SinkError: one does.
        OSError: from the operating system.
    """
    if any(not each.closed and is_at(path, each.fileno()) for each in list(_open)):
        raise in_use(path)
    refuse_promised(path)


def check_writable(path: Path) -> None:
    """See that a file can be written, and leave things as they are. One that is not there is not
    made for that: to remove it again could remove what another run made in between.

    Raises:
        SinkError: as ``open_output``.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        _refuse_ours(path)
        _check_place(path)
        return
    except OSError:
        mode = 0  # opening it says what is wrong
    if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        # Whoever reads a pipe would take the check for the end of the run.
        try:
            _opened(path, keep=True, is_look=True).close()
        except FileNotFoundError:  # another run removed it in between
            _check_place(path)
        except OSError as error:
            raise output_error(path, error) from None


def _check_place(path: Path) -> None:
    try:
        check_place(real_path(path))
    except OSError as error:
        raise output_error(path, error) from None


def foxglove_beside(path: Path) -> Path:
    """Where the sink ``mcap`` puts Foxglove's messages, which rosbag2 would not play."""
    return path.with_name(f"{path.stem}.foxglove{path.suffix}")


def closed_already(name: str | os.PathLike[str]) -> SinkError:
    """That a sink takes no result any more."""
    return SinkError(
        f"{os.fspath(name)} was closed when a run ended: make a new output for another run"
    )


def _open_what_is_there(path: str, flags: int) -> int:
    return os.open(path, flags & ~(os.O_TRUNC | os.O_CREAT))


def _open_as_it_is(path: str, flags: int) -> int:
    return os.open(path, flags & ~os.O_TRUNC, 0o666)
