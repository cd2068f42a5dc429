"""What every sink and every source must do, as tests for yours: subclass one and let pytest run it.

    from oneglance.perception.testing import SinkTests

    class TestMySink(SinkTests):
        def open(self, folder):
            return MySink(folder / "out.txt")

        def read(self, folder):        # optional: what was written, as (index, timestamp_s)
            return [parse(line) for line in (folder / "out.txt").read_text().splitlines()]

Ours are held to the same. Needs nothing but what oneglance needs.
"""

from __future__ import annotations

import itertools
import math
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import supervision as sv

from oneglance.models.tasks import Task
from oneglance.perception.protocols import Sink
from oneglance.perception.result import Result
from oneglance.streams.errors import SinkError, StreamError, UsageError
from oneglance.streams.frame import Frame
from oneglance.streams.stream import Stream

SECRET = "hunter2-secret"  # noqa: S105 - it must not turn up anywhere
"""Stands in no name that a frame gives; a sink that prints it got it from elsewhere."""

CLOSES_WITHIN_S = 1.0
"""DESIGN's promise, and ten times as long as a busy machine is given below."""

_BUSY = 10


def results(count: int, *, size: tuple[int, int] = (64, 48), boxes: int = 2) -> Iterator[Result]:
    """``count`` results of a camera named ``camera``, 25 frames a second, each image another grey
    and each with so many boxes."""
    width, height = size
    for index in range(count):
        image = np.full((height, width, 3), 40 + index % 200, np.uint8)
        frame = Frame(image, index, index / 25, "camera")
        yield Result(frame, _detections(boxes, width, height), {"inference": 0.01}, None, 0)


class SinkTests:
    """Behaviour of a sink. Override ``open``, and what else you can answer."""

    frames = 12

    def open(self, folder: Path) -> Sink:
        """A new sink that writes into ``folder``."""
        raise NotImplementedError

    def read(self, folder: Path) -> Sequence[tuple[int, float]] | None:
        """The index and time of every result written, in order; None: it is unknown."""
        del folder
        return None

    def open_failing(self, folder: Path) -> Sink | None:
        """A sink whose disk is full or whose peer is dead; None: there is no way to make one.
        ``SinkError`` may come from here, from ``write`` or from ``close``."""
        del folder
        return None

    def test_results_are_written_in_order_with_their_times(self) -> None:
        with _folder() as folder:
            given = list(results(self.frames))
            sink = self.open(folder)
            for result in given:
                sink.write(result)
            sink.close()
            found = self.read(folder)
            if found is not None:
                assert [index for index, _ in found] == [r.frame.index for r in given]
                pairs = zip((time_s for _, time_s in found), given, strict=True)
                assert all(math.isclose(t, r.frame.timestamp_s, abs_tol=1e-3) for t, r in pairs)

    def test_it_closes_twice_and_without_a_result(self) -> None:
        with _folder() as folder:
            sink = self.open(folder)
            sink.close()
            sink.close()

    def test_what_was_written_before_an_early_end_is_there(self) -> None:
        with _folder() as folder:
            sink = self.open(folder)
            for result in itertools.islice(results(self.frames), 3):
                sink.write(result)
            sink.close()
            found = self.read(folder)
            if found is not None:
                assert [index for index, _ in found] == [0, 1, 2]

    def test_a_result_without_boxes_is_written_too(self) -> None:
        with _folder() as folder:
            sink = self.open(folder)
            for result in results(3, boxes=0):
                sink.write(result)
            sink.close()
            found = self.read(folder)
            if found is not None:
                assert len(found) == 3

    def test_a_frame_is_not_changed(self) -> None:
        with _folder() as folder:
            sink = self.open(folder)
            for result in results(3):
                image, boxes = result.frame.image.copy(), result.detections.xyxy.copy()
                sink.write(result)
                assert np.array_equal(result.frame.image, image)
                assert np.array_equal(result.detections.xyxy, boxes)
            sink.close()

    def test_a_full_disk_or_a_dead_peer_is_a_sink_error_or_costs_nothing(self) -> None:
        with _folder() as folder:
            said = self._failure(folder)
            assert said != ""
            assert said is None or SECRET not in said

    def _failure(self, folder: Path) -> str | None:
        """What a sink that cannot write says; None where it says nothing."""
        sink = None
        try:
            sink = self.open_failing(folder)
            if sink is None:
                return None
            for result in results(self.frames, size=(320, 240)):
                sink.write(result)
            sink.close()
        except SinkError as error:
            return str(error)
        finally:
            if sink is not None:
                _close_quietly(sink)
        return None

    def test_it_never_waits_long_to_close(self) -> None:
        with _folder() as folder:
            sink = self.open(folder)
            for result in results(3):
                sink.write(result)
            assert _seconds(sink.close) < _BUSY * CLOSES_WITHIN_S


class SourceTests:
    """Behaviour of a source. Override ``open``, and what else you can answer."""

    live = False
    least_frames = 3

    def open(self) -> Stream:
        """A new stream that gives at least ``least_frames`` frames."""
        raise NotImplementedError

    def test_it_says_what_it_is(self) -> None:
        with self.open() as stream:
            assert isinstance(stream, Stream)
            assert stream.source
            assert stream.live is self.live
            assert stream.frame_rate is None or stream.frame_rate > 0
            assert stream.frame_count is None or stream.frame_count >= 0

    def test_frames_come_in_order_and_times_never_run_back(self) -> None:
        with self.open() as stream:
            frames = list(itertools.islice(stream, 50))
        assert len(frames) >= self.least_frames
        indices, times_s = [f.index for f in frames], [f.timestamp_s for f in frames]
        assert all(a < b for a, b in itertools.pairwise(indices))
        assert all(a <= b for a, b in itertools.pairwise(times_s))
        assert all(math.isfinite(time_s) for time_s in times_s)

    def test_images_are_what_the_loop_takes(self) -> None:
        with self.open() as stream:
            for frame in itertools.islice(stream, 3):
                assert frame.image.dtype == np.uint8
                assert frame.image.shape == (frame.height, frame.width, 3)

    def test_closing_in_the_middle_ends_it_and_twice_does_nothing(self) -> None:
        stream = self.open()
        frames = iter(stream)
        next(frames)
        assert _seconds(stream.close) < _BUSY * CLOSES_WITHIN_S
        stream.close()
        assert len(list(itertools.islice(frames, 5))) <= 1

    def test_another_thread_may_close_it(self) -> None:
        stream = self.open()
        frames = iter(stream)
        next(frames)
        closer = threading.Thread(target=stream.close)
        closer.start()
        for _ in frames:
            pass
        closer.join(_BUSY * CLOSES_WITHIN_S)
        assert not closer.is_alive()

    def test_it_closes_without_having_been_played(self) -> None:
        stream = self.open()
        stream.close()
        assert list(itertools.islice(stream, 1)) == []

    def test_it_plays_once(self) -> None:
        with self.open() as stream:
            next(iter(stream))
        try:
            again = list(itertools.islice(stream, 1))
        except (UsageError, StreamError):
            again = []
        assert again == []

    def test_no_credential_is_in_what_it_says(self) -> None:
        with self.open() as stream:
            assert SECRET not in stream.source
            for frame in itertools.islice(stream, 2):
                assert SECRET not in frame.source
                assert SECRET not in repr(dict(frame.metadata))


def _detections(count: int, width: int, height: int) -> sv.Detections:
    tasks = [task.value for task in itertools.islice(itertools.cycle(Task), count)]
    place = np.arange(count, dtype=np.float32)[:, None]
    corner = np.array([[2, 2, width / 3, height / 3]], np.float32)
    return sv.Detections(
        xyxy=(corner + place).astype(np.float32).reshape(-1, 4),
        confidence=np.linspace(0.9, 0.5, count, dtype=np.float32),
        class_id=np.arange(count, dtype=np.int64),
        tracker_id=np.arange(1, count + 1, dtype=np.int64),
        data={"class_name": np.array(tasks, "<U20"), "task": np.array(tasks, "<U20")},
    )


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def _close_quietly(sink: Sink) -> None:
    try:
        sink.close()
    except SinkError:
        return


def _seconds(call: object) -> float:
    assert callable(call)
    started_s = time.perf_counter()
    call()
    return time.perf_counter() - started_s
