"""What every reader does, whatever lies behind it: one suite, run over each of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction

import pytest
import supervision as sv

from media import numbered_image
from oneglance.perception import Live
from oneglance.perception.readers.frame_reader import (
    CapturedFrame,
    FrameReader,
    SourceFailed,
    checked_frame,
    joined,
)
from oneglance.perception.readers.multi_source import MultiSourceReader
from oneglance.perception.readers.recorded import RecordedReader
from oneglance.streams import ConnectOptions, Frame, SourceBroken, StreamError
from oneglance.streams.buffers import Closed
from waiting import LONG_S


class Script:
    """A stream of ``frames`` that ends as scripted; each frame waits for ``allowed``."""

    frame_rate = Fraction(1000)
    frame_count = 3

    def __init__(self, *, live: bool, frames: int = 3, error: Exception | None = None) -> None:
        self.source = "script"
        self.live = live
        self.allowed = threading.Semaphore(0)
        self.stopping = threading.Event()
        self._frames, self._error = frames, error

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._frames):
            while not self.allowed.acquire(timeout=0.01):
                if self.stopping.is_set():
                    return
            time_s = time.monotonic() if self.live else index / 1000
            yield Frame(numbered_image(index), index, time_s, self.source)
        while self._error is None and self.live and not self.stopping.wait(0.01):
            pass
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        self.stopping.set()

    def __enter__(self) -> Script:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class Ids:
    """A tracker that counts who asked for a fresh one."""

    made: list[Ids]

    def update(self, detections: sv.Detections, *, timestamp_s: float) -> sv.Detections:
        return detections

    def fresh(self) -> Ids:
        another = Ids(self.made)
        self.made.append(another)
        return another


def recorded(stream: Script) -> FrameReader:
    return RecordedReader(stream, time.monotonic)


def live(stream: Script) -> FrameReader:
    reader = MultiSourceReader(Live(), ConnectOptions(), clock=time.monotonic)
    reader.add(stream)
    return reader


Make = Callable[[Script], FrameReader]
each = pytest.mark.parametrize("make", [recorded, live])


def script(make: Make, **how: object) -> Script:
    return Script(live=make is live, **how)  # type: ignore[arg-type]


def taken(reader: FrameReader, stream: Script, count: int) -> list[CapturedFrame]:
    """Frames one by one, none produced before the one before it was taken."""
    found = []
    for _ in range(count):
        stream.allowed.release()
        found.append(reader.get(LONG_S))
    return found


@each
def test_it_is_a_frame_reader_and_says_what_it_reads(make: Make) -> None:
    with closing(make(script(make))) as reader:
        assert isinstance(reader, FrameReader)
        assert reader.name == "script"
        assert (reader.frame_rate, reader.frame_count) == (Fraction(1000), 3)
        assert reader.live is (make is live)


@each
def test_frames_come_in_order_with_their_arrival_on_the_runs_clock(make: Make) -> None:
    stream = script(make)
    with closing(make(stream)) as reader:
        before_s = time.monotonic()
        reader.start(None)
        frames = taken(reader, stream, 3)
        after_s = time.monotonic()
    assert [c.frame.index for c in frames] == [0, 1, 2]
    assert [c.dropped for c in frames] == [0, 0, 0]
    arrivals = [before_s, *(c.arrival_s for c in frames), after_s]
    assert arrivals == sorted(arrivals)


@each
def test_only_live_frames_have_a_time_of_capture_and_so_an_age(make: Make) -> None:
    stream = script(make)
    with closing(make(stream)) as reader:
        reader.start(None)
        for captured in taken(reader, stream, 3):
            if reader.live:
                assert captured.captured_s == captured.frame.timestamp_s
                assert captured.captured_s <= captured.arrival_s
            else:
                assert captured.captured_s is None


@each
def test_what_a_source_breaks_with_comes_after_its_last_frame(make: Make) -> None:
    error = SourceBroken("script broke")
    stream = script(make, frames=1, error=error)
    with closing(make(stream)) as reader:
        reader.start(None)
        stream.allowed.release()
        assert reader.get(LONG_S).frame.index == 0
        with pytest.raises(SourceFailed) as caught:
            reader.get(LONG_S)
    assert caught.value.error is error


@each
def test_nothing_in_time_is_a_time_out_and_the_reader_stays_usable(make: Make) -> None:
    stream = script(make)
    with closing(make(stream)) as reader:
        reader.start(None)
        with pytest.raises(TimeoutError):
            reader.get(0.0)
        assert taken(reader, stream, 1)[0].frame.index == 0


@each
def test_closing_frees_who_waits_and_the_threads_end(make: Make) -> None:
    reader = make(script(make))
    reader.start(None)
    ended = threading.Event()

    def wait() -> None:
        with pytest.raises(Closed):
            reader.get(60.0)
        ended.set()

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    reader.close()
    assert ended.wait(LONG_S)
    assert reader.join(lambda: LONG_S)
    reader.close()  # once more does no harm


@each
def test_every_run_gets_a_fresh_tracker_and_it_is_the_same_for_all_frames(make: Make) -> None:
    made: list[Ids] = []
    stream, given = script(make), Ids(made)
    with closing(make(stream)) as reader:
        reader.start(given)
        frames = taken(reader, stream, 3)
        trackers = [reader.tracker(captured) for captured in frames]
    assert trackers == made * 3
    assert all(tracker is made[0] for tracker in trackers)
    assert made[0] is not given


@each
def test_without_a_tracker_there_is_none(make: Make) -> None:
    stream = script(make)
    with closing(make(stream)) as reader:
        reader.start(None)
        assert reader.tracker(taken(reader, stream, 1)[0]) is None


@each
def test_a_result_is_wanted_and_its_delivery_no_alarm(make: Make) -> None:
    stream = script(make)
    with closing(make(stream)) as reader:
        reader.start(None)
        captured = taken(reader, stream, 1)[0]
        assert reader.wants(captured)
        assert reader.delivered(captured) is None
        reader.check_silence()


def test_an_image_that_cannot_be_made_ends_a_recording() -> None:
    stream, error = Script(live=False), SourceBroken("cannot be converted")
    with closing(recorded(stream)) as reader:
        reader.start(None)
        captured = taken(reader, stream, 1)[0]
        with pytest.raises(StreamError) as caught:
            reader.failed(captured, error)
    assert caught.value is error


def test_an_image_that_cannot_be_made_ends_a_live_source_alone() -> None:
    stream, error = Script(live=True), SourceBroken("cannot be converted")
    other = Script(live=True)
    other.source = "other"
    reader = live(stream)
    reader.add(other)
    with closing(reader):
        reader.start(None)
        captured = taken(reader, stream, 1)[0]
        reader.failed(captured, error)
        assert not reader.wants(captured)
        assert taken(reader, other, 1)[0].frame.source == "other"
        broken, going = reader.health()
        assert (broken.state, broken.last_error) == ("closed", "cannot be converted")
        assert going.state == "live"


def test_who_waits_for_threads_gives_up_when_its_patience_ends() -> None:
    over = threading.Event()
    stuck = threading.Thread(target=over.wait, daemon=True)
    stuck.start()
    assert not joined([stuck], lambda: 0.05)
    over.set()
    assert joined([stuck], lambda: LONG_S)


@pytest.mark.parametrize("given", [5, "frame", None, b""])
def test_what_is_no_frame_is_named_with_who_gave_it(given: object) -> None:
    with pytest.raises(SourceBroken, match=r"^lidar gave a \w+, which is no Frame"):
        checked_frame(given, "lidar")


class Timed(Script):
    """A recording of frames at given times."""

    def __init__(self, *times_s: float) -> None:
        super().__init__(live=False)
        self._times_s = times_s

    def __iter__(self) -> Iterator[Frame]:
        for index, time_s in enumerate(self._times_s):
            yield Frame(numbered_image(index), index, time_s, self.source)


@pytest.mark.parametrize("time_s", [float("nan"), float("inf")])
def test_a_recording_breaks_where_a_time_is_no_number(time_s: float) -> None:
    with closing(recorded(Timed(0.0, time_s, 0.2))) as reader:
        reader.start(None)
        assert reader.get(LONG_S).frame.index == 0
        with pytest.raises(SourceFailed) as failed:
            reader.get(LONG_S)
    assert isinstance(failed.value.error, SourceBroken)
    assert "the time of frame 1 is no number" in str(failed.value.error)
