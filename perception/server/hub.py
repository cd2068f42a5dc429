"""The newest result of each source, for whoever looks: viewers take, the loop never waits.

The loop writes from its sink thread and does nothing but keep a reference; an image is encoded
when a viewer asks for it, once for all of them: of each source one frame is shown at a time, and
replaced by the newest so often a second, the same for all who look. Where the network cannot keep
up with a source, whoever looks takes from what it lacks already: then so many frames are shown as
a small share of the CPUs' time allows. A viewer that is slow finds a newer frame when it comes
back, never a queue. Viewers live in an event loop of another thread.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from oneglance.models.cpus import available_cpus
from oneglance.perception.allowance import Allowance
from oneglance.perception.mode import Alert
from oneglance.perception.result import Result
from oneglance.perception.server.shot import Shot
from oneglance.streams.errors import Reason
from oneglance.streams.live.states import Event, State
from oneglance.streams.redaction import printable, redact

MOST_FPS = 20.0
"""Frames a second of one source that are shown; more looks no smoother to people, and takes CPU
time from the network."""

BUSY_SHARE, LEAST_FPS = 0.01, 2.0
"""Of a source that the network cannot keep up with: the share of the CPUs' time that all who look
may take, but so many frames a second they do see."""

MOST_CLOSED = 64
"""Sources that have left and are still known, the latest."""

EVENTS = 100
"""How many of the latest changes of state and alerts are kept."""


class HubClosed(Exception):
    """The run is over: there will be no more frames."""


@dataclass(eq=False)
class Viewer:
    """Somebody who looks; lives in one event loop. ``wanted``: of these sources; None: of all."""

    _hub: Hub
    _loop: asyncio.AbstractEventLoop
    wanted: Collection[str] | None = None
    seen: dict[str, int] = field(default_factory=dict)
    """By source the number of the frame it was given last."""
    is_waiting: bool = False
    """Whether it does not come by itself; the hub's to change."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def next(self, timeout_s: float) -> Shot | None:
        """A frame that is shown and it has not seen, of the source it has waited longest for;
        None when none came in time.

        Raises:
            HubClosed: there will be none.
        """
        deadline_s = self._loop.time() + timeout_s
        while True:
            self._news.clear()
            shots, early_s = self._hub.unseen(self)
            if shots:
                shot = min(shots, key=lambda each: self.seen.get(each.source, 0))
                self.seen[shot.source] = shot.number
                self._forget()
                return shot
            left_s = deadline_s - self._loop.time()
            if left_s <= 0:
                return None
            await self._wait(left_s if early_s is None else min(left_s, early_s))

    def _forget(self) -> None:
        """Sources that have left are not seen again, or with greater numbers."""
        if len(self.seen) > 2 * MOST_CLOSED:
            here = set(self._hub.sources())
            self.seen = {name: number for name, number in self.seen.items() if name in here}

    async def rest(self, timeout_s: float) -> None:
        """Wait without taking any, until ``nudge``.

        Raises:
            HubClosed: there will be none.
        """
        self._news.clear()
        self._hub.check_open()
        await self._wait(timeout_s)

    def wants(self, source: str) -> bool:
        """Whether it wants to see frames of it."""
        return self.wanted is None or not {source, printable(source)}.isdisjoint(self.wanted)

    def nudge(self) -> None:
        """There is news; from its event loop."""
        self._news.set()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop it lives in."""
        return self._loop

    async def _wait(self, timeout_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._news.wait()


@dataclass(frozen=True, slots=True)
class _Shown:
    """A frame that is shown; no newer one before ``until_s``."""

    shot: Shot
    until_s: float


class Hub:
    """A ``Sink`` that viewers look at. ``most_fps``: of one source; ``clock``:
    seconds, monotonic; ``cpu_clock``: seconds of CPU time of the thread that asks."""

    name = "page"

    def __init__(
        self,
        *,
        most_fps: float = MOST_FPS,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self.most_fps = most_fps
        self.clock, self.cpu_clock = clock, cpu_clock
        self._allowance = Allowance(BUSY_SHARE, cpus=available_cpus(), longest_s=1 / LEAST_FPS)
        self._served: tuple[int, float] | None = None
        self._lock = threading.Lock()
        self._newest: dict[str, Shot] = {}
        self._shown: dict[str, _Shown] = {}
        self._viewers: set[Viewer] = set()
        self._number = 0
        self._closed = False
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS)
        self._reasons: dict[str, Reason] = {}
        self._over: dict[str, None] = {}

    def write(self, result: Result) -> None:
        """Keep a result until the next of its source."""
        with self._lock:
            source = result.frame.source
            if source in self._over:
                return  # it ended or was taken out while this frame was on its way
            self._number += 1
            before = self._newest.get(source)
            count = 1 if before is None else before.count + 1
            self._newest[source] = Shot(result, self._number, self.clock(), count=count)
            awaited = [each for each in self._viewers if each.is_waiting and each.wants(source)]
            self._nudge(awaited)

    def close(self) -> None:
        """The run is over: viewers are sent away."""
        with self._lock:
            self._closed = True
            self._newest.clear()
            self._shown.clear()
            self._nudge(self._viewers)

    def note(self, event: Event | Alert) -> None:
        """A source's state changed, or somebody should look: see ``Live.on_event``."""
        with self._lock:
            if isinstance(event, Event):
                self._reasons[event.source] = event.reason
                if event.after is not State.LIVE:  # what it showed last is not how it looks now
                    self._newest.pop(event.source, None)
                    self._shown.pop(event.source, None)
                self._over.pop(event.source, None)
                if event.after is State.CLOSED:
                    self._leave(event.source)
                about, state = event.source, str(event.after)
                text = event.detail or str(event.reason)
            else:
                about, state, text = event.about, "alert", event.detail
            shown = printable(redact(about)), printable(redact(text))
            noted = {"source": shown[0], "state": state, "text": shown[1]}
            self._events.append({"at": round(time.time(), 1), **noted})

    def _leave(self, source: str) -> None:
        self._over[source] = None
        while len(self._over) > MOST_CLOSED:
            oldest = next(iter(self._over))
            del self._over[oldest]
            self._reasons.pop(oldest, None)

    def reasons(self) -> Mapping[str, Reason]:
        """Why each source is in its state."""
        with self._lock:
            return dict(self._reasons)

    def events(self) -> list[dict[str, Any]]:
        """The latest changes of state and alerts, ready for JSON, the oldest first."""
        with self._lock:
            return list(self._events)

    def newest(self, source: str) -> Shot | None:
        """The newest frame of a source; None when there is none."""
        with self._lock:
            return self._newest.get(source)

    def sources(self) -> tuple[str, ...]:
        """The sources of which there is a frame."""
        with self._lock:
            return tuple(self._newest)

    @property
    def viewers(self) -> int:
        """How many look."""
        return len(self._viewers)

    @contextmanager
    def viewer(self, wanted: Collection[str] | None = None) -> Iterator[Viewer]:
        """Somebody begins to look, in the event loop that runs."""
        viewer = Viewer(self, asyncio.get_running_loop(), wanted)
        with self._lock:
            self._viewers.add(viewer)
        try:
            yield viewer
        finally:
            with self._lock:
                self._viewers.discard(viewer)

    def unseen(self, viewer: Viewer) -> tuple[list[Shot], float | None]:
        """What is shown of each source that it wants, where it is newer than what it has seen; and
        where there is nothing, seconds until there may be: None where it is nudged then.

        Raises:
            HubClosed: there will be none.
        """
        found: list[Shot] = []
        early_s: list[float] = []
        with self._lock:
            self._check_open()
            now_s = self.clock()
            self._charge(now_s)
            for source, newest in self._newest.items():
                if not viewer.wants(source):
                    continue
                shown = self._show(newest, now_s)
                due_s = shown.until_s if shown.shot is newest else self._due_s(shown, newest)
                if shown.shot.number > viewer.seen.get(source, 0):
                    found.append(shown.shot)
                elif shown.shot is not newest or due_s > now_s:
                    early_s.append(max(0.0, due_s - now_s))
            viewer.is_waiting = not found and not early_s
        return found, min(early_s, default=None)

    def check_open(self) -> None:
        """See that there can be more.

        Raises:
            HubClosed: the run is over.
        """
        with self._lock:
            self._check_open()

    def _check_open(self) -> None:
        if self._closed:
            raise HubClosed

    def _show(self, newest: Shot, now_s: float) -> _Shown:
        """What is shown of a source from now on: the newest, if it is time for it."""
        period_s = 1 / self.most_fps
        shown = self._shown.get(newest.source)
        if shown is None:
            shown = self._shown[newest.source] = _Shown(newest, now_s + period_s)
        elif shown.shot is not newest and now_s >= (due_s := self._due_s(shown, newest)):
            until_s = max(due_s, now_s - period_s) + period_s
            shown = self._shown[newest.source] = _Shown(newest, until_s)
        return shown

    def _due_s(self, shown: _Shown, newest: Shot) -> float:
        """When ``newest`` may take the place of what is shown."""
        if newest.keeps_up(shown.shot):
            return shown.until_s
        paid_s = min(self._allowance.paid_s, shown.until_s + 1 / LEAST_FPS)
        return max(shown.until_s + 1 / self.most_fps, paid_s)

    def took(self, cpu_s: float) -> None:
        """So much CPU time has just gone into what viewers get; from any thread."""
        with self._lock:
            self._allowance.took(cpu_s, self.clock())

    def _charge(self, now_s: float) -> None:
        """What the event loop, whose thread this is, took since it was here last."""
        served = threading.get_ident(), self.cpu_clock()
        if self._served is not None and self._served[0] == served[0]:
            self._allowance.took(served[1] - self._served[1], now_s)
        self._served = served

    def _nudge(self, viewers: Iterable[Viewer]) -> None:
        """Each that waits comes by itself from now on; called with the lock."""
        by_loop: dict[asyncio.AbstractEventLoop, list[Viewer]] = {}
        for viewer in viewers:
            viewer.is_waiting = False
            by_loop.setdefault(viewer.loop, []).append(viewer)
        for loop, those in by_loop.items():  # one call for all of them: each is a system call
            with suppress(RuntimeError):  # it is over
                loop.call_soon_threadsafe(_nudge_all, those)


def _nudge_all(viewers: Iterable[Viewer]) -> None:
    for viewer in viewers:
        viewer.nudge()
