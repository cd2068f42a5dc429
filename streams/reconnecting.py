"""A live source that comes back: whatever happens to its connection, frames go on.

One connection after the other is opened and played; the states it goes through, and why, are
events (``states``), and how long to wait in between is ``backoff``'s. Only ``close()``, or the
end of a recording that turned out to lie behind the address, ends iteration.
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import Self

from oneglance.streams.backoff import Attempts, Backoff
from oneglance.streams.buffer import Closed
from oneglance.streams.decoding import AvSource
from oneglance.streams.errors import (
    Reason,
    SourceBroken,
    SourceStalled,
    StreamError,
    UsageError,
)
from oneglance.streams.frame import Frame
from oneglance.streams.freshness import FreezeWatch, RateMeter
from oneglance.streams.pacing import Pace
from oneglance.streams.states import Event, Life, State
from oneglance.streams.stream import Stream
from oneglance.streams.watched import Answer

logger = logging.getLogger(__name__)

FROZEN_S = 10.0
"""A picture that is the same, bit for bit, for as long is a frozen one."""

OPENING_S = 60.0
"""Longest wait for a source that does not keep its own time-out when it is opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How a source is doing.

    ``since_s``: when its state began. ``fps_declared``: what it says; ``fps_measured``: what
    came over the last seconds; both None while unknown. ``last_frame_s``: when its last frame
    came (None: none yet). ``received`` frames came whole, frozen ones included; ``corrupt``
    came damaged and were left out; ``frozen``: withheld, because they repeated a picture.
    ``reconnects``: times that it came back. ``last_error``: a sentence without any credential.
    """

    source: str
    state: State
    since_s: float
    fps_declared: float | None
    fps_measured: float | None
    last_frame_s: float | None
    received: int
    corrupt: int
    frozen: int
    reconnects: int
    last_error: str | None


class ReconnectingStream:
    """A ``Stream`` that survives the loss of its source.

    Frames of all connections are counted on (``index``) and their times never run back. Size
    and rate may change from one connection to the next. A recording behind the address is
    played once, in real time. Withheld and not passed off as new: frames of a picture that has
    not changed for ``frozen_s``.

    ``condition()`` and ``close()`` may be called from any thread.
    """

    live = True
    frame_count: int | None = None

    def __init__(
        self,
        open_: Callable[[], Stream],
        *,
        source: str,
        backoff: Backoff = Backoff(),
        frozen_s: float | None = FROZEN_S,
        on_event: Callable[[Event], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is opened before iteration.

        ``open_``: opens the source anew, or raises the ``StreamError`` that keeps it from doing
        so; it and what it opens keep time-outs of their own. ``source``: a name safe to print.
        ``on_event``: told of every change of state, on the thread that makes it.
        """
        self.source = source
        self._open = open_
        self._attempts = Attempts(backoff)
        self._on_event = on_event
        self._clock = clock
        self._life = Life(source, at_s=clock())
        self._lock = threading.RLock()
        self._halt = threading.Event()
        self._freeze = FreezeWatch(frozen_s)
        self._rate = RateMeter()
        self._answer: Answer[Stream] | None = None
        self._stream: Stream | None = None
        self._played = False
        self._next_index = self._received = self._frozen = self._reconnects = 0
        self._first_s = self._last_s = -math.inf
        self._last_error: str | None = None

    @property
    def frame_rate(self) -> Fraction | None:
        """What the connection in hand declares; None while there is none."""
        stream = self._stream
        return None if stream is None else stream.frame_rate

    @property
    def state(self) -> State:
        """Where the source stands."""
        return self._life.state

    def condition(self) -> Condition:
        """How the source is doing now."""
        now_s, declared, measured = self._clock(), self.frame_rate, None
        with self._lock:
            measured = self._rate.rate(now_s)
            return Condition(
                source=self.source,
                state=self._life.state,
                since_s=self._life.since_s,
                fps_declared=None if declared is None else round(float(declared), 3),
                fps_measured=None if measured is None else round(measured, 3),
                last_frame_s=self._last_s if self._received else None,
                received=self._received,
                corrupt=self._next_index - self._received,
                frozen=self._frozen,
                reconnects=self._reconnects,
                last_error=self._last_error,
            )

    def __iter__(self) -> Generator[Frame]:
        """Frames for as long as nobody closes the stream; see ``Stream``.

        Raises:
            StreamError: the address turned out to be a recording, and it broke.
            UsageError: it has been iterated before, or the source cannot be opened as asked.
        """
        with self._lock:
            if self._played:
                raise UsageError(f"{self.source} was played already: open it again")
            self._played = True
        reason = Reason.CLOSED
        try:
            while not self._halt.is_set():
                failure = yield from self._connection()
                if failure is None:
                    reason = Reason.ENDED
                    return
                self._lost(failure)
        finally:
            self._end(reason)

    def close(self) -> None:
        """End iteration now, whatever the source is doing."""
        self._end(Reason.CLOSED)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # -- one connection --------------------------------------------------------------------

    def _connection(self) -> Generator[Frame, None, StreamError | None]:
        """Open and play the source once; what it was lost by, None for an end for good."""
        self._first_s = math.inf
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
            story = f"{self.source} did not answer within {OPENING_S:g} s"
            raise SourceStalled(story, reason=Reason.TIMEOUT) from None
        with self._lock:
            self._stream = stream
            if self._halt.is_set():
                stream.close()
                raise Closed
        return stream

    def _frames_of(self, stream: Stream) -> Generator[Frame]:
        base, received = self._next_index, 0
        pace = None if stream.live else Pace(self._clock)
        try:
            for frame in stream:
                received += 1
                at_s = frame.timestamp_s
                if pace is not None:
                    pace.wait_for(at_s, self._halt)
                    at_s = self._clock()
                at_s = max(at_s, math.nextafter(self._last_s, math.inf))
                if self._came(frame, base + frame.index, at_s):
                    yield Frame(frame.image, base + frame.index, at_s, self.source)
        finally:
            if isinstance(stream, AvSource):  # damaged frames after the last whole one
                with self._lock:
                    self._next_index = base + received + stream.tally.damaged

    def _came(self, frame: Frame, index: int, at_s: float) -> bool:
        """Count a frame; whether it is a new picture."""
        with self._lock:
            self._received += 1
            self._next_index = index + 1
            self._first_s, self._last_s = min(self._first_s, at_s), at_s
            self._rate.tick(at_s)
            is_frozen = self._freeze.see(frame.image, at_s)
            self._frozen += is_frozen
            state = self._life.state
            if is_frozen and state is State.LIVE:
                self._move(State.STALLED, Reason.FROZEN)
            elif not is_frozen and state is not State.LIVE:
                self._reconnects += state is State.RECONNECTING
                self._move(State.LIVE, Reason.PLAYING)
        return not is_frozen

    def _lost(self, failure: StreamError) -> None:
        """Tell of a failure, and wait as long as ``backoff`` says."""
        played_s = max(0.0, self._last_s - self._first_s)
        wait_s = self._attempts.failed(failure.reason, played_s=played_s, chance=random.random())  # noqa: S311 - no secret
        with self._lock:
            self._last_error = str(failure)
            if failure.reason is Reason.SILENT and self._life.state is State.LIVE:
                self._move(State.STALLED, Reason.SILENT, str(failure))
            self._move(
                State.RECONNECTING, failure.reason, f"{failure}; trying again in {wait_s:.1f} s"
            )
        self._halt.wait(wait_s)

    # -- states ----------------------------------------------------------------------------

    def _move(self, after: State, reason: Reason, detail: str = "") -> None:
        with self._lock:
            if self._life.state is State.CLOSED:
                return
            event = self._life.move(after, reason, at_s=self._clock(), detail=detail)
        logger.log(event.level, "%s", event)
        if self._on_event is not None:
            self._on_event(event)

    def _end(self, reason: Reason) -> None:
        self._halt.set()
        with self._lock:
            answer, stream = self._answer, self._stream
            self._move(State.CLOSED, reason)
        if answer is not None:
            answer.abandon()
        if stream is not None:
            stream.close()
