"""Many live sources read at once for one network: none waits for another.

Every source has a reading thread of its own and a place in ``RoundRobinLatestBuffer``, where its
newest frame is taken round-robin. A source that is away, silent or stuck holds up nobody; one that
ends or breaks for good leaves, and is reported when all the others have ended too.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import count
from typing import TYPE_CHECKING

from oneglance.perception.health import SourceHealth
from oneglance.perception.mode import Alert, Live
from oneglance.perception.readers.channel import Channel
from oneglance.perception.readers.frame_reader import CapturedFrame, Source, SourceFailed, joined
from oneglance.streams import shutdown
from oneglance.streams.buffers import Closed, RoundRobinLatestBuffer
from oneglance.streams.errors import StreamError, UsageError
from oneglance.streams.live.reconnecting import open_with_reconnect, safe_name
from oneglance.streams.opening import kind_of, open_stream
from oneglance.streams.options import ConnectOptions
from oneglance.streams.stream import Stream

if TYPE_CHECKING:
    from oneglance.perception.protocols import TrackerLike

logger = logging.getLogger(__name__)

MOST_CLOSED = 16
"""Sources that have left and are still reported; the latest of what comes and goes."""


class MultiSourceReader:
    """The live sources of a run; a ``FrameReader`` of the newest frame of each, round-robin."""

    live = True

    def __init__(
        self, limits: Live, connect: ConnectOptions, *, clock: Callable[[], float]
    ) -> None:
        """``limits``: when to raise an alarm. ``connect``: how sources given by address are
        opened. ``clock``: seconds, monotonic."""
        self._limits = limits
        self._connect = connect
        self._clock = clock
        self._buffer: RoundRobinLatestBuffer[Channel, CapturedFrame] = RoundRobinLatestBuffer()
        self._lock = threading.Lock()
        self._channels: dict[str, Channel] = {}
        self._tracker: TrackerLike | None = None
        self._started = self._closed = False

    @property
    def name(self) -> str:
        """See ``FrameReader``."""
        return ", ".join(channel.name for channel in self._all())

    @property
    def frame_rate(self) -> Fraction | None:
        """See ``FrameReader``."""
        only = self._only()
        return None if only is None else only.frame_rate

    @property
    def frame_count(self) -> int | None:
        """See ``FrameReader``."""
        only = self._only()
        return None if only is None else only.frame_count

    def add(self, source: Source, *, first: Stream | None = None) -> str:
        """See ``FrameReader``. ``first``: the source is open already."""
        stream = self._opened(source, first)
        try:
            return self._add(stream)
        except UsageError:
            if stream is not source:
                stream.close()
            raise

    def remove(self, name: str) -> None:
        """See ``FrameReader``; the source stays in ``health`` as closed, one of ``MOST_CLOSED``."""
        with self._lock:
            channel = self._channels.get(name)
        if channel is None:
            known = ", ".join(self._channels) or "none"
            raise UsageError(f"there is no source {name} (sources: {known})")
        channel.close()
        channel.lose(self._buffer.remove(channel))
        with self._lock:
            self._forget_closed()

    def start(self, tracker: TrackerLike | None) -> None:
        """See ``FrameReader``."""
        with self._lock:
            self._started, self._tracker = True, tracker
            for channel in self._channels.values():
                self._read(channel)

    def get(self, timeout_s: float) -> CapturedFrame:
        """See ``FrameReader``; the newest frame of the source that has waited longest."""
        try:
            captured, dropped = self._buffer.get(timeout_s)
        except Closed:
            error = next((c.error for c in self._all() if c.error is not None), None)
            if error is None or self._closed:
                raise
            raise SourceFailed(error) from None
        _channel_of(captured).taken(dropped)
        return replace(captured, dropped=dropped) if dropped else captured

    def tracker(self, captured: CapturedFrame) -> TrackerLike | None:
        """See ``FrameReader``."""
        return _channel_of(captured).tracker

    def wants(self, captured: CapturedFrame) -> bool:
        """See ``FrameReader``."""
        return not _channel_of(captured).is_closed

    def delivered(self, captured: CapturedFrame) -> Alert | None:
        """See ``FrameReader``."""
        return _channel_of(captured).delivered(captured.dropped)

    def skipped(self, captured: CapturedFrame) -> None:
        """See ``FrameReader``; counted as dropped, for a reason of its own."""
        _channel_of(captured).skipped()

    def failed(self, captured: CapturedFrame, error: StreamError) -> None:
        """See ``FrameReader``; its source leaves the run."""
        channel = _channel_of(captured)
        channel.fail(error)
        channel.lose(self._buffer.remove(channel))
        logger.warning("%s is out of the run: %s", channel.name, error)

    def check_silence(self) -> None:
        """See ``FrameReader``."""
        for channel in self._all():
            channel.check_silence()

    def health(self) -> tuple[SourceHealth, ...]:
        """See ``FrameReader``."""
        return tuple(channel.health() for channel in self._all())

    def close(self) -> None:
        """See ``FrameReader``."""
        with self._lock:
            self._closed = True
        for channel in self._all():
            channel.close()
        self._buffer.close()

    def join(self, patience_s: Callable[[], float]) -> bool:
        """See ``FrameReader``; a camera that is stuck is waited for briefly only."""
        threads = [c.thread for c in self._all() if c.thread is not None]
        all_ended = joined(threads, lambda: min(shutdown.SOURCE_S, patience_s()))
        for channel in self._all():
            channel.lose(self._buffer.remove(channel))
            channel.settle()
        return all_ended

    def _add(self, stream: Stream) -> str:
        channel = Channel(stream, limits=self._limits, connect=self._connect, clock=self._clock)
        with self._lock:
            if self._closed:
                raise UsageError(f"cannot add {channel.name}: the run is over")
            old = self._channels.get(channel.name)
            if old is not None and not old.is_closed:
                raise UsageError(f"there is a source {channel.name} already: give it another name")
            self._channels[channel.name] = channel
            self._buffer.open(channel)
            if self._started:
                self._read(channel)
        return channel.name

    def _forget_closed(self) -> None:
        """Make room among those that have left; what broke is raised at the end."""
        gone = [c for c in self._channels.values() if c.is_closed and c.error is None]
        for channel in gone[: max(0, len(gone) - MOST_CLOSED)]:
            if channel.thread is None or not channel.thread.is_alive():
                del self._channels[channel.name]

    def _opened(self, source: Source, first: Stream | None) -> Stream:
        """A stream of ``source`` that comes back, if sources like it do."""
        if isinstance(source, Stream):
            return source
        if not kind_of(source).may_come_back:
            return first or open_stream(source, self._connect)
        return open_with_reconnect(
            source,
            self._connect,
            name=self._free_name(safe_name(source)),
            first=first,
            on_event=self._limits.on_event,
            clock=self._clock,
        )

    def _free_name(self, name: str) -> str:
        """``name``, with a number where a source in the run has it already."""
        taken = {channel.name for channel in self._all() if not channel.is_closed}
        numbered = (f"{name} #{number}" for number in count(2))
        return name if name not in taken else next(n for n in numbered if n not in taken)

    def _all(self) -> tuple[Channel, ...]:
        with self._lock:
            return tuple(self._channels.values())

    def _only(self) -> Stream | None:
        channels = self._all()
        return channels[0].stream if len(channels) == 1 else None

    def _read(self, channel: Channel) -> None:
        # What one camera sees, another does not.
        channel.tracker = None if self._tracker is None else self._tracker.fresh()
        channel.thread = threading.Thread(
            target=self._run, args=(channel,), name="oneglance-read", daemon=True
        )
        channel.thread.start()

    def _run(self, channel: Channel) -> None:
        try:
            channel.read(lambda captured: self._buffer.put(channel, captured))
        except BaseException as error:  # noqa: BLE001 - carried to the caller's thread as it is
            channel.ended(error)
            if isinstance(error, StreamError) and len(self._channels) > 1:
                logger.warning("%s is out of the run: %s", channel.name, error)
            elif channel.error is not None:
                self._buffer.fail(SourceFailed(error))
        else:
            channel.ended(None)
        self._buffer.finish(channel)


def _channel_of(captured: CapturedFrame) -> Channel:
    assert isinstance(captured.channel, Channel)
    return captured.channel
