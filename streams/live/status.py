"""How a live source is doing: its state, what came, what was lost, and since when."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from oneglance.streams.errors import Reason, StreamError
from oneglance.streams.frame import Frame
from oneglance.streams.live.freshness import FreezeDetector, RateMeter
from oneglance.streams.live.states import Event, State, StateMachine

logger = logging.getLogger(__name__)

FROZEN_S = 10.0
"""An image that stays the same, bit for bit, for as long is frozen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStatus:
    """A source as it is now.

    ``since_s``: when its state began. ``fps_declared``: what it says; ``fps_measured``: what
    came over the last seconds; both None while unknown. ``last_frame_s``: when its last frame
    came (None: none yet). ``received`` frames came intact, ``frozen`` of them were withheld
    because they repeated an image. ``corrupt`` ones came damaged and were left out.
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


class SourceMonitor:
    """Keeps a source's ``SourceStatus`` and reports its changes. For any thread.

    ``frozen_s``: see ``FreezeDetector``. ``on_event`` is called on the thread that makes a change
    and may call back.
    """

    def __init__(
        self,
        source: str,
        *,
        clock: Callable[[], float],
        frozen_s: float | None = FROZEN_S,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self._source = source
        self._clock = clock
        self._on_event = on_event
        self._machine = StateMachine(source, time_s=clock())
        self._lock = threading.Lock()
        self._freeze = FreezeDetector(frozen_s)
        self._rate = RateMeter()
        self._produced = self._received = self._frozen = self._reconnects = 0
        self._first_s, self._last_s = math.inf, -math.inf
        self._last_error: str | None = None

    @property
    def state(self) -> State:
        """Where the source stands."""
        return self._machine.state

    @property
    def next_index(self) -> int:
        """Frames that the source produced so far, damaged ones included."""
        return self._produced

    @property
    def last_s(self) -> float:
        """When the last frame came; minus infinity before the first."""
        return self._last_s

    @property
    def played_s(self) -> float:
        """For how long frames came over this connection."""
        return max(0.0, self._last_s - self._first_s)

    def begins(self) -> None:
        """A new connection is made: it has its own run of frames, and its own first frame."""
        with self._lock:
            self._first_s = math.inf
            self._freeze.forget()

    def came(self, frame: Frame, *, index: int, captured_s: float) -> bool:
        """A frame came; whether it is to be passed on (a new image, not a frozen one)."""
        event = None
        with self._lock:
            self._received += 1
            self._produced = index + 1
            self._first_s, self._last_s = min(self._first_s, captured_s), captured_s
            self._rate.tick(captured_s)
            is_frozen = self._freeze.see(frame, captured_s)
            self._frozen += is_frozen
            state = self._machine.state
            if is_frozen and state is State.LIVE:
                event = self._transition(State.STALLED, Reason.FROZEN)
            elif not is_frozen and state is not State.LIVE:
                self._reconnects += state is State.RECONNECTING
                event = self._transition(State.LIVE, Reason.PLAYING)
        self._report(event)
        return not is_frozen

    def produced(self, count: int) -> None:
        """The source is known to have produced so many frames, some damaged after the last."""
        with self._lock:
            self._produced = max(self._produced, count)

    def check_silence(self, stall_s: float) -> None:
        """A live source that gave nothing for ``stall_s`` is stalled."""
        event = None
        with self._lock:
            silent_s = self._clock() - self._last_s
            if self._machine.state is State.LIVE and silent_s > stall_s:
                detail = f"nothing came for {silent_s:.1f} s"
                event = self._transition(State.STALLED, Reason.SILENT, detail)
        self._report(event)

    def lost(self, failure: StreamError, *, wait_s: float) -> None:
        """The connection failed; another attempt is made in ``wait_s``."""
        stalled = None
        detail = f"{failure}; trying again in {wait_s:.1f} s"
        with self._lock:
            self._last_error = str(failure)
            if failure.reason is Reason.SILENT and self._machine.state is State.LIVE:
                stalled = self._transition(State.STALLED, Reason.SILENT, str(failure))
            event = self._transition(State.RECONNECTING, failure.reason, detail)
        self._report(stalled)
        self._report(event)

    def over(self, reason: Reason, error: Exception | None = None) -> None:
        """Nothing more will come; the first reason counts."""
        with self._lock:
            if error is not None and self._machine.state is not State.CLOSED:
                self._last_error = str(error)
            event = self._transition(State.CLOSED, reason, "" if error is None else str(error))
        self._report(event)

    def status(self, declared: Fraction | None) -> SourceStatus:
        """How the source is doing now; ``declared``: the frame rate that it claims."""
        with self._lock:
            measured = self._rate.rate(self._clock())
            return SourceStatus(
                source=self._source,
                state=self._machine.state,
                since_s=self._machine.since_s,
                fps_declared=None if declared is None else round(float(declared), 3),
                fps_measured=None if measured is None else round(measured, 3),
                last_frame_s=self._last_s if self._received else None,
                received=self._received,
                corrupt=self._produced - self._received,
                frozen=self._frozen,
                reconnects=self._reconnects,
                last_error=self._last_error,
            )

    def _transition(self, after: State, reason: Reason, detail: str = "") -> Event | None:
        if self._machine.state is State.CLOSED:
            return None
        return self._machine.transition(after, reason, time_s=self._clock(), detail=detail)

    def _report(self, event: Event | None) -> None:
        if event is None:
            return
        logger.log(event.level, "%s", event)
        if self._on_event is not None:
            self._on_event(event)
