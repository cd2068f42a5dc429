"""Where the loop's frames come from, whatever lies behind: one recording, or a fleet of cameras."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from oneglance.perception.mode import Live, Mode
from oneglance.streams.buffers import BlockingBuffer
from oneglance.streams.errors import UsageError
from oneglance.streams.frame import Frame
from oneglance.streams.opening import open_stream
from oneglance.streams.stream import Stream

if TYPE_CHECKING:
    from oneglance.perception.protocols import TrackerLike
    from oneglance.perception.readers.channel import Channel
    from oneglance.perception.readers.multi_source import MultiSourceReader

Source = str | os.PathLike[str] | int | Stream
"""Anything ``open_stream`` takes, or an open ``Stream``."""

STUCK_PATIENCE_S = 0.3
"""Longest wait at the end for a source that does not let go."""

DECODED_AHEAD = 2
"""Frames a recorded source is decoded ahead of the workers."""

_WAIT_S = 0.25
"""Longest blocking wait in one piece, so that Ctrl-C is heard on every platform."""


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """A frame that came from ``member`` of a fleet (None: from a recording) at ``at_s``, on the
    loop's clock; decoding it took ``decode_s``
    (None: its source does not say)."""

    frame: Frame
    decode_s: float | None
    at_s: float
    member: Channel | None = None


class SourceFailed(Exception):
    """What a source raised, kept apart from the buffers' own ``TimeoutError`` and ``Closed``."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


class FrameReader(Protocol):
    """Gives frames until there are no more."""

    @property
    def name(self) -> str:
        """What the frames come from, safe to print."""
        ...

    def start(self) -> None:
        """Begin to read."""
        ...

    def get(self, timeout_s: float) -> tuple[CapturedFrame, int]:
        """The next frame, and how many of its source were dropped since the last one.

        Raises:
            TimeoutError: none came within ``timeout_s``.
            Closed: none will come. SourceFailed: none will, because of what a source raised.
        """
        ...

    def close(self) -> None:
        """Stop reading, from any thread; a waiting ``get`` ends at once."""
        ...

    def join(self, patience_s: Callable[[], float]) -> bool:
        """Wait for the reading threads; see ``joined``."""
        ...


class RecordedReader:
    """One source, every frame of it, in order."""

    def __init__(self, stream: Stream, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._clock = clock
        self._buffer: BlockingBuffer[CapturedFrame] = BlockingBuffer(DECODED_AHEAD)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read, name="oneglance-read", daemon=True)

    @property
    def name(self) -> str:
        """See ``FrameReader``."""
        return self._stream.source

    def start(self) -> None:
        """See ``FrameReader``."""
        self._thread.start()

    def get(self, timeout_s: float) -> tuple[CapturedFrame, int]:
        """See ``FrameReader``; nothing is dropped, ever."""
        return self._buffer.get(timeout_s)

    def close(self) -> None:
        """See ``FrameReader``."""
        self._stopping.set()
        self._buffer.close()
        self._stream.close()

    def join(self, patience_s: Callable[[], float]) -> bool:
        """See ``FrameReader``; who takes so long over one frame is stuck in a disk that does not
        answer, and Ctrl-C must not wait for it."""
        return joined([self._thread], lambda: min(STUCK_PATIENCE_S, patience_s()))

    def _read(self) -> None:
        try:
            frames = iter(self._stream)
            while not self._stopping.is_set():
                started = time.perf_counter()
                frame = next(frames, None)
                if frame is None:
                    break
                # A recording is never waited for: what it does not say itself can be measured.
                decode_s = frame.decode_s
                if decode_s is None and not self._stream.live:
                    decode_s = time.perf_counter() - started
                if not self._buffer.put(CapturedFrame(frame, decode_s, self._clock())):
                    break
        except BaseException as error:  # noqa: BLE001 - carried to the caller's thread whole
            self._buffer.finish(SourceFailed(error))
        else:
            self._buffer.finish()


def joined(threads: Sequence[threading.Thread], patience_s: Callable[[], float]) -> bool:
    """Wait until all have ended; False when ``patience_s()``, read anew all the time, is over."""
    started_s = time.monotonic()
    for thread in threads:
        while thread.is_alive():
            left_s = started_s + patience_s() - time.monotonic()
            if left_s <= 0:
                return False
            thread.join(min(left_s, _WAIT_S))
    return True


def open_reader(
    source: Source | Sequence[Source],
    mode: str | Live,
    limits: Live,
    *,
    tracker: TrackerLike | None,
    clock: Callable[[], float],
) -> RecordedReader | MultiSourceReader:
    """One recording, or the live sources, as ``mode`` and the sources themselves ask.

    Raises:
        StreamError, UsageError: see ``Pipeline``.
    """
    first: Stream | None = None
    if isinstance(source, list | tuple):
        sources: list[Source] = list(source)
        if mode == Mode.RECORDED or not sources:
            raise UsageError("several sources run live: recordings run one after the other")
    else:
        one = cast("Source", source)
        sources = [one]
        if not isinstance(mode, Live) and mode != Mode.LIVE:
            first = one if isinstance(one, Stream) else open_stream(one)
            if mode == Mode.RECORDED or not first.live:
                return RecordedReader(first, clock)
    from oneglance.perception.readers.multi_source import (
        MultiSourceReader,  # brings PyAV, which not every recording needs
    )

    fleet = MultiSourceReader(limits, tracker=tracker, clock=clock)
    try:
        for each in sources:
            fleet.add(each, first=first)
    except BaseException:
        fleet.close()
        raise
    return fleet
