"""One source, every frame of it, in order: nothing is dropped, ever."""

from __future__ import annotations

import math
import threading
import time
import weakref
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING

from oneglance.perception.readers.frame_reader import (
    CapturedFrame,
    Source,
    SourceFailed,
    checked_frame,
    joined,
)
from oneglance.streams import shutdown
from oneglance.streams.buffers import BlockingBuffer
from oneglance.streams.errors import SourceBroken, StreamError, UsageError
from oneglance.streams.stream import Stream

if TYPE_CHECKING:
    from oneglance.perception.health import SourceHealth
    from oneglance.perception.protocols import TrackerLike

_taken: weakref.WeakSet[Stream] = weakref.WeakSet()
"""Streams that belong to a run: another run would play what this one closes, which looks like an
end."""

DECODED_AHEAD = 2
"""Frames that a source is decoded ahead of the workers."""


def belongs(source: str) -> UsageError:
    """That a stream or a reader cannot be given to another run."""
    return UsageError(f"{source} belongs to a run already: open it again for another one")


def _take(stream: Stream) -> None:
    try:
        if stream in _taken:
            raise belongs(stream.source)
        _taken.add(stream)
    except TypeError:  # somebody's stream that has no hash or no weak references
        return


class RecordedReader:
    """A ``FrameReader`` of a recording, or of any source that shall be read as one."""

    live = False

    def __init__(self, stream: Stream, clock: Callable[[], float]) -> None:
        """``stream`` is closed by the reader. ``clock``: seconds, monotonic.

        Raises:
            UsageError: the stream belongs to a run already, which closes it.
        """
        _take(stream)
        self._stream = stream
        self._clock = clock
        self._tracker: TrackerLike | None = None
        self._buffer: BlockingBuffer[CapturedFrame] = BlockingBuffer(DECODED_AHEAD)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._read, name="oneglance-read", daemon=True)

    @property
    def name(self) -> str:
        """See ``FrameReader``."""
        return self._stream.source

    @property
    def frame_rate(self) -> Fraction | None:
        """See ``FrameReader``."""
        return self._stream.frame_rate

    @property
    def frame_count(self) -> int | None:
        """See ``FrameReader``."""
        return self._stream.frame_count

    def start(self, tracker: TrackerLike | None) -> None:
        """See ``FrameReader``.

        Raises:
            UsageError: the reader belongs to a run already.
        """
        if self._thread.ident is not None:
            raise belongs(self.name)
        self._tracker = None if tracker is None else tracker.fresh()
        self._thread.start()

    def get(self, timeout_s: float) -> CapturedFrame:
        """See ``FrameReader``."""
        return self._buffer.get(timeout_s)

    def tracker(self, captured: CapturedFrame) -> TrackerLike | None:
        """See ``FrameReader``."""
        del captured
        return self._tracker

    def wants(self, captured: CapturedFrame) -> bool:
        """See ``FrameReader``."""
        del captured
        return True

    def delivered(self, captured: CapturedFrame) -> None:
        """See ``FrameReader``."""

    def skipped(self, captured: CapturedFrame) -> None:
        """See ``FrameReader``."""

    def failed(self, captured: CapturedFrame, error: StreamError) -> None:
        """See ``FrameReader``."""
        del captured
        raise error

    def check_silence(self) -> None:
        """See ``FrameReader``."""

    def health(self) -> tuple[SourceHealth, ...]:
        """See ``FrameReader``."""
        return ()

    def add(self, source: Source) -> str:
        """See ``FrameReader``."""
        del source
        raise UsageError("a recorded run has one source: nothing can be added")

    def remove(self, name: str) -> None:
        """See ``FrameReader``."""
        del name
        raise UsageError("a recorded run has one source: close the pipeline to stop it")

    def close(self) -> None:
        """See ``FrameReader``."""
        self._closed.set()
        self._buffer.close()
        self._stream.close()

    def join(self, patience_s: Callable[[], float]) -> bool:
        """See ``FrameReader``; who takes so long over one frame is stuck in a disk that does not
        answer, and Ctrl-C must not wait for it."""
        return joined([self._thread], lambda: min(shutdown.SOURCE_S, patience_s()))

    def _read(self) -> None:
        try:
            frames = iter(self._stream)
            while not self._closed.is_set():
                started = time.perf_counter()
                given = next(frames, None)
                if given is None:
                    break
                frame = checked_frame(given, self.name)
                if not math.isfinite(frame.timestamp_s):  # a live one has its arrival
                    raise SourceBroken(
                        f"{self.name} broke: the time of frame {frame.index} is no number "
                        f"({frame.timestamp_s})"
                    )
                decode_s = frame.decode_s
                if decode_s is None and not self._stream.live:
                    # Nobody waits for a recording: what it does not say can be measured.
                    decode_s = time.perf_counter() - started
                if not self._buffer.put(CapturedFrame(frame, self._clock(), decode_s=decode_s)):
                    break
        except BaseException as error:  # noqa: BLE001 - carried to the caller's thread as it is
            self._buffer.finish(SourceFailed(error))
        else:
            self._buffer.finish()
