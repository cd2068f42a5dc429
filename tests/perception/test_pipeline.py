"""The loop: order, losses, endings. Its sources are scripted; its model is a real one."""

from __future__ import annotations

import gc
import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import supervision as sv

from http_server import http_server
from media import KINDS, index_of, numbered_image
from oneglance.models import Detector
from oneglance.perception import Pipeline, Result, Tracker, pipeline
from oneglance.perception.readers import recorded
from oneglance.perception.readers.frame_reader import CapturedFrame
from oneglance.perception.result import STAGES
from oneglance.perception.sinks.thread import WAITING
from oneglance.streams import (
    Frame,
    SinkError,
    SourceBroken,
    UsageError,
    open_stream,
    shutdown,
)
from oneglance.streams.buffers import BlockingBuffer, Closed
from oneglance.streams.decoding.planes import DecodedImage
from onnx_models import build_model, seeing_model
from present import present
from silences import our_threads
from waiting import ENDED_S, LONG_S, Stopwatch, wait_until, within

MakeVideo = Callable[..., Path]


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    return Detector.load(seeing_model(tmp_path_factory.mktemp("model") / "seeing.onnx"), threads=1)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    wait_until(lambda: not our_threads(), our_threads)


class Source:
    """``frames`` grey images at 25 a second; ``before(index)`` is called ahead of each, and
    once more at the end. A live one stamps them with ``clock``."""

    frame_rate = Fraction(25)
    frame_count = None
    source = "scripted"

    def __init__(
        self,
        frames: int,
        *,
        before: Callable[[int], object] = lambda index: None,
        live: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.live = live
        self.produced = 0
        self.asked_to_close = threading.Event()
        self._frames, self._before, self._clock = frames, before, clock

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._frames):
            self._before(index)
            time_s = self._clock() if self.live else index / 25
            self.produced += 1
            yield Frame(numbered_image(index), index, time_s, self.source)
        self._before(self._frames)

    @property
    def closed(self) -> bool:
        return self.asked_to_close.is_set()

    def close(self) -> None:
        self.asked_to_close.set()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Hooked:
    """The real detector, with ``before(frame number)`` called ahead of each image."""

    def __init__(self, detector: Detector, before: Callable[[int], object]) -> None:
        self._detector, self._before = detector, before
        self.name, self.threads = detector.name, detector.threads
        self.engine, self.precision = detector.engine, detector.precision

    def __call__(self, image: np.ndarray) -> sv.Detections:
        return self.detect(image)[0]

    def detect(self, image: np.ndarray) -> tuple[sv.Detections, dict[str, float]]:
        self._before(index_of(image))
        return self._detector.detect(image)


class Sink:
    """Remembers which frames it was given; ``before(index)`` is called ahead of each."""

    def __init__(
        self,
        before: Callable[[int], object] = lambda index: None,
        *,
        at_close: Callable[[], object] = lambda: None,
    ) -> None:
        self.written: list[int] = []
        self.closed = 0
        self._before, self._at_close = before, at_close

    def write(self, result: Result) -> None:
        self._before(result.frame.index)
        self.written.append(result.frame.index)

    def close(self) -> None:
        self.closed += 1
        self._at_close()


class Trouble(Exception):
    """What nobody expects."""


def raising(error: BaseException, *, at: int) -> Callable[[int], None]:
    def before(index: int) -> None:
        if index == at:
            raise error

    return before


def taken_until(error: type[BaseException], loop: Pipeline) -> tuple[list[int], BaseException]:
    """The frames that came before the loop raised ``error``, and the error."""
    taken: list[int] = []
    with pytest.raises(error) as caught:
        taken.extend(result.frame.index for result in loop)
    return taken, caught.value


# -- recorded ------------------------------------------------------------------------------


def test_a_recording_gives_every_frame_in_order_at_its_own_time(
    video: MakeVideo, detector: Detector
) -> None:
    times_s = [Fraction(40 * i + 13 * (i % 3), 1000) for i in range(50)]
    results = list(Pipeline(video("a.mp4", frames=50, times_s=times_s), detector))
    assert [index_of(r.frame.image) for r in results] == [i % KINDS for i in range(50)]
    assert [r.frame.index for r in results] == list(range(50))
    assert [r.frame.timestamp_s for r in results] == [float(t) for t in times_s]
    assert {r.dropped for r in results} == {0}
    assert {r.age_s for r in results} == {None}


def test_each_result_is_what_the_detector_says_of_that_frame_alone(
    video: MakeVideo, detector: Detector
) -> None:
    file = video("a.mp4", frames=25)  # once: x264's threads may encode it otherwise again
    results = list(Pipeline(file, detector))
    with open_stream(file) as stream:
        for result, frame in zip(results, stream, strict=True):
            planes = frame.yuv()
            assert planes is not None
            alone, _ = detector.detect(planes)
            np.testing.assert_array_equal(result.detections.xyxy, alone.xyxy)
            np.testing.assert_array_equal(result.detections.confidence, alone.confidence)
            of_image = detector(frame.image)
            np.testing.assert_allclose(alone.xyxy, of_image.xyxy, atol=0.1)
            assert list(result.detections.data["task"]) == ["car", "pedestrian", "sign"]
    # A car as wide as its image is bright: were two results swapped, this would not hold.
    widths = [float(r.detections.xyxy[0, 2]) for r in results]
    assert widths == sorted(set(widths))


def test_an_image_that_nobody_asks_for_is_not_made(
    video: MakeVideo, detector: Detector, conversions: list[DecodedImage]
) -> None:
    assert len(list(Pipeline(video("a.mp4", frames=10), detector))) == 10
    assert not conversions
    hooked = Hooked(detector, lambda index: None)  # which takes images alone
    assert len(list(Pipeline(video("b.mp4", frames=10), hooked))) == 10
    assert len(conversions) == 10


def test_a_region_of_the_planes_is_that_of_the_image(
    video: MakeVideo, detector: Detector, conversions: list[DecodedImage]
) -> None:
    size, region = (200, 120), "40,20,180,100"
    results = list(Pipeline(video("a.mp4", frames=5, size=size), detector, region=region))
    assert not conversions
    for result in results:
        part = detector(result.frame.image[20:100, 40:180])
        moved = part.xyxy + np.array((40, 20, 40, 20))
        np.testing.assert_allclose(result.detections.xyxy, moved, atol=0.3)


def test_several_workers_infer_at_once_and_keep_the_order(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "available_cpus", lambda: 4)
    all_at_work = threading.Barrier(4)

    def before(index: int) -> None:
        if index < 4:
            all_at_work.wait(LONG_S)  # breaks unless four are inferred at the same time
        time.sleep(0.002 * (3 - index % 4))  # slow: the later of four is ready first

    loop = Pipeline(Source(24), Hooked(detector, before))
    assert [(r.frame.index, index_of(r.frame.image)) for r in loop] == [(i, i) for i in range(24)]


def test_a_worker_that_dawdles_with_a_frame_in_its_hand_keeps_its_place(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dawdling(BlockingBuffer[CapturedFrame]):
        def get(self, timeout_s: float) -> CapturedFrame:
            captured = super().get(timeout_s)
            time.sleep(0.01 * (1 - captured.frame.index % 2))  # what dawdling is
            return captured

    monkeypatch.setattr(pipeline, "available_cpus", lambda: 4)
    monkeypatch.setattr(recorded, "BlockingBuffer", Dawdling)
    assert [r.frame.index for r in Pipeline(Source(16), detector)] == list(range(16))


def test_decoding_inference_and_writing_overlap(detector: Detector) -> None:
    # Frame 1 is decoded while frame 0 is inferred, frame 2 inferred while frame 0 is written.
    decoding, writing = threading.Barrier(2), threading.Barrier(2)
    source = Source(3, before=lambda i: i == 1 and decoding.wait(LONG_S))
    sink = Sink(lambda i: i == 0 and writing.wait(LONG_S))

    def before(index: int) -> None:
        if index == 0:
            decoding.wait(LONG_S)
        if index == 2:
            writing.wait(LONG_S)

    summary = Pipeline(source, Hooked(detector, before), sinks=[sink]).run()
    assert summary.frames == 3
    assert sink.written == [0, 1, 2]


def test_a_slow_sink_makes_a_recorded_loop_wait_and_loses_nothing(detector: Detector) -> None:
    sink = Sink(lambda index: time.sleep(0.005))  # a slow sink
    for result in Pipeline(Source(30), detector, sinks=[sink]):
        # Of the frames before this one, those that wait and one in the making are not written.
        assert len(sink.written) >= result.frame.index - WAITING - 1
    assert sink.written == list(range(30))


def test_only_a_few_frames_are_decoded_ahead_of_a_slow_consumer(detector: Detector) -> None:
    taken, ahead = 0, []
    # A frame costs this source nothing and the network something: only waiting holds it back.
    source = Source(100, before=lambda index: ahead.append(index - taken))
    for _ in Pipeline(source, detector):
        taken += 1
    # In work or ready, and decoded ahead; one in the reader's hand, one just handed to us.
    most = 2 * pipeline.available_cpus() + recorded.DECODED_AHEAD + 2  # type: ignore[attr-defined]
    assert 1 < max(ahead) <= most < 50


def test_every_stage_is_timed(detector: Detector) -> None:
    for tracker, stages in ((None, STAGES[:-1]), (Tracker(), STAGES)):
        for result in Pipeline(Source(3), detector, tracker=tracker):
            assert tuple(result.timings) == stages
            assert min(result.timings.values()) >= 0


def test_a_tracker_gives_ids_that_stay(detector: Detector) -> None:
    results = list(Pipeline(Source(10), detector, tracker=Tracker(frame_rate=25)))
    ids = [tuple(present(r.detections.tracker_id).tolist()) for r in results]
    assert len(set(ids[1:])) == 1
    assert len(set(ids[-1])) == 3
    assert min(ids[-1]) > 0


def test_a_run_may_end_after_so_many_frames(detector: Detector) -> None:
    source, sink = Source(100), Sink()
    assert Pipeline(source, detector, sinks=[sink]).run(max_frames=7).frames == 7
    assert sink.written == list(range(7))
    assert source.closed
    with pytest.raises(UsageError, match="max_frames must be at least 1, not 0"):
        Pipeline(Source(1), detector).run(max_frames=0)


def test_a_source_without_frames_is_a_run_without_results(detector: Detector) -> None:
    sink = Sink()
    assert Pipeline(Source(0), detector, sinks=[sink]).run().frames == 0
    assert (sink.written, sink.closed) == ([], 1)


# -- live ----------------------------------------------------------------------------------


def test_a_live_run_goes_on_with_the_newest_frame_and_counts_the_rest(detector: Detector) -> None:
    held, all_came = threading.Event(), threading.Event()

    def before(index: int) -> None:
        if index == 1:
            held.wait(LONG_S)
        if index == 10:
            all_came.set()

    seen = []
    for result in Pipeline(Source(10, live=True, before=before), detector):
        seen.append((result.frame.index, index_of(result.frame.image), result.dropped))
        held.set()
        assert all_came.wait(LONG_S)
    assert seen == [(0, 0, 0), (9, 9, 8)]


def test_delivered_and_dropped_frames_are_all_that_a_live_source_produced(
    detector: Detector,
) -> None:
    source = Source(150, live=True, before=lambda index: time.sleep(0.001))  # its frame rate
    loop = Pipeline(source, detector)
    delivered, dropped, last = 0, 0, -1
    for result in loop:
        assert result.frame.index == last + 1 + result.dropped
        delivered, dropped, last = delivered + 1, dropped + result.dropped, result.frame.index
        time.sleep(0.008)  # a slow consumer
    assert delivered + dropped == source.produced == 150
    assert dropped > 0
    assert (loop.telemetry.summary().frames, loop.telemetry.summary().dropped) == (
        delivered,
        dropped,
    )


def test_a_slow_consumer_of_a_live_source_sees_fresh_results(detector: Detector) -> None:
    source = Source(200, live=True, before=lambda index: time.sleep(0.005))  # its frame rate
    ages_s, behind, produced = [], [], 0
    for result in Pipeline(source, detector):
        ages_s.append(present(result.age_s))
        behind.append(produced - result.frame.index)
        time.sleep(0.05)  # a slow consumer
        produced = source.produced
    # A queue of old frames would be up to 200 behind at the end; here one or two are in work.
    assert len(ages_s) >= 5
    assert sorted(behind)[len(behind) // 2] <= pipeline.available_cpus() + 4  # type: ignore[attr-defined]
    assert min(ages_s) >= 0


def test_a_recording_played_live_keeps_its_own_pace(video: MakeVideo, detector: Detector) -> None:
    started_s = time.monotonic()
    results = list(Pipeline(video("a.mp4", frames=10), detector, mode="live"))
    assert time.monotonic() - started_s >= 9 / 25
    assert len(results) + sum(r.dropped for r in results) == 10
    assert all(present(r.age_s) >= 0 for r in results)


def test_a_live_source_may_be_recorded_whole(detector: Detector) -> None:
    results = list(Pipeline(Source(30, live=True), detector, mode="recorded"))
    assert [r.frame.index for r in results] == list(range(30))
    assert {r.age_s for r in results} == {None}


def test_time_comes_from_the_clock_that_is_handed_in(detector: Detector) -> None:
    source = Source(5, live=True, clock=lambda: 41.5)
    loop = Pipeline(source, detector, clock=lambda: 42.0)
    results = list(loop)
    assert {r.age_s for r in results} == {0.5}
    assert {r.timings["queue"] for r in results} == {0.0}
    assert loop.telemetry.summary().wall_s == 0.0


def test_an_unknown_mode_is_refused(detector: Detector) -> None:
    with pytest.raises(UsageError, match=r"unknown mode 'lively' \(modes: auto, recorded, live\)"):
        Pipeline(Source(1), detector, mode="lively")


# -- errors --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [SourceBroken("cut off"), Trouble(), TimeoutError(), Closed(), SystemExit(3)]
)
def test_what_a_source_raises_comes_after_every_result_before_it(
    detector: Detector, error: BaseException
) -> None:
    source, sink = Source(10, before=raising(error, at=7)), Sink()
    taken, caught = taken_until(type(error), Pipeline(source, detector, sinks=[sink]))
    assert caught is error
    assert taken == sink.written == list(range(7))


def test_what_a_live_source_raises_comes_after_its_newest_frame(detector: Detector) -> None:
    source = Source(10, live=True, before=raising(SourceBroken("unplugged"), at=7))
    taken, _ = taken_until(SourceBroken, Pipeline(source, detector))
    assert taken[-1] == 6


def test_what_a_detector_raises_comes_after_every_result_before_it(detector: Detector) -> None:
    error, sink = Trouble(), Sink()
    loop = Pipeline(Source(10), Hooked(detector, raising(error, at=4)), sinks=[sink])
    taken, caught = taken_until(Trouble, loop)
    assert caught is error
    assert taken == sink.written == [0, 1, 2, 3]


def test_what_a_tracker_raises_is_raised(detector: Detector) -> None:
    class Broken(Tracker):
        def update(self, detections: sv.Detections, *, timestamp_s: float) -> sv.Detections:
            if timestamp_s >= 3 / 25:
                raise Trouble
            return super().update(detections, timestamp_s=timestamp_s)

    sink = Sink()
    taken, _ = taken_until(Trouble, Pipeline(Source(10), detector, tracker=Broken(), sinks=[sink]))  # type: ignore[arg-type]
    assert taken == sink.written == [0, 1, 2]


def test_what_a_sink_raises_is_raised_and_nothing_is_written_after_it(detector: Detector) -> None:
    error = SinkError("the disk is full")
    bad, good = Sink(raising(error, at=3)), Sink()
    taken, caught = taken_until(SinkError, Pipeline(Source(50), detector, sinks=[good, bad]))
    assert caught is error
    assert taken == list(range(len(taken)))
    assert len(taken) >= 3
    assert bad.written == [0, 1, 2]  # and not 4, which was waiting already
    assert good.written == [0, 1, 2, 3]
    assert (good.closed, bad.closed) == (1, 1)


def test_a_sink_that_fails_while_the_source_is_silent_is_reported(detector: Detector) -> None:
    source = Source(2, before=lambda i: i == 2 and source.asked_to_close.wait(LONG_S))
    with within(LONG_S / 2):
        taken, _ = taken_until(
            SinkError, Pipeline(source, detector, sinks=[Sink(raising(SinkError("full"), at=1))])
        )
    assert taken == [0, 1]


def test_an_output_that_cannot_be_closed_is_an_error(detector: Detector) -> None:
    bad = Sink(at_close=raising_at_close(SinkError("no room for the index")))
    with pytest.raises(SinkError, match="no room for the index"):
        list(Pipeline(Source(3), detector, sinks=[bad]))
    bad = Sink(at_close=raising_at_close(SinkError("no room for the index")))
    with pytest.raises(SinkError, match="no room for the index"):
        Pipeline(Source(30), detector, sinks=[bad]).run(max_frames=3)
    assert bad.written == [0, 1, 2]


def test_the_first_of_two_errors_is_raised_and_the_other_logged(
    detector: Detector, caplog: pytest.LogCaptureFixture
) -> None:
    bad = Sink(at_close=raising_at_close(SinkError("no room")))
    source = Source(9, before=raising(SourceBroken("cut off"), at=5))
    taken_until(SourceBroken, Pipeline(source, detector, sinks=[bad]))
    assert [r.getMessage() for r in caplog.records] == ["an output failed too: no room"]
    caplog.clear()
    sinks = [Sink(at_close=raising_at_close(SinkError(f"no room {i}"))) for i in range(2)]
    with pytest.raises(SinkError, match="no room 0"):
        list(Pipeline(Source(2), detector, sinks=sinks))
    assert [r.getMessage() for r in caplog.records] == ["an output failed too: no room 1"]


def raising_at_close(error: BaseException) -> Callable[[], None]:
    def at_close() -> None:
        raise error

    return at_close


# -- endings -------------------------------------------------------------------------------


def take_all(loop: Pipeline) -> None:
    list(loop)


def leave_early(loop: Pipeline) -> None:
    for _ in itertools.islice(loop, 2):
        pass
    gc.collect()


def raise_in_the_body(loop: Pipeline) -> None:
    with suppress(Trouble):
        for _ in loop:
            raise Trouble


def close_unused(loop: Pipeline) -> None:
    loop.close()


@pytest.mark.parametrize("mode", ["recorded", "live"])
@pytest.mark.parametrize("ending", [take_all, leave_early, raise_in_the_body, close_unused])
def test_source_and_sinks_are_closed_once_however_a_run_ends(
    detector: Detector, ending: Callable[[Pipeline], None], mode: str
) -> None:
    source, sinks = Source(20, live=mode == "live"), [Sink(), Sink()]
    ending(Pipeline(source, detector, sinks=sinks))
    assert source.closed
    assert [sink.closed for sink in sinks] == [1, 1]


@pytest.mark.parametrize("where", ["source", "detector", "sink"])
def test_sinks_are_closed_when_something_fails(detector: Detector, where: str) -> None:
    failing = raising(Trouble(), at=3)
    source = Source(20, before=failing if where == "source" else lambda i: None)
    model = Hooked(detector, failing if where == "detector" else lambda i: None)
    sinks = [Sink(failing if where == "sink" else lambda i: None), Sink()]
    taken_until(Trouble, Pipeline(source, model, sinks=sinks))
    assert source.closed
    assert [sink.closed for sink in sinks] == [1, 1]


def test_leaving_early_keeps_what_was_taken(detector: Detector) -> None:
    sink = Sink(lambda index: time.sleep(0.02))  # a slow sink
    with closing(iter(Pipeline(Source(50), detector, sinks=[sink]))) as results:
        for result in results:
            if result.frame.index == 4:
                break
    assert sink.written == [0, 1, 2, 3, 4]


def test_a_pipeline_runs_once(detector: Detector) -> None:
    loop = Pipeline(Source(2), detector)
    assert len(list(loop)) == 2
    with pytest.raises(UsageError, match="runs once"):
        list(loop)


def test_a_pipeline_closed_before_it_ran_gives_nothing(detector: Detector) -> None:
    loop = Pipeline(Source(2), detector)
    loop.close()
    assert list(loop) == []


def stuck_at(stuck: int) -> tuple[Callable[[int], None], threading.Event, threading.Event]:
    """What blocks from frame ``stuck`` on; an event that says so, and one that ends it."""
    over, reached = threading.Event(), threading.Event()

    def block(index: int) -> None:
        if index >= stuck:  # a live loop may have left out this very frame for a newer one
            reached.set()
            over.wait(LONG_S)

    return block, reached, over


@pytest.mark.parametrize("stuck", ["source", "detector", "sink", "full sink"])
@pytest.mark.parametrize("mode", ["recorded", "live"])
def test_close_frees_a_loop_within_a_second_whatever_is_stuck(
    detector: Detector, mode: str, stuck: str
) -> None:
    block, reached, over = stuck_at(2)
    taken = threading.Semaphore(2)

    def before(index: int) -> None:
        if stuck == "source":
            block(index)
        elif mode == "live" and index < WAITING + 5:
            # So many reach the loop, but perhaps one, before the rest comes at once.
            assert taken.acquire(timeout=LONG_S)

    source = Source(100 if stuck == "full sink" else 3, before=before, live=mode == "live")
    model = Hooked(detector, block if stuck == "detector" else lambda i: None)
    sink = Sink(block if "sink" in stuck else lambda i: None)
    loop = Pipeline(source, model, sinks=[sink])
    ended: list[BaseException | None] = []
    results: list[Result] = []

    def is_full() -> bool:
        # Written, in the sink's hand, and waiting for it: the next one waits outside.
        return len(results) >= len(sink.written) + 1 + WAITING

    def iterate() -> None:
        try:
            for result in loop:
                results.append(result)
                taken.release()
            ended.append(None)
        except SinkError as error:
            ended.append(error)

    thread = threading.Thread(target=iterate)
    thread.start()
    try:
        assert reached.wait(LONG_S)
        if stuck == "full sink":
            wait_until(is_full)
        with within(1.0):
            loop.close()
            thread.join(LONG_S)
    finally:
        over.set()
        taken.release(4)
        thread.join(LONG_S)
    if "sink" in stuck:
        assert "given up" in str(ended[0])  # its file has no end: that must be reported
    else:
        assert ended == [None]
        assert sink.closed == 1


def test_close_frees_a_loop_whose_camera_has_fallen_silent(
    detector: Detector, tmp_path: Path
) -> None:
    with http_server(tmp_path) as (address, _):
        loop = Pipeline(f"{address}/mjpeg/3/silent", detector)
        closer = threading.Timer(1.0, loop.close)
        with within(2.0):
            closer.start()
            results = list(loop)
        closer.join()
    assert len(results) + sum(r.dropped for r in results) <= 3


@pytest.mark.parametrize("mode", ["recorded", "live"])
def test_leaving_a_loop_whose_source_is_stuck_takes_less_than_a_second(
    detector: Detector, mode: str
) -> None:
    block, reached, over = stuck_at(2)
    results = iter(Pipeline(Source(3, before=block, live=mode == "live"), detector))
    try:
        next(results)
        assert reached.wait(LONG_S)
        with within(1.0):
            results.close()
    finally:
        over.set()


STUCK = """
import signal, sys, time
from fractions import Fraction
import numpy as np
from oneglance.models import Detector
from oneglance.perception import Pipeline
from oneglance.streams import Frame

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background jobs

class Stuck:
    source, live, frame_rate, frame_count = "stuck", False, Fraction(25), None
    def __iter__(self):
        yield Frame(np.zeros((48, 64, 3), np.uint8), 0, 0.0, "stuck")
        print("stuck", flush=True)
        time.sleep(60)  # what nobody can interrupt from outside
    def close(self): pass
    def __enter__(self): return self
    def __exit__(self, *_): pass

try:
    for _ in Pipeline(Stuck(), Detector.load(sys.argv[1], threads=1)):
        pass
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_ends_a_program_whose_source_is_stuck(model: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STUCK, str(model)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "stuck\n"
        pressed = Stopwatch()
        run.send_signal(signal.SIGINT)
        assert run.stdout.readline() == "interrupted\n"
        assert pressed.elapsed_s() < ENDED_S
        assert run.communicate(timeout=LONG_S) == ("", "")
        assert pressed.stop() < ENDED_S
    assert run.returncode == 0


PROGRAM = """
import sys
from oneglance.models import Detector
from oneglance.perception import Pipeline
loop = Pipeline("rendered:?frames=inf&size=320x180", Detector.load(sys.argv[1], threads=1))
results = iter(loop)
for _ in range(3):
    next(results)
{then}
print("done")
"""


@pytest.mark.parametrize("then", ["pass", "results.close()", "loop.close()"])
def test_a_program_may_end_while_frames_are_still_in_work(tmp_path: Path, then: str) -> None:
    # A big input, so that inferences are under way for most of the time.
    model = build_model(tmp_path / "big.onnx", np.zeros((1, 3, 6), np.float32), size=(1920, 1088))
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(then=then), str(model)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "done\n", "")


def test_a_sink_that_gets_stuck_at_the_end_is_given_up_in_the_end(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutdown, "SINK_S", 0.2)
    over = threading.Event()
    slow = Sink(lambda index: time.sleep(0.06))  # longer in all than the patience with one
    stuck = Sink(at_close=lambda: over.wait(LONG_S))
    with pytest.raises(SinkError, match=r"took no result for 0\.2 s: given up"):
        list(Pipeline(Source(6), detector, sinks=[slow, stuck]))
    over.set()
    assert stuck.written == list(range(6))
