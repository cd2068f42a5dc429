"""Coming back, without a network: connections that are scripted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction

import pytest

from media import numbered_image
from oneglance.streams import Frame, SourceBroken, SourceNotFound, StreamError, UsageError
from oneglance.streams.errors import Reason
from oneglance.streams.live.backoff import Backoff
from oneglance.streams.live.reconnecting import ReconnectingStream, open_with_reconnect, safe_name
from oneglance.streams.live.states import Event, State
from oneglance.streams.live.status import SourceMonitor
from oneglance.streams.options import ConnectOptions
from waiting import within

AT_ONCE = Backoff(first_s=0.001, ceiling_s=0.001)


class Connection:
    """Gives the frames named by index and time, then raises ``error`` or just ends."""

    source = "inner"
    frame_count = None

    def __init__(
        self,
        frames: list[tuple[int, float]],
        error: StreamError | None = None,
        *,
        live: bool = True,
        rate: int = 25,
    ) -> None:
        self.live, self.frame_rate = live, Fraction(rate)
        self.closed = False
        self._frames, self._error = frames, error

    def __iter__(self) -> Iterator[Frame]:
        for index, time_s in self._frames:
            yield Frame(numbered_image(index), index, time_s, self.source)
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def kept(
    *connections: Connection | StreamError, clock: Callable[[], float] = time.monotonic
) -> tuple[ReconnectingStream, list[Event]]:
    """A stream over these connections, one after the other; closed when there are no more."""
    waiting, events = list(connections), []  # type: ignore[var-annotated]

    def open_() -> Connection:
        if not waiting:
            stream.close()
            raise SourceNotFound("no more")
        connection = waiting.pop(0)
        if isinstance(connection, StreamError):
            raise connection
        return connection

    watch = SourceMonitor("camera", clock=clock, on_event=events.append)
    stream = ReconnectingStream(open_, watch, source="camera", backoff=AT_ONCE, clock=clock)
    return stream, events


def broken(reason: Reason = Reason.LOST) -> SourceBroken:
    return SourceBroken("it broke", reason=reason)


def test_frames_are_counted_on_over_connections_and_carry_the_sources_name() -> None:
    first, second = Connection([(0, 1.0), (1, 1.1)], broken()), Connection([(0, 2.0), (1, 2.1)])
    stream, _ = kept(first, second)
    frames = list(stream)
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert [frame.timestamp_s for frame in frames] == [1.0, 1.1, 2.0, 2.1]
    assert {frame.source for frame in frames} == {"camera"}
    assert first.closed
    assert second.closed
    assert stream.status().reconnects == 1


def test_frames_that_a_connection_left_out_are_counted_as_corrupt() -> None:
    stream, _ = kept(Connection([(0, 1.0), (3, 1.3)], broken()), Connection([(1, 2.1)]))
    assert [frame.index for frame in stream] == [0, 3, 5]
    found = stream.status()
    assert (found.received, found.corrupt) == (3, 3)


def test_times_of_connections_that_overlap_still_run_forward() -> None:
    stream, _ = kept(Connection([(0, 5.0)], broken()), Connection([(0, 5.0), (1, 4.0), (2, 6.0)]))
    times_s = [frame.timestamp_s for frame in stream]
    assert times_s == sorted(set(times_s))
    assert times_s == pytest.approx([5, 5, 5, 6])


def test_every_failure_is_an_event_with_its_reason() -> None:
    failures = [
        SourceNotFound("away", reason=Reason.REFUSED),
        SourceNotFound("locked", reason=Reason.AUTH),
        Connection([(0, 1.0)], broken(Reason.SILENT)),
        Connection([(0, 2.0)]),
    ]
    stream, events = kept(*failures)  # type: ignore[arg-type]
    list(stream)
    assert [(event.after, event.reason) for event in events] == [
        (State.RECONNECTING, Reason.REFUSED),
        (State.RECONNECTING, Reason.AUTH),
        (State.LIVE, Reason.PLAYING),
        (State.STALLED, Reason.SILENT),
        (State.RECONNECTING, Reason.SILENT),
        (State.LIVE, Reason.PLAYING),
        (State.RECONNECTING, Reason.ENDED),
        (State.CLOSED, Reason.CLOSED),
    ]
    assert "away; trying again in 0.0 s" in str(events[0])
    assert stream.status().last_error == "camera ended"


def test_a_recording_behind_the_address_is_played_once_at_its_own_pace() -> None:
    recording = Connection([(0, 7.0), (1, 7.1), (2, 7.2)], live=False)
    stream, events = kept(recording)
    began_s = time.monotonic()
    frames = list(stream)
    assert time.monotonic() - began_s >= 0.2
    assert began_s <= frames[0].timestamp_s < frames[-1].timestamp_s <= time.monotonic()
    assert (events[-1].after, events[-1].reason) == (State.CLOSED, Reason.ENDED)


def test_a_recording_that_breaks_is_reported_and_not_begun_anew() -> None:
    stream, events = kept(Connection([(0, 0.0)], broken(), live=False), Connection([(0, 0.0)]))
    frames = []  # type: ignore[var-annotated]
    with pytest.raises(SourceBroken, match="it broke"):
        frames.extend(stream)
    assert len(frames) == 1
    assert (events[-1].after, events[-1].reason) == (State.CLOSED, Reason.LOST)


def test_closing_ends_a_wait_and_an_opening_at_once() -> None:
    never, late = threading.Event(), Connection([(0, 0.0)])
    given_back = threading.Event()
    late.close = given_back.set  # type: ignore[method-assign]

    def open_() -> Connection:
        never.wait(20)
        return late

    watch = SourceMonitor("camera", clock=time.monotonic)
    stream = ReconnectingStream(open_, watch, source="camera")
    threading.Timer(0.1, stream.close).start()
    with within(1):
        assert list(stream) == []
    never.set()
    assert given_back.wait(5)  # what opens too late is closed


def test_a_bug_is_raised_and_not_tried_again() -> None:
    def open_() -> Connection:
        raise ZeroDivisionError

    watch = SourceMonitor("camera", clock=time.monotonic)
    with pytest.raises(ZeroDivisionError):
        list(ReconnectingStream(open_, watch, source="camera"))
    assert watch.state is State.CLOSED


def test_a_stream_is_played_once() -> None:
    stream, _ = kept()
    list(stream)
    with pytest.raises(UsageError, match="camera was played already"):
        list(stream)


def test_a_stream_closed_before_it_is_played_gives_nothing() -> None:
    stream, _ = kept(Connection([(0, 0.0)]))
    stream.close()
    assert list(stream) == []


def test_the_rate_is_that_of_the_connection_in_hand() -> None:
    stream, _ = kept(Connection([(0, 1.0)], broken()), Connection([(0, 2.0)], rate=5))
    rates = [stream.frame_rate, *(stream.frame_rate for _ in stream)]
    assert rates == [None, 25, 5]


def test_a_camera_that_says_nothing_is_stalled_by_the_clock() -> None:
    now_s = 0.0
    events: list[Event] = []
    watch = SourceMonitor("camera", clock=lambda: now_s, on_event=events.append)
    watch.came(Frame(numbered_image(0), 0, 0.0, "camera"), index=0, captured_s=0.0)
    now_s = 4.9
    watch.check_silence(5.0)
    assert watch.state is State.LIVE
    now_s = 5.1
    watch.check_silence(5.0)
    watch.check_silence(5.0)
    assert [event.reason for event in events] == [Reason.PLAYING, Reason.SILENT]
    watch.came(Frame(numbered_image(1), 1, 5.2, "camera"), index=1, captured_s=5.2)
    assert watch.state is State.LIVE


@pytest.mark.parametrize("uri", ["", "gopher://host/x"])
def test_an_address_that_cannot_be_used_is_reported_before_anything_is_opened(uri: str) -> None:
    with pytest.raises(UsageError):
        open_with_reconnect(uri)


@pytest.mark.parametrize("wrong", [{"timeout_s": 0}, {"stall_s": -1}, {"transport": "pigeon"}])
def test_useless_options_are_reported_before_anything_is_opened(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        ConnectOptions(**wrong)  # type: ignore[arg-type]


def test_a_source_is_called_by_its_address_without_the_password() -> None:
    assert safe_name("rtsp://u:p@host/x?token=T") == "rtsp://***@host/x?token=***"
    assert safe_name(0) == "camera 0"
    assert open_with_reconnect("rtsp://u:p@host/x").source == "rtsp://***@host/x"
    assert open_with_reconnect("rtsp://host/x", name="front").source == "front"
