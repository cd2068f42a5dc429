"""The newest result of each source, for whoever looks: viewers take, the loop never waits.

The loop writes from its sink thread and does nothing but keep a reference; an image is encoded
when a viewer asks for it, once for all of them: of each source one frame is shown at a time, and
replaced by the newest so often a second, the same for all who look. A viewer that is slow finds a
newer frame when it comes back, never a queue. Viewers live in an event loop of another thread.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import cv2
import simplejpeg

from oneglance.perception.mode import Alert
from oneglance.perception.result import Result
from oneglance.perception.sinks.drawing import annotate
from oneglance.perception.sinks.jsonl import as_object, encoded
from oneglance.streams.errors import Reason
from oneglance.streams.frame import Image
from oneglance.streams.live.states import Event, State
from oneglance.streams.redaction import printable, redact

LARGEST_WIDTH = 1280
"""Pixels across of an image that is sent; larger ones are scaled down, boxes are not."""

JPEG_QUALITY = 80

MOST_FPS = 20.0
"""Frames a second of one source that are shown; more looks no smoother to people, and takes CPU
time from the network."""

KEPT_UP = 0.8
"""Share of a source's frames that the network looks at; where it is less, half as many are shown:
whoever looks takes from what the network lacks already."""

_NO_AGE = b'"age_ms":null'

MOST_CLOSED = 64
"""Sources that have left and are still known, the latest."""

EVENTS = 100
"""How many of the latest changes of state and alerts are kept."""


class HubClosed(Exception):
    """The run is over: there will be no more frames."""


class Shot:
    """A result as viewers get it. ``number`` grows from one to the next over all sources, ``count``
    over those of its own."""

    def __init__(self, result: Result, number: int, time_s: float, *, count: int = 1) -> None:
        self.source = result.frame.source
        self.number, self.count = number, count
        self._result = result
        self._time_s = time_s
        self._lock = threading.Lock()
        self._jpeg: dict[bool, bytes] = {}
        self._head = b""
        self.encoding: asyncio.Future[None] | None = None
        """Whose end the viewers of an event loop wait for; theirs to set."""

    def keeps_up(self, earlier: Shot) -> bool:
        """Whether enough of the frames since ``earlier``, of the same source, were looked at."""
        frames = self._result.frame.index - earlier._result.frame.index
        return self.count - earlier.count >= KEPT_UP * frames

    def jpeg(self, *, boxes: bool = False) -> bytes:
        """The image, with the boxes drawn into it where that is asked for; made once."""
        with self._lock:
            if boxes not in self._jpeg:
                image = self._boxed() if boxes else self._image()
                self._jpeg[boxes] = simplejpeg.encode_jpeg(
                    image, quality=JPEG_QUALITY, colorspace="BGR", colorsubsampling="420"
                )
            return self._jpeg[boxes]

    def _image(self) -> Image:
        """As it is shown, at most ``LARGEST_WIDTH`` across."""
        frame = self._result.frame
        size = _shown_size(frame.size)
        if size == frame.size:
            return frame.image
        planes = frame.yuv()
        if planes is not None:  # only as many pixels are converted as are shown
            return planes.resized(size)
        return _resized(frame.image, size)

    def _boxed(self) -> Image:
        """The same with its boxes, which are drawn first: they are in pixels of the frame."""
        image = annotate(self._result.frame.image, self._result.detections)
        return _resized(image, _shown_size(self._result.frame.size))

    def facts(self, now_s: float) -> dict[str, Any]:
        """What a JSON line says of the result, and ``number``, ``width`` and ``height`` in pixels;
        ``age_ms`` is that of now, None of a recording."""
        return {"age_ms": self._age_ms(now_s)} | self._facts()

    def _facts(self) -> dict[str, Any]:
        found, frame = as_object(self._result), self._result.frame
        found.pop("age_ms", None)
        return found | {"number": self.number, "width": frame.width, "height": frame.height}

    def _age_ms(self, now_s: float) -> float | None:
        age_s = self._result.age_s
        return None if age_s is None else round(1e3 * (age_s + max(0.0, now_s - self._time_s)), 1)

    def text(self, now_s: float) -> str:
        """``facts`` as JSON in one line."""
        return encoded(self.facts(now_s))

    @property
    def is_encoded(self) -> bool:
        """Whether ``message`` costs next to nothing."""
        return bool(self._head)

    def encode(self) -> None:
        """Make what ``message`` is made of, once.

        Raises:
            SourceBroken: the frame cannot be converted.
        """
        self.jpeg()
        if not self._head:
            self._head = encoded({"age_ms": None} | self._facts()).encode()

    def message(self, now_s: float) -> bytes:
        """JSON and JPEG of the same frame in one: four bytes with the length of the JSON (big
        end first), the JSON, the JPEG. All but the age is made once, for all viewers."""
        self.encode()
        jpeg, facts = self.jpeg(), self._head
        if (age_ms := self._age_ms(now_s)) is not None:
            facts = facts.replace(_NO_AGE, b'"age_ms":%.1f' % age_ms, 1)
        return b"".join((len(facts).to_bytes(4, "big"), facts, jpeg))


def _shown_size(size: tuple[int, int]) -> tuple[int, int]:
    width, height = size
    if width <= LARGEST_WIDTH:
        return size
    return LARGEST_WIDTH, max(1, round(height * LARGEST_WIDTH / width))


def _resized(image: Image, size: tuple[int, int]) -> Image:
    if (image.shape[1], image.shape[0]) == size:
        return image
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


@dataclass(eq=False)
class Viewer:
    """Somebody who looks; lives in one event loop. ``wanted``: of these sources; None: of all."""

    _hub: Hub
    _loop: asyncio.AbstractEventLoop
    wanted: Collection[str] | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _seen: dict[str, int] = field(default_factory=dict)

    async def next(self, timeout_s: float) -> Shot | None:
        """A frame that is shown and it has not seen, of the source it has waited longest for;
        None when none came in time.

        Raises:
            HubClosed: there will be none.
        """
        deadline_s = self._loop.time() + timeout_s
        while True:
            self._news.clear()
            shots, early_s = self._hub.unseen(self._seen, self.wanted)
            if shots:
                shot = min(shots, key=lambda each: self._seen.get(each.source, 0))
                self._seen[shot.source] = shot.number
                self._forget()
                return shot
            left_s = deadline_s - self._loop.time()
            if left_s <= 0:
                return None
            if early_s is not None:
                await asyncio.sleep(min(left_s, early_s))
            else:
                await self._wait(left_s)

    def _forget(self) -> None:
        """Sources that have left are not seen again, or with greater numbers."""
        if len(self._seen) > 2 * MOST_CLOSED:
            here = set(self._hub.sources())
            self._seen = {name: number for name, number in self._seen.items() if name in here}

    async def rest(self, timeout_s: float) -> None:
        """Wait for news without taking any.

        Raises:
            HubClosed: there will be none.
        """
        self._news.clear()
        self._hub.unseen(self._seen, ())
        await self._wait(timeout_s)

    def nudge(self) -> None:
        """There is news; from its event loop."""
        self._news.set()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop it lives in."""
        return self._loop

    async def _wait(self, timeout_s: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), timeout_s)


@dataclass(frozen=True, slots=True)
class _Shown:
    """A frame that is shown; no newer one before ``until_s``."""

    shot: Shot
    until_s: float


class Hub:
    """A ``Sink`` that viewers look at. ``most_fps``: of one source; ``clock``:
    seconds, monotonic."""

    name = "page"

    def __init__(
        self, *, most_fps: float = MOST_FPS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.most_fps = most_fps
        self.clock = clock
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
        self._nudge()

    def close(self) -> None:
        """The run is over: viewers are sent away."""
        with self._lock:
            self._closed = True
            self._newest.clear()
            self._shown.clear()
        self._nudge()

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

    def unseen(
        self, seen: Mapping[str, int], wanted: Collection[str] | None
    ) -> tuple[list[Shot], float | None]:
        """What is shown of each source that is wanted, where it is newer than what was seen; and
        seconds until there is more, None where nobody knows.

        Raises:
            HubClosed: there will be none.
        """
        found: list[Shot] = []
        early_s: list[float] = []
        with self._lock:
            if self._closed:
                raise HubClosed
            now_s = self.clock()
            for source, newest in self._newest.items():
                if wanted is not None and not {source, printable(source)} & set(wanted):
                    continue
                shown = self._show(newest, now_s)
                if shown.shot.number > seen.get(source, 0):
                    found.append(shown.shot)
                elif shown.shot is not newest:
                    early_s.append(max(0.0, self._due_s(shown, newest) - now_s))
        return found, min(early_s, default=None)

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
        return shown.until_s + (0 if newest.keeps_up(shown.shot) else 1 / self.most_fps)

    def _nudge(self) -> None:
        with self._lock:
            loops = {viewer.loop for viewer in self._viewers}
        for loop in loops:  # one call for all of its viewers: each costs a system call
            with suppress(RuntimeError):  # it is over
                loop.call_soon_threadsafe(self._tell, loop)

    def _tell(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            viewers = [viewer for viewer in self._viewers if viewer.loop is loop]
        for viewer in viewers:
            viewer.nudge()
