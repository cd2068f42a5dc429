"""Many live sources for one network: round robin, names, coming and going."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction

import pytest

from live_runs import Camera, uncounted
from oneglance.perception import Live, Tracker
from oneglance.perception.readers.frame_reader import SourceFailed
from oneglance.perception.readers.multi_source import MOST_CLOSED, MultiSourceReader
from oneglance.streams import ConnectOptions, SourceBroken, UsageError
from oneglance.streams.buffers import Closed
from scripted_camera import scripted_camera, steady
from waiting import LONG_S, wait_until


def reader_of(*sources: Camera) -> MultiSourceReader:
    reader = MultiSourceReader(Live(), ConnectOptions(timeout_s=3), clock=time.monotonic)
    for source in sources:
        reader.add(source)
    return reader


def sources_of(reader: MultiSourceReader, frames: int) -> Counter[str]:
    return Counter(reader.get(LONG_S).frame.source for _ in range(frames))


def test_each_source_has_its_turn() -> None:
    with closing(reader_of(Camera("left"), Camera("right"))) as reader:
        reader.start(None)
        counts = sources_of(reader, 20)
    assert counts.keys() == {"left", "right"}
    assert min(counts.values()) >= 5


def test_frames_that_were_replaced_are_counted_with_the_one_that_comes() -> None:
    camera = Camera("front")
    with closing(reader_of(camera)) as reader:
        reader.start(None)
        first = reader.get(LONG_S)
        # The reader has the frame before the one that is being made.
        wait_until(lambda: camera.produced >= first.frame.index + 7)
        captured = reader.get(LONG_S)
    assert captured.dropped == captured.frame.index - first.frame.index - 1 >= 4


def test_of_several_sources_no_single_rate_is_claimed() -> None:
    with closing(reader_of(Camera("left"))) as reader:
        assert [reader.frame_rate, reader.frame_count] == [Fraction(50), None]
        reader.add(Camera("right"))
        assert [reader.frame_rate, reader.frame_count] == [None, None]
        assert reader.name == "left, right"


def test_a_source_added_later_is_read_and_one_removed_is_not_wanted_any_more() -> None:
    with closing(reader_of(Camera("left"))) as reader:
        reader.start(None)
        captured = reader.get(LONG_S)
        assert reader.add(Camera("right")) == "right"
        reader.remove("left")
        assert not reader.wants(captured)
        assert sources_of(reader, 5) == {"right": 5}
        states = {health.source: health.state.value for health in reader.health()}
        assert states == {"left": "closed", "right": "live"}


def test_a_name_may_be_taken_again_only_when_its_source_was_removed() -> None:
    with closing(reader_of(Camera("front"))) as reader:
        with pytest.raises(UsageError, match="a source front already"):
            reader.add(Camera("front"))
        reader.remove("front")
        assert reader.add(Camera("front")) == "front"


def test_of_sources_that_have_left_the_latest_are_reported() -> None:
    with closing(reader_of(Camera("front"))) as reader:
        for number in range(3 * MOST_CLOSED):
            reader.add(Camera(f"camera {number}"))
            reader.remove(f"camera {number}")
        names = [health.source for health in reader.health()]
    assert names[0] == "front"
    assert names[1:] == [f"camera {n}" for n in range(2 * MOST_CLOSED, 3 * MOST_CLOSED)]


def test_one_address_given_twice_gets_a_number() -> None:
    with scripted_camera(steady) as camera, closing(reader_of()) as reader:
        names = [reader.add(camera.url) for _ in range(3)]
    assert names == [camera.url, f"{camera.url} #2", f"{camera.url} #3"]


def test_a_source_that_is_not_there_cannot_be_removed() -> None:
    with (
        closing(reader_of(Camera("left"), Camera("right"))) as reader,
        pytest.raises(UsageError, match=r"no source rear \(sources: left, right\)"),
    ):
        reader.remove("rear")


def test_nothing_is_added_to_a_run_that_is_over() -> None:
    reader, late = reader_of(Camera("left")), Camera("late")
    reader.close()
    with pytest.raises(UsageError, match="cannot add late: the run is over"):
        reader.add(late)


def breaking(error: Exception) -> Callable[[int], None]:
    def before(index: int) -> None:
        if index == 2:
            raise error

    return before


def test_one_that_breaks_leaves_and_is_reported_when_all_have_ended() -> None:
    error = SourceBroken("left broke")
    with closing(reader_of(Camera("left", before=breaking(error)), Camera("right"))) as reader:
        reader.start(None)
        while {health.source: health.state for health in reader.health()}["left"] != "closed":
            reader.get(LONG_S)
        assert "right" in sources_of(reader, 4)
        reader.remove("right")
        with pytest.raises(SourceFailed) as caught:
            sources_of(reader, 1000)
    assert caught.value.error is error


def test_a_bug_in_one_source_ends_the_run_at_once() -> None:
    bug = ZeroDivisionError("a driver's bug")
    with closing(reader_of(Camera("odd", before=breaking(bug)), Camera("good"))) as reader:
        reader.start(None)
        with pytest.raises(SourceFailed) as caught:
            sources_of(reader, 1000)
    assert caught.value.error is bug


def test_after_closing_there_is_no_error_but_the_end_and_every_frame_is_accounted_for() -> None:
    reader = reader_of(Camera("left"), Camera("right"))
    reader.start(None)
    for _ in range(5):
        reader.delivered(reader.get(LONG_S))
    reader.get(LONG_S)  # and no result of it comes
    reader.close()
    with pytest.raises(Closed):
        reader.get(LONG_S)
    assert reader.join(lambda: LONG_S)
    assert [uncounted(health) for health in reader.health()] == [0, 0]


def test_what_one_camera_sees_another_does_not() -> None:
    with closing(reader_of(Camera("left"), Camera("right"))) as reader:
        reader.start(Tracker())
        trackers = {c.frame.source: reader.tracker(c) for c in (reader.get(LONG_S) for _ in "1234")}
    assert trackers["left"] is not trackers["right"]
