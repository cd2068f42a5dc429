"""Which reader a run gets: the one place that decides whether a run is live."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import cast

from oneglance.perception.mode import Live, Mode, limits_of
from oneglance.perception.readers.frame_reader import FrameReader, Source
from oneglance.perception.readers.recorded import RecordedReader
from oneglance.streams.errors import UsageError
from oneglance.streams.opening import is_surely_live, open_stream
from oneglance.streams.options import ConnectOptions
from oneglance.streams.stream import Stream


def run_together(sources: Sequence[str], mode: Mode) -> bool:
    """Whether several sources run at once, live, and not one after the other: when that is asked
    for, or when each is live by its address alone (HTTP says so only when asked)."""
    if len(sources) < 2 or mode is Mode.RECORDED:
        return False
    return mode is Mode.LIVE or all(is_surely_live(source) for source in sources)


def open_reader(
    source: Source | Sequence[Source],
    mode: str | Live = Mode.AUTO,
    *,
    connect: ConnectOptions | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> FrameReader:
    """A reader of one recording or of live sources, as ``mode`` and the sources themselves ask.

    Live: when ``mode`` says so, when there are several, or when the one that there is calls
    itself live and ``mode`` leaves it open. A source that is opened here and may go away (a
    camera, a network) comes back then; one that has to be live already may also come later.
    ``connect``: how to open what is given by address; None: as ``mode`` says, or by default.

    Raises:
        StreamError, UsageError: see ``Pipeline``.
    """
    limits = limits_of(mode)
    connect = connect or limits.connect
    asked = Mode.LIVE if isinstance(mode, Live) else Mode(mode)
    first: Stream | None = None
    if isinstance(source, list | tuple):
        sources: list[Source] = list(source)
        if asked is Mode.RECORDED or not sources:
            raise UsageError("several sources run live: recordings run one after the other")
    else:
        one = cast("Source", source)
        sources = [one]
        if asked is not Mode.LIVE:
            first = one if isinstance(one, Stream) else open_stream(one, connect)
            if asked is Mode.RECORDED and first.live:
                _record(first)
            if asked is Mode.RECORDED or not first.live:
                return RecordedReader(first, clock)
    # Brings PyAV, which not every recording needs.
    from oneglance.perception.readers.multi_source import MultiSourceReader

    reader = MultiSourceReader(limits, connect, clock=clock)
    try:
        for each in sources:
            reader.add(each, first=first)
    except BaseException:
        reader.close()
        raise
    return reader


def _record(stream: Stream) -> None:
    """Play a stream that calls itself live as a recording, where it may be one."""
    from oneglance.streams.live.network import NetworkStream

    if isinstance(stream, NetworkStream):
        stream.record()
