"""Where the loop's frames come from, whatever lies behind: what a reader does for the loop."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from oneglance.streams import shutdown
from oneglance.streams.errors import SourceBroken
from oneglance.streams.frame import Frame
from oneglance.streams.stream import Stream

if TYPE_CHECKING:
    from oneglance.perception.health import SourceHealth
    from oneglance.perception.mode import Alert
    from oneglance.perception.protocols import TrackerLike
    from oneglance.streams.errors import StreamError

Source = str | os.PathLike[str] | int | Stream
"""Anything ``open_stream`` takes, or an open ``Stream``."""


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """A frame as a reader hands it out; times are on the run's clock.

    ``arrival_s``: when it was there to be had. ``captured_s``: when its image was captured; None
    for a recording, whose results have no age. ``decode_s``: how long it took to decode; None:
    its source does not say. ``dropped``: frames of its source dropped since the last one handed
    out. ``channel``: the reader's own note of where it came from.
    """

    frame: Frame
    arrival_s: float
    captured_s: float | None = None
    decode_s: float | None = None
    dropped: int = 0
    channel: object = None


class SourceFailed(Exception):
    """What a source raised, kept apart from the buffers' own ``TimeoutError`` and ``Closed``."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


@runtime_checkable
class FrameReader(Protocol):
    """Gives frames until there are no more, and learns what became of them.

    ``name``: what the frames come from, safe to print. ``live``: newest wins, and results have an
    age; otherwise every frame is handed out, in order. ``frame_rate`` and ``frame_count``: what a
    single source claims, None where it does not, or where there are several.

    Everything may be called from any thread.
    """

    @property
    def name(self) -> str: ...
    @property
    def live(self) -> bool: ...
    @property
    def frame_rate(self) -> Fraction | None: ...
    @property
    def frame_count(self) -> int | None: ...

    def start(self, tracker: TrackerLike | None) -> None:
        """Begin to read; every source gets a fresh ``tracker`` of its own."""
        ...

    def get(self, timeout_s: float) -> CapturedFrame:
        """The next frame.

        Raises:
            TimeoutError: none came within ``timeout_s``.
            Closed: none will come. SourceFailed: none will, because of what a source raised.
        """
        ...

    def tracker(self, captured: CapturedFrame) -> TrackerLike | None:
        """The tracker that has seen the earlier frames of the same source."""
        ...

    def wants(self, captured: CapturedFrame) -> bool:
        """Whether a result of it is still asked for: its source was not removed meanwhile."""
        ...

    def delivered(self, captured: CapturedFrame) -> Alert | None:
        """A result of it came out; an alert if somebody should look at its source."""
        ...

    def skipped(self, captured: CapturedFrame) -> None:
        """No result of it is asked for: the network looks at every Nth frame only."""
        ...

    def failed(self, captured: CapturedFrame, error: StreamError) -> None:
        """Its image could not be made. A reader of one source raises ``error``; one of several
        goes on with the others, and raises it when they have ended too."""
        ...

    def check_silence(self) -> None:
        """Notice sources that say nothing; to be called now and then."""
        ...

    def health(self) -> tuple[SourceHealth, ...]:
        """How each source is doing; a recorded source has none."""
        ...

    def add(self, source: Source) -> str:
        """Read one more source, from now on; its name.

        Raises:
            StreamError: it cannot be opened (a file; cameras may come later).
            UsageError: there is one of that name, the run is over, or is recorded.
        """
        ...

    def remove(self, name: str) -> None:
        """Stop reading a source; no result of it is wanted any more.

        Raises:
            UsageError: there is none of that name, or the run is recorded.
        """
        ...

    def close(self) -> None:
        """Stop reading; a waiting ``get`` ends at once."""
        ...

    def join(self, patience_s: Callable[[], float]) -> bool:
        """Wait for the reading threads; see ``joined``. Then every frame is accounted for."""
        ...


def checked_frame(given: object, source: str) -> Frame:
    """What a stream gave, which may be anybody's.

    Raises:
        SourceBroken: it is no ``Frame``.
    """
    if not isinstance(given, Frame):
        kind = type(given).__name__
        raise SourceBroken(
            f"{source} gave a {kind}, which is no Frame: see oneglance.streams.Frame"
        )
    return given


def joined(threads: Sequence[threading.Thread], patience_s: Callable[[], float]) -> bool:
    """Wait until all have ended; False when ``patience_s()``, read anew all the time, is over."""
    started_s = time.monotonic()
    for thread in threads:
        while thread.is_alive():
            left_s = started_s + patience_s() - time.monotonic()
            if left_s <= 0:
                return False
            thread.join(min(left_s, shutdown.PIECE_S))
    return True
