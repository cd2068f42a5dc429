"""Many live sources read at once for one network: none waits for another.

Every source has a reading thread of its own and a place in ``RoundRobinLatestBuffer``, where its
newest frame waits for its turn. A source that is away, silent or stuck holds up nobody; one that
ends or breaks for good leaves, and is told of when all the others have ended too.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from itertools import count

from oneglance.perception.health import SourceHealth
from oneglance.perception.mode import Live
from oneglance.perception.protocols import TrackerLike
from oneglance.perception.readers.channel import Channel
from oneglance.perception.readers.frame_reader import (
    STUCK_PATIENCE_S,
    CapturedFrame,
    Source,
    SourceFailed,
    joined,
)
from oneglance.streams.buffers import Closed
from oneglance.streams.errors import StreamError, UsageError
from oneglance.streams.live.reconnecting import open_with_reconnect, safe_name
from oneglance.streams.opening import kind_of, open_stream
from oneglance.streams.round_robin import RoundRobinLatestBuffer
from oneglance.streams.stream import Stream

logger = logging.getLogger(__name__)


class MultiSourceReader:
    """The live sources of a run; a ``FrameReader`` of the newest frame of each in turn."""

    def __init__(
        self, live: Live, *, tracker: TrackerLike | None, clock: Callable[[], float]
    ) -> None:
        self._live = live
        self._tracker = tracker
        self._clock = clock
        self._buffer: RoundRobinLatestBuffer[Channel, CapturedFrame] = RoundRobinLatestBuffer()
        self._lock = threading.Lock()
        self._members: dict[str, Channel] = {}
        self._started = self._closed = False

    def add(self, source: Source, *, first: Stream | None = None) -> str:
        """Read one more source, from now on; its name. ``first``: it is open already.

        Raises:
            StreamError: a file or folder that cannot be opened.
            UsageError: there is one of that name, or the run is over.
        """
        stream = self._opened(source, first)
        try:
            return self._add(stream)
        except UsageError:
            if stream is not source:
                stream.close()
            raise

    def _add(self, stream: Stream) -> str:
        with self._lock:
            tracker = self._tracker
            if tracker is not None:
                tracker = tracker.fresh()  # what one camera sees, another does not
            member = Channel(stream, live=self._live, tracker=tracker, clock=self._clock)
            if self._closed:
                raise UsageError(f"cannot add {member.name}: the run is over")
            old = self._members.get(member.name)
            if old is not None and not old.halt.is_set():
                raise UsageError(f"there is a source {member.name} already: give it another name")
            self._members[member.name] = member
            self._buffer.open(member)
            if self._started:
                self._read(member)
        return member.name

    def remove(self, name: str) -> None:
        """Stop reading a source; it stays in ``health`` as closed.

        Raises:
            UsageError: there is none of that name.
        """
        with self._lock:
            member = self._members.get(name)
        if member is None:
            known = ", ".join(self._members) or "none"
            raise UsageError(f"there is no source {name} (sources: {known})")
        member.close()
        member.lose(self._buffer.remove(member))

    @property
    def name(self) -> str:
        """See ``FrameReader``."""
        return ", ".join(self.names())

    def names(self) -> tuple[str, ...]:
        """The sources' names, in the order they were added."""
        return tuple(self._members)

    def start(self) -> None:
        """See ``FrameReader``."""
        with self._lock:
            self._started = True
            for member in self._members.values():
                self._read(member)

    def get(self, timeout_s: float) -> tuple[CapturedFrame, int]:
        """See ``FrameReader``; the newest frame of the source that has waited longest."""
        try:
            arrived, dropped = self._buffer.get(timeout_s)
        except Closed:
            error = next((m.error for m in self._all() if m.error is not None), None)
            if error is None or self._closed:
                raise
            raise SourceFailed(error) from None
        assert arrived.member is not None
        arrived.member.take(dropped)
        return arrived, dropped

    def close(self) -> None:
        """See ``FrameReader``."""
        with self._lock:
            self._closed = True
        for member in self._all():
            member.close()
        self._buffer.close()

    def join(self, patience_s: Callable[[], float]) -> bool:
        """See ``FrameReader``; a camera that is stuck is waited for briefly only. Then no frame is
        uncounted."""
        threads = [m.thread for m in self._all() if m.thread is not None]
        all_ended = joined(threads, lambda: min(STUCK_PATIENCE_S, patience_s()))
        for member in self._all():
            member.lose(self._buffer.remove(member))
            member.settle()
        return all_ended

    def check_silence(self) -> None:
        """Notice sources that say nothing; call it now and then."""
        for member in self._all():
            member.check_silence()

    def health(self) -> tuple[SourceHealth, ...]:
        """How each source is doing."""
        return tuple(member.health() for member in self._all())

    def _opened(self, source: Source, first: Stream | None) -> Stream:
        """A stream of ``source`` that comes back, if it is of a kind that does."""
        if isinstance(source, Stream):
            return source
        opening = self._live.connect
        if not kind_of(source).may_come_back:
            return first or open_stream(source, opening)
        return open_with_reconnect(
            source,
            opening,
            name=self._free_name(safe_name(source)),
            first=first,
            on_event=self._live.on_event,
            clock=self._clock,
        )

    def _free_name(self, name: str) -> str:
        """``name``, with a number where a source in the run has it already."""
        taken = {member.name for member in self._all() if not member.halt.is_set()}
        numbered = (f"{name} #{number}" for number in count(2))
        return name if name not in taken else next(n for n in numbered if n not in taken)

    def _all(self) -> tuple[Channel, ...]:
        with self._lock:
            return tuple(self._members.values())

    def _read(self, member: Channel) -> None:
        member.thread = threading.Thread(
            target=self._run, args=(member,), name="oneglance-read", daemon=True
        )
        member.thread.start()

    def _run(self, member: Channel) -> None:
        try:
            member.read(lambda arrived: self._buffer.put(member, arrived))
        except BaseException as error:  # noqa: BLE001 - carried to the caller's thread whole
            member.over(error)
            if isinstance(error, StreamError) and len(self._members) > 1:
                logger.warning("%s is out of the run: %s", member.name, error)
            elif member.error is not None:
                self._buffer.fail(SourceFailed(error))
        else:
            member.over(None)
        self._buffer.finish(member)
