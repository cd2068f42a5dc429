"""One source of a fleet: its stream, its tracker, and what became of its frames."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from oneglance.perception.health import DropRateMonitor, SourceHealth
from oneglance.perception.mode import Alert, Live
from oneglance.perception.protocols import TrackerLike
from oneglance.perception.readers.frame_reader import CapturedFrame
from oneglance.streams.decoding import AvSource
from oneglance.streams.errors import Reason
from oneglance.streams.live.reconnecting import ReconnectingStream
from oneglance.streams.live.status import SourceMonitor, SourceStatus
from oneglance.streams.pacing import RealTimePacer
from oneglance.streams.stream import Stream
from oneglance.streams.timestamps import MonotonicTimestamps

LONGEST_GAP_S = 10.0
"""A leap in a recording's times of more than this is not waited for when it is played live."""

OVERLOAD, FROZEN, CLOSING = "newer frame", "frozen", "closing"
"""Why frames are dropped: a newer one came first, the picture was frozen, the run ended."""

_USUAL_RATE = 30.0


class Channel:
    """One source of a fleet: its stream, its tracker, what became of its frames."""

    def __init__(
        self,
        stream: Stream,
        *,
        live: Live,
        tracker: TrackerLike | None,
        clock: Callable[[], float],
    ) -> None:
        self.stream = stream
        self.name = stream.source
        self.tracker = tracker
        self.halt = threading.Event()
        self.thread: threading.Thread | None = None
        self.error: BaseException | None = None
        self._lock = threading.Lock()
        self._taken = self._delivered = 0
        self._dropped: Counter[str] = Counter()
        self._clock = clock
        self._stall_s = live.connect.stall_s
        self._drops = DropRateMonitor(share=live.drop_share, window_s=live.window_s)
        self._watch: SourceMonitor | None = None
        if not isinstance(stream, ReconnectingStream):  # which watches itself
            self._watch = SourceMonitor(
                self.name,
                clock=clock,
                frozen_s=live.connect.frozen_s if stream.live else None,
                on_event=live.on_event,
            )

    def read(self, hand_in: Callable[[CapturedFrame], bool]) -> None:
        """Read the stream to its end, and hand in every new picture. Runs in its own thread."""
        frames = iter(self.stream)
        pace = None if self.stream.live else _Beat(self.stream, self._clock)
        while not self.halt.is_set():
            frame = next(frames, None)
            if frame is None:
                break
            if pace is not None:
                pace.wait_for(frame.timestamp_s, self.halt)
            at_s = self._clock()
            if self._watch is not None:
                seen_s = frame.timestamp_s if self.stream.live else at_s
                if not self._watch.came(frame, index=frame.index, at_s=seen_s):
                    continue
            if not hand_in(CapturedFrame(frame, frame.decode_s, at_s, self)):
                self.lose(1)
                break

    def over(self, error: BaseException | None) -> None:
        """The stream has ended, because of ``error`` or just so."""
        if self.halt.is_set():
            return
        self.error = error
        if self._watch is None:
            return
        if isinstance(self.stream, AvSource):  # frames damaged after the last whole one count too
            self._watch.produced(self.stream.tally.index)
        if isinstance(error, Exception):
            self._watch.over(getattr(error, "reason", Reason.UNKNOWN), error)
        else:
            self._watch.over(Reason.ENDED)

    def close(self) -> None:
        """Stop reading."""
        self.halt.set()
        self.stream.close()
        if self._watch is not None:
            self._watch.over(Reason.CLOSED)

    def take(self, dropped: int) -> None:
        """A frame goes to the network, ``dropped`` frames after the last."""
        with self._lock:
            self._taken += 1
            if dropped:
                self._dropped[OVERLOAD] += dropped

    def deliver(self, dropped: int) -> Alert | None:
        """A result has come out, ``dropped`` frames after the last; an alert if that is many."""
        with self._lock:
            self._delivered += 1
        at_s = self._clock()
        if not self._drops.note(at_s, delivered=1, dropped=dropped):
            return None
        share = self._drops.share(at_s) or 0.0
        story = f"{share:.0%} of its frames are dropped: more comes than the network can look at"
        return Alert(self.name, story, at_s)

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
        if self._watch is not None and self.stream.live:
            self._watch.check_silence(self._stall_s)

    def health(self) -> SourceHealth:
        """How the source is doing now."""
        found, now_s = self._condition(), self._clock()
        with self._lock:
            delivered, dropped = self._delivered, dict(self._dropped)
        if found.frozen:
            dropped[FROZEN] = found.frozen
        last_s = found.last_frame_s
        share = self._drops.share(now_s)
        return SourceHealth(
            source=self.name,
            state=found.state,
            state_s=round(max(0.0, now_s - found.since_s), 3),
            fps_declared=found.fps_declared,
            fps_measured=found.fps_measured,
            age_s=None if last_s is None else round(max(0.0, now_s - last_s), 3),
            produced=found.received + found.corrupt,
            delivered=delivered,
            dropped=dropped,
            corrupt=found.corrupt,
            reconnects=found.reconnects,
            drop_share=None if share is None else round(share, 3),
            last_error=found.last_error,
        )

    def _condition(self) -> SourceStatus:
        if isinstance(self.stream, ReconnectingStream):
            return self.stream.condition()
        assert self._watch is not None
        return self._watch.condition(self.stream.frame_rate)


class _Beat:
    """The pace of a recording that is played live, whatever its times do."""

    def __init__(self, stream: Stream, clock: Callable[[], float]) -> None:
        period_s = 1 / float(stream.frame_rate or _USUAL_RATE)
        self._steady = MonotonicTimestamps(period_s, longest_gap_s=max(LONGEST_GAP_S, 2 * period_s))
        self._pace = RealTimePacer(clock)

    def wait_for(self, timestamp_s: float, stopping: threading.Event) -> None:
        """Return when the frame of ``timestamp_s`` is due, or when ``stopping`` is set."""
        self._pace.wait_for(self._steady.steady(timestamp_s), stopping)
