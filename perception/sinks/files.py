"""Files that outputs are written to: opened early, written whole, errors that say what to do."""

from __future__ import annotations

import io
import os
import select
from pathlib import Path
from typing import BinaryIO

from oneglance.streams.outputs import output_error

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
        raise output_error(path, error) from None


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


def _open_as_it_is(path: str, flags: int) -> int:
    return os.open(path, flags & ~os.O_TRUNC, 0o666)
