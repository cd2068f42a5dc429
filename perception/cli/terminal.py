"""Standard output and standard error, which may be closed, full or of another encoding: a
failure to write there never fails a run."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any, TextIO

from rich.console import Console


class _Standard:
    """What this command writes to standard output."""

    is_taken = False


def take_standard_output(*, taken: bool = True) -> None:
    """Figures are written there: what is for people goes to standard error in this command."""
    _Standard.is_taken = taken


class Terminal(Console):
    """A console that prints nothing more once its stream is broken."""

    def __init__(self, *, stderr: bool = False, **how: Any) -> None:
        """``stderr``: print there; also where standard output is taken."""
        super().__init__(stderr=stderr or _Standard.is_taken, **how)

    def print(self, *objects: Any, **how: Any) -> None:
        """As rich does."""
        try:
            super().print(*objects, **how)
        except (OSError, ValueError) as error:
            if isinstance(error, ValueError) and "closed file" not in str(error):
                raise
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        """Print nothing more, also not when the process ends."""
        self.quiet = True
        _let_go(sys.stderr if self.stderr else sys.stdout)


def prepare_streams() -> None:
    """Make the standard streams safe to write to, before anything opens a file.

    A character that the encoding lacks becomes a question mark. The numbers of closed streams are
    taken: the next file that is opened would get one, and warnings would be written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def flush_streams() -> None:
    """Write what is left; a closed pipe is no failure."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except (OSError, ValueError):
                _let_go(stream)


def _let_go(stream: TextIO | None) -> None:
    """What is still in its buffer goes nowhere."""
    if stream is None:
        return
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
