"""One source of a multi-source reader: its stream, its tracker, what became of its frames."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from oneglance.perception.health import DropRateMonitor, SourceHealth
from oneglance.perception.mode import Alert, Live
from oneglance.perception.readers.frame_reader import CapturedFrame, checked_frame
from oneglance.streams.decoding.source import AvSource
from oneglance.streams.errors import Reason, StreamError
from oneglance.streams.live.reconnecting import ReconnectingStream
from oneglance.streams.live.status import SourceMonitor, SourceStatus
from oneglance.streams.options import ConnectOptions
from oneglance.streams.pacing import pacer_for
from oneglance.streams.stream import Stream

if TYPE_CHECKING:
    from oneglance.perception.protocols import TrackerLike

OVERLOAD, FROZEN, CLOSING, SKIPPED = "newer frame", "frozen", "closing", "skipped"
"""Why frames are dropped: a newer one came first, the image was frozen, the run ended, only every
Nth was asked for."""

OPENED_BEFORE_S = 10.0
"""A live frame may have been captured so long before its source was given to a run."""


class Channel:
    """One source of a multi-source reader: its stream, its tracker, what became of its frames.

    ``thread`` reads it, once there is one; ``error``: what the stream ended by, None for a normal
    end or while it runs. Everything but ``read`` may be called from any thread.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        limits: Live,
        connect: ConnectOptions,
        clock: Callable[[], float],
    ) -> None:
        self.stream = stream
        self.name = stream.source
        self.tracker: TrackerLike | None = None
        self.thread: threading.Thread | None = None
        self.error: BaseException | None = None
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._taken = self._delivered = 0
        self._dropped: Counter[str] = Counter()
        self._clock = clock
        self._opened_s = clock()
        self._stall_s = connect.stall_s
        self._drop_rate = DropRateMonitor(share=limits.drop_share, window_s=limits.window_s)
        self._monitor: SourceMonitor | None = None
        if not isinstance(stream, ReconnectingStream):  # which keeps its own
            self._monitor = SourceMonitor(
                self.name,
                clock=clock,
                frozen_s=connect.frozen_s if stream.live else None,
                on_event=limits.on_event,
            )

    @property
    def is_closed(self) -> bool:
        """Whether it was closed, and no result of it is wanted any more."""
        return self._closed.is_set()

    def read(self, hand_in: Callable[[CapturedFrame], bool]) -> None:
        """Read the stream to its end, and hand in every new image. Runs in its own thread."""
        live = self.stream.live
        pace = None if live else pacer_for(self.stream.frame_rate, self._clock)
        for given in self.stream:
            if self._closed.is_set():
                break
            frame = checked_frame(given, self.name)
            if pace is not None:
                pace.wait_for(frame.timestamp_s, self._closed)
            arrival_s = self._clock()
            captured_s = arrival_s
            if live:
                captured_s = capture_time(frame.timestamp_s, arrival_s, since_s=self._opened_s)
            if self._monitor is not None and not self._monitor.came(
                frame, index=frame.index, captured_s=captured_s
            ):
                continue
            captured = CapturedFrame(frame, arrival_s, captured_s, frame.decode_s, channel=self)
            if not hand_in(captured):
                self.lose(1)
                break

    def ended(self, error: BaseException | None) -> None:
        """The stream has ended, because of ``error`` or just so."""
        if self._closed.is_set():
            return
        self.error = error
        if self._monitor is None:
            return
        if isinstance(self.stream, AvSource):  # frames damaged after the last intact one count too
            self._monitor.produced(self.stream.stats.produced)
        if isinstance(error, Exception):
            self._monitor.over(getattr(error, "reason", Reason.UNKNOWN), error)
        else:
            self._monitor.over(Reason.ENDED)

    def fail(self, error: StreamError) -> None:
        """What the stream gives cannot be used, because of ``error``: stop reading it."""
        if not self._closed.is_set():
            self.error = error
            if self._monitor is not None:
                self._monitor.over(error.reason, error)
            self.close()

    def close(self) -> None:
        """Stop reading."""
        self._closed.set()
        self.stream.close()
        if self._monitor is not None:
            self._monitor.over(Reason.CLOSED)

    def taken(self, dropped: int) -> None:
        """A frame goes to the network, ``dropped`` frames after the last."""
        with self._lock:
            self._taken += 1
            if dropped:
                self._dropped[OVERLOAD] += dropped

    def skipped(self) -> None:
        """A frame that was taken is not looked at: only every Nth is."""
        with self._lock:
            self._taken -= 1
            self._dropped[SKIPPED] += 1

    def delivered(self, dropped: int) -> Alert | None:
        """A result has come out, ``dropped`` frames after the last; an alert if that is many."""
        with self._lock:
            self._delivered += 1
        now_s = self._clock()
        if not self._drop_rate.note(now_s, delivered=1, dropped=dropped):
            return None
        share = self._drop_rate.share(now_s) or 0.0
        detail = f"{share:.0%} of its frames are dropped: more comes than the network can look at"
        return Alert(self.name, detail, now_s)

    def lose(self, frames: int) -> None:
        """So many frames came too late to be looked at."""
        if frames:
            with self._lock:
                self._dropped[CLOSING] += frames

    def settle(self) -> None:
        """The run is over: what was taken and not delivered is lost."""
        with self._lock:
            lost, self._taken = self._taken - self._delivered, self._delivered
        self.lose(lost)

    def check_silence(self) -> None:
        """Notice a live source that says nothing and does not time out by itself."""
        if self._monitor is not None and self.stream.live:
            self._monitor.check_silence(self._stall_s)

    def health(self) -> SourceHealth:
        """How the source is doing now."""
        status, now_s = self._status(), self._clock()
        with self._lock:
            delivered, dropped = self._delivered, dict(self._dropped)
        if status.frozen:
            dropped[FROZEN] = status.frozen
        last_s = status.last_frame_s
        share = self._drop_rate.share(now_s)
        return SourceHealth(
            source=self.name,
            state=status.state,
            state_s=round(max(0.0, now_s - status.since_s), 3),
            fps_declared=status.fps_declared,
            fps_measured=status.fps_measured,
            age_s=None if last_s is None else round(max(0.0, now_s - last_s), 3),
            produced=status.received + status.corrupt,
            delivered=delivered,
            dropped=dropped,
            corrupt=status.corrupt,
            reconnects=status.reconnects,
            drop_share=None if share is None else round(share, 3),
            last_error=status.last_error,
        )

    def _status(self) -> SourceStatus:
        if isinstance(self.stream, ReconnectingStream):
            return self.stream.status()
        assert self._monitor is not None
        return self._monitor.status(self.stream.frame_rate)


def capture_time(timestamp_s: float, arrival_s: float, *, since_s: float) -> float:
    """When, on the run's clock, a live frame was captured that arrived at ``arrival_s``.

    Its own time, where that can be of the run's clock: not after it arrived, nor long before
    ``since_s``, when its source came to the run. A frame that brings another clock (seconds since
    1970, a simulation's) was captured when it arrived, as far as anybody knows.

    >>> capture_time(99.5, 100.0, since_s=90.0), capture_time(1.7e9, 100.0, since_s=90.0)
    (99.5, 100.0)
    """
    return timestamp_s if since_s - OPENED_BEFORE_S <= timestamp_s <= arrival_s else arrival_s
