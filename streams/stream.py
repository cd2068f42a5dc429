"""What a source of frames is."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    from types import TracebackType

    from oneglance.streams.frame import Frame


@runtime_checkable
class Stream(Protocol):
    """An open source of frames. Iterate it once; close it when done (it is a context manager).

    ``source`` is a name safe to print. ``live`` says that frames come at the world's pace and
    not at ours. ``frame_rate`` is the declared average rate in frames a second, None where the
    source declares none. ``frame_count`` is how many frames it says it has, None where it does
    not know; both are what the source claims, not a promise.

    Iterating ends when the source ends and raises a ``StreamError`` when it breaks: a broken
    source never looks like a finished one. ``close()`` may be called from another thread, more
    than once, and returns within one second; iteration then ends at its next frame.
    """

    @property
    def source(self) -> str: ...
    @property
    def live(self) -> bool: ...
    @property
    def frame_rate(self) -> Fraction | None: ...
    @property
    def frame_count(self) -> int | None: ...
    def __iter__(self) -> Iterator[Frame]: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
