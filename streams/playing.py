"""The life of a source: opened, played once, closed by whichever thread likes to."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from oneglance.streams.errors import UsageError

if TYPE_CHECKING:
    from oneglance.streams.frame import Frame


def played_already(source: str) -> UsageError:
    """That a source cannot be iterated a second time."""
    return UsageError(f"{source} was played already: open it again")


class Process:
    """The process in which something was begun. What it holds (threads, locks, the place in a
    file) is not a forked child's to go on with."""

    def __init__(self) -> None:
        self._number = os.getpid()

    @property
    def is_this(self) -> bool:
        """False in a forked child."""
        return os.getpid() == self._number

    def check(self, what: str) -> None:
        """Refuse to go on with ``what`` in a forked child.

        Raises:
            UsageError: this is one.
        """
        if not self.is_this:
            raise UsageError(
                f"{what} was begun before this process was forked: open it anew in this one"
            )


class Closing:
    """A context manager that calls ``close()`` when it is left."""

    def close(self) -> None:
        """End iteration and free what is held."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class PlayedOnce(Closing):
    """A source whose frames come once, from what it holds open.

    What it holds belongs to whichever thread iterates: ``close()`` from another only asks, and
    iteration ends at its next frame. A source that nobody iterates is freed at once.
    """

    source: str

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._iterating = self._played = self._closed = False

    def __iter__(self) -> Generator[Frame]:
        """Frames until the source ends; see ``Stream``.

        Raises:
            StreamError: the source broke.
            UsageError: it has been iterated before, or begun in the process that forked this one.
        """
        with self._lock:
            if self._played:
                raise played_already(self.source)
            if self._closed:
                return
            self._iterating = self._played = True
        process = Process()
        try:
            for frame in self._frames():
                if self._closed:
                    return
                yield frame
                process.check(self.source)
        finally:
            if process.is_this:  # else the parent reads on, and its decoder's threads are not here
                self._end()

    def _end(self) -> None:
        with self._lock:
            self._iterating, self._closed = False, True
        self._free()

    def close(self) -> None:
        """End iteration at its next frame; free the source."""
        with self._lock:
            already, self._closed = self._closed, True
            if already or self._iterating:
                return
        self._release()

    def _frames(self) -> Iterator[Frame]:
        """The frames; raises what the source broke by, after the last of them."""
        raise NotImplementedError

    def _free(self) -> None:
        """Free what is held, in the thread that iterated."""
        raise NotImplementedError

    def _release(self) -> None:
        """Free what is held by a source that nobody iterates."""
        self._free()
