"""Every error oneglance raises on purpose.

    OneglanceError
    ├── UsageError           an argument or option that cannot be used as given
    ├── StreamError          where frames come from
    │   ├── SourceNotFound   no such file, folder, device or host
    │   ├── SourceUnreadable there, but not something we can play
    │   ├── SourceBroken     played, then broke in the middle (frames before it are good)
    │   └── SourceStalled    gave no frame within its time-out
    ├── ModelError           a file that is not a model we can run, or a wrong name
    ├── DataError            a data set that cannot be used as it is
    └── SinkError            an output that cannot be written

A message says what, where and what to do, and never holds a credential. The command line
prints it and exits 2. Anything raised that is not in this tree is a bug of ours (exit 1).

The tree lives in the lowest room because every other room may import downwards.
"""

import errno
from enum import StrEnum


class Reason(StrEnum):
    """Why a source went from one state to another, in words fit to print."""

    PLAYING = "frames come"
    AUTH = "auth failed"
    NOT_FOUND = "not found"
    REFUSED = "connection refused"
    UNREACHABLE = "unreachable"
    TIMEOUT = "time-out"
    TLS = "TLS failed"
    CODEC = "no video that can be decoded"
    SERVER = "server error"
    LOST = "connection lost"
    SILENT = "silent"
    FROZEN = "frozen image"
    ENDED = "ended"
    CLOSED = "closed by us"
    UNKNOWN = "unknown"


class OneglanceError(Exception):
    """Base of everything raised on purpose; its message is fit to show to a user."""


class UsageError(OneglanceError):
    """An argument or option cannot be used as given."""


class StreamError(OneglanceError):
    """Base of everything that goes wrong with a source of frames.

    ``reason``: what kind of failure it is, for programs; ``UNKNOWN`` where nothing proves one.
    """

    def __init__(self, message: str = "", *, reason: Reason = Reason.UNKNOWN) -> None:
        super().__init__(message)
        self.reason = reason


class SourceNotFound(StreamError):
    """There is no such file, folder, device or host."""


class SourceUnreadable(StreamError):
    """The source exists but cannot be played: wrong format, no video in it, refused."""


class SourceBroken(StreamError):
    """The source played and then broke; every frame delivered before is good."""


class SourceStalled(StreamError):
    """The source gave no frame within its time-out."""


class ModelError(OneglanceError):
    """A model cannot be found, is not ours, or cannot run as asked."""


class DataError(OneglanceError):
    """A data set cannot be used as it is."""


class SinkError(OneglanceError):
    """An output cannot be written."""


def cause(error: Exception) -> str:
    """What the system or libav calls an error, without the file or URL that its message quotes."""
    return str(getattr(error, "strerror", None) or type(error).__name__).lower()


_DISK_FULL = "the disk is full; free some space and run again"
OS_REASONS = {
    errno.EISDIR: "it is a folder; name a file in it",
    errno.EACCES: "permission denied; choose a place you may write to",
    errno.EPERM: "permission denied; choose a place you may write to",
    errno.EROFS: "the file system is read-only; choose another place",
    errno.EFBIG: "it has grown to the largest size a file may have here",
    errno.ENAMETOOLONG: "the name is longer than the file system allows; choose a shorter one",
    errno.ELOOP: "its links lead in a circle",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n)",
    errno.ENOSPC: _DISK_FULL,
    getattr(errno, "EDQUOT", errno.ENOSPC): _DISK_FULL,
}
"""What an error of the operating system means and what to do, by its number."""
