"""Files that outputs are written to: opened early, and errors that say what to do."""

from __future__ import annotations

import errno
import io
from pathlib import Path

from oneglance.streams.errors import SinkError

_DISK_FULL = "the disk is full; what was written before is valid, free some space and run again"
_STORIES = {
    errno.EISDIR: "it is a folder; name a file in it",
    errno.EACCES: "permission denied; choose a place you may write to",
    errno.EPERM: "permission denied; choose a place you may write to",
    errno.EROFS: "the file system is read-only; choose another place",
    errno.EFBIG: "it has grown to the largest size allowed here; what was written before is valid",
    errno.ENOSPC: _DISK_FULL,
    getattr(errno, "EDQUOT", errno.ENOSPC): _DISK_FULL,
}


def open_output(path: Path) -> io.FileIO:
    """Open ``path`` for writing, unbuffered; what it held before is gone.

    Raises:
        SinkError: the file cannot be written: no such folder, a folder itself, no permission,
            a read-only or full disk.
    """
    try:
        return io.FileIO(path, "w")
    except OSError as error:
        raise sink_error(path, error) from None


def sink_error(name: str | Path, error: OSError) -> SinkError:
    """What to tell the user when writing ``name`` failed with ``error``."""
    folder = Path(name).parent
    if error.errno == errno.ENOENT and not folder.exists():
        story = f"there is no folder {folder}; create it first"
    elif error.errno == errno.ENOTDIR:
        story = f"{folder} is not a folder"
    else:
        story = _STORIES.get(error.errno or 0) or (error.strerror or str(error)).lower()
    return SinkError(f"cannot write {name}: {story}")
