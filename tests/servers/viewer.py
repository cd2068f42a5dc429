"""Somebody who watches a stream from a thread of his own and notes what he sees."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from media import index_of
from oneglance.streams import Frame
from oneglance.streams.errors import Reason
from oneglance.streams.live.backoff import Backoff
from oneglance.streams.live.reconnecting import ReconnectingStream, open_with_reconnect
from oneglance.streams.live.states import Event, State
from oneglance.streams.options import ConnectOptions
from waiting import LONG_S, Stopwatch, wait_until

QUICK = Backoff(first_s=0.1, ceiling_s=0.4)
"""Waits that a test can afford."""


@dataclass(frozen=True)
class Seen:
    """A frame: its number, its capture time, when it was in hand, what it shows."""

    index: int
    timestamp_s: float
    arrival_s: float
    shown: int
    size: tuple[int, int]

    @classmethod
    def of(cls, frame: Frame) -> Seen:
        now_s = time.monotonic()
        return cls(frame.index, frame.timestamp_s, now_s, index_of(frame.image), frame.size)


class Viewer:
    """``seen``: the frames so far; ``events``: the changes of state."""

    def __init__(self, stream: ReconnectingStream, events: list[Event]) -> None:
        self.stream = stream
        self.events = events
        self.seen: list[Seen] = []
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def wait_for(self, done: Callable[[Viewer], object], within_s: float = LONG_S) -> None:
        """Return as soon as ``done``; fail when it takes longer."""

        def finished() -> object:
            assert self.error is None, self.error
            return done(self)

        wait_until(finished, lambda: self.transitions() or "nothing happened", within_s=within_s)

    def wait_for_frames(self, more: int) -> None:
        """Return when so many more frames have come."""
        enough = len(self.seen) + more
        self.wait_for(lambda viewer: len(viewer.seen) >= enough)

    def transitions(self) -> list[tuple[State, Reason]]:
        """The states so far, and why each began."""
        return [(event.after, event.reason) for event in self.events]

    def _watch(self) -> None:
        try:
            for frame in self.stream:
                self.seen.append(Seen.of(frame))
        except BaseException as error:  # noqa: BLE001 - the test shows it
            self.error = error


@contextmanager
def watching(url: str, **options: object) -> Iterator[Viewer]:
    """Watch ``url``, quick to try again; ``options`` are those of ``ConnectOptions``."""
    events: list[Event] = []
    how = {"timeout_s": 5.0, "stall_s": 1.0, "backoff": QUICK, **options}
    stream = open_with_reconnect(url, ConnectOptions(**how), on_event=events.append)  # type: ignore[arg-type]
    viewer = Viewer(stream, events)
    try:
        yield viewer
    finally:
        watch = Stopwatch()
        stream.close()
        viewer.thread.join(LONG_S)
        took_s = watch.stop()
    assert viewer.error is None, viewer.error
    assert took_s < 1.0, f"closing took {took_s:.1f} s"
    assert viewer.transitions()[-1][0] is State.CLOSED
    assert_fresh(viewer.seen)


def assert_fresh(seen: list[Seen]) -> None:
    """No frame twice, none out of order, no time that runs back, none from the future."""
    indices, times_s = [s.index for s in seen], [s.timestamp_s for s in seen]
    assert indices == sorted(set(indices))
    assert times_s == sorted(set(times_s))
    assert all(s.timestamp_s <= s.arrival_s for s in seen)
