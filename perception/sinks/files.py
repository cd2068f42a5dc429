"""Files that outputs are written to: opened early, written whole, errors that say what to do."""

from __future__ import annotations

import errno
import io
import os
import select
from pathlib import Path
from typing import BinaryIO

from oneglance.streams.errors import SinkError

_DISK_FULL = "the disk is full; free some space and run again"
_STORIES = {
    errno.EISDIR: "it is a folder; name a file in it",
    errno.EACCES: "permission denied; choose a place you may write to",
    errno.EPERM: "permission denied; choose a place you may write to",
    errno.EROFS: "the file system is read-only; choose another place",
    errno.EFBIG: "it has grown to the largest size a file may have here",
    errno.ENOSPC: _DISK_FULL,
    getattr(errno, "EDQUOT", errno.ENOSPC): _DISK_FULL,
}
_FULL_PIPE_WAIT_S = 1.0


def open_output(path: Path, *, keep: bool = False) -> io.FileIO:
    """Open ``path`` for writing, unbuffered; what it held before is gone.

    ``keep``: what it held stays for now, and the file can be read as well.

    Raises:
        SinkError: the file cannot be written: no such folder, a folder itself, no permission,
            a read-only or full disk.
    """
    try:
        return io.FileIO(path, "w+", opener=_open_as_it_is) if keep else io.FileIO(path, "w")
    except OSError as error:
        raise sink_error(path, error) from None


def write_whole(file: io.FileIO | BinaryIO, data: bytes) -> None:
    """Write all of ``data``, where a plain ``write`` may stop half way without an error.

    Raises:
        OSError: from the operating system; a part may have been written.
    """
    rest = memoryview(data)
    while rest:
        written = file.write(rest)
        if written is None:  # a non-blocking pipe that is full
            select.select([], [file], [], _FULL_PIPE_WAIT_S)
        else:
            rest = rest[written:]


def sink_error(name: str | Path, error: OSError, *, kept: str = "") -> SinkError:
    """What to tell the user when writing ``name`` failed with ``error``; ``kept``: what is left."""
    folder = Path(name).parent
    if error.errno == errno.ENOENT and not folder.exists():
        story = f"there is no folder {folder}; create it first"
    elif error.errno == errno.ENOTDIR:
        story = f"{folder} is not a folder"
    else:
        story = _STORIES.get(error.errno or 0) or (error.strerror or str(error)).lower()
    return SinkError(f"cannot write {name}: {story}" + (f". {kept}" if kept else ""))


def _open_as_it_is(path: str, flags: int) -> int:
    return os.open(path, flags & ~os.O_TRUNC, 0o666)
