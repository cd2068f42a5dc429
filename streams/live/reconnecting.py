"""A live source that comes back: whatever happens to its connection, frames go on.

One connection after the other is opened and played; the states it goes through, and why, are
events (``states``), and how long to wait in between is ``backoff``'s. Only ``close()``, or the
end of a recording that turned out to lie behind the address, ends iteration.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Generator
from fractions import Fraction

from oneglance.streams.buffers import Closed
from oneglance.streams.decoding.hardware import hardware
from oneglance.streams.decoding.source import AvSource
from oneglance.streams.errors import (
    Reason,
    SourceBroken,
    SourceStalled,
    StreamError,
)
from oneglance.streams.frame import Frame
from oneglance.streams.live.backoff import Attempts, Backoff
from oneglance.streams.live.network import NetworkStream
from oneglance.streams.live.repetition import Repetition
from oneglance.streams.live.states import Event
from oneglance.streams.live.status import SourceMonitor, SourceStatus
from oneglance.streams.live.threaded import Answer
from oneglance.streams.opening import kind_of, open_stream
from oneglance.streams.options import ConnectOptions
from oneglance.streams.pacing import pacer_for
from oneglance.streams.playing import Closing, played_already
from oneglance.streams.redaction import redact_address
from oneglance.streams.stream import Stream
from oneglance.streams.timestamps import strictly_after

OPENING_S = 300.0
"""Longest wait for a source that does not keep its own time-out when it is opened."""


class ReconnectingStream(Closing):
    """A ``Stream`` that survives the loss of its source.

    Frames of all connections are counted on (``index``) and their times never run back. Size,
    rate and coding may change from one connection to the next. A recording behind the address
    is played once, in real time. Frames of an image that has not changed for long
    (``FreezeDetector``) are withheld and not passed off as new.

    ``status()`` and ``close()`` may be called from any thread.
    """

    live = True
    frame_count: int | None = None

    def __init__(
        self,
        open_: Callable[[], Stream],
        monitor: SourceMonitor,
        *,
        source: str,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is opened before iteration; ``open_with_reconnect`` is the usual door.

        ``open_``: opens the source anew, or raises the ``StreamError`` that keeps it from doing
        so; it and what it opens keep time-outs of their own. ``monitor``: keeps the source's
        status and reports its changes. ``source``: a name safe to print.
        """
        self.source = source
        self._open = open_
        self._monitor = monitor
        self._attempts = Attempts(backoff or Backoff())
        self._clock = clock
        self._halt = threading.Event()
        self._lock = threading.Lock()
        self._answer: Answer[Stream] | None = None
        self._stream: Stream | None = None
        self._played = False

    @property
    def frame_rate(self) -> Fraction | None:
        """What the last connection declared; None before the first."""
        stream = self._stream
        return None if stream is None else stream.frame_rate

    def status(self) -> SourceStatus:
        """How the source is doing now."""
        return self._monitor.status(self.frame_rate)

    def __iter__(self) -> Generator[Frame]:
        """Frames for as long as nobody closes the stream; see ``Stream``.

        Raises:
            StreamError: the address turned out to be a recording, and it broke.
            UsageError: it has been iterated before, or the source cannot be opened as asked.
        """
        with self._lock:
            if self._played:
                raise played_already(self.source)
            self._played = True
        try:
            while not self._halt.is_set():
                failure = yield from self._connection()
                if failure is None:
                    self._monitor.over(Reason.CLOSED if self._halt.is_set() else Reason.ENDED)
                    return
                chance = random.random()  # noqa: S311 - spreads attempts, hides nothing
                wait_s = self._attempts.failed(
                    failure.reason, played_s=self._monitor.played_s, chance=chance
                )
                self._monitor.lost(failure, wait_s=wait_s)
                self._halt.wait(wait_s)
        except Exception as error:
            self._monitor.over(getattr(error, "reason", Reason.UNKNOWN), error)
            raise
        finally:
            self.close()

    def close(self) -> None:
        """End iteration now, whatever the source is doing.

        A connection that libav is just opening is interrupted and closed within a fraction of a
        second, in the background; a name server's answer alone cannot be interrupted.
        """
        with self._lock:
            self._halt.set()
            answer, stream = self._answer, self._stream
        self._monitor.over(Reason.CLOSED)
        if answer is not None:
            answer.abandon()
        if stream is not None:
            stream.close()

    def _connection(self) -> Generator[Frame, None, StreamError | None]:
        """Open and play the source once; what it was lost by, None for an end for good."""
        self._monitor.begins()
        try:
            stream = self._opened()
        except Closed:
            return None
        except StreamError as error:
            return error
        try:
            yield from self._frames_of(stream)
        except StreamError as error:
            if not stream.live:
                raise
            return error
        finally:
            stream.close()
        if self._halt.is_set() or not stream.live:
            return None
        return SourceBroken(f"{self.source} ended", reason=Reason.ENDED)

    def _opened(self) -> Stream:
        with self._lock:
            if self._halt.is_set():
                raise Closed
            answer = self._answer = Answer(self._open, discard=lambda late: late.close())
        try:
            stream = answer.within(OPENING_S)
        except TimeoutError:
            message = f"{self.source} did not answer within {OPENING_S:g} s"
            raise SourceStalled(message, reason=Reason.TIMEOUT) from None
        with self._lock:
            self._stream = stream
            if not self._halt.is_set():
                return stream
        stream.close()
        raise Closed

    def _frames_of(self, stream: Stream) -> Generator[Frame]:
        monitor = self._monitor
        base, received = monitor.next_index, 0
        pace = None if stream.live else pacer_for(stream.frame_rate, self._clock)
        try:
            for frame in stream:
                received += 1
                time_s = frame.timestamp_s
                if pace is not None:
                    pace.wait_for(time_s, self._halt)
                    time_s = self._clock()
                time_s = strictly_after(time_s, monitor.last_s)
                index = base + frame.index
                if monitor.came(frame, index=index, captured_s=time_s):
                    yield frame.changed(index=index, timestamp_s=time_s, source=self.source)
        finally:
            if isinstance(stream, AvSource):  # frames damaged after the last intact one count too
                monitor.produced(base + received + stream.left_out)


def safe_name(uri: str | os.PathLike[str] | int) -> str:
    """What to call a source: its address without credentials, a camera's number as a camera."""
    return f"camera {uri}" if isinstance(uri, int) else redact_address(os.fspath(uri))


def open_with_reconnect(
    uri: str | os.PathLike[str] | int,
    options: ConnectOptions | None = None,
    *,
    name: str | None = None,
    first: Stream | None = None,
    on_event: Callable[[Event], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> ReconnectingStream:
    """A camera or a network source that is opened now, again after a failure, and for ever.

    Nothing is opened before iteration: it may be down at the start. ``name``: what to call it
    (its address, without credentials, by default). ``first``: the connection to begin with,
    open already. ``on_event``: called with every change of state.

    Raises:
        UsageError: an address that cannot be used, an accelerator that is not there.
    """
    options = options or ConnectOptions()
    kind_of(uri)
    hardware(options.hwaccel)
    source = name or safe_name(uri)
    waiting, repetition = [] if first is None else [first], Repetition()

    def open_() -> Stream:
        stream: Stream
        if waiting:
            stream = waiting.pop()
        elif repetition.awaits_end:
            repetition.awaits_end = False  # once: what comes back may be something else
            stream = NetworkStream(str(uri), options, reads_here=True)
        else:
            stream = open_stream(uri, options)
        if isinstance(stream, NetworkStream):
            stream.compare(repetition)
        return stream

    monitor = SourceMonitor(source, clock=clock, frozen_s=options.frozen_s, on_event=on_event)
    return ReconnectingStream(open_, monitor, source=source, backoff=options.backoff, clock=clock)
