"""The loop: order and losses. Its sources are scripted; its model is a real one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from media import KINDS, index_of
from oneglance.models import Detector
from oneglance.perception import Pipeline, Tracker, pipeline
from oneglance.perception.protocols import slots_for, workers_for
from oneglance.perception.readers import recorded
from oneglance.perception.readers.frame_reader import CapturedFrame
from oneglance.perception.result import STAGES
from oneglance.perception.sinks.thread import WAITING
from oneglance.streams import UsageError, open_stream
from oneglance.streams.buffers import BlockingBuffer
from oneglance.streams.decoding.planes import DecodedImage
from present import present
from scripted_loop import Hooked, Sink, Source
from waiting import LONG_S

MakeVideo = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


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


@pytest.mark.parametrize(
    ("threads", "cpus", "workers"), [(1, 2, 4), (1, 8, 10), (2, 4, 4), (1, 1, 1), (4, 4, 1)]
)
def test_where_calls_run_side_by_side_two_more_workers_prepare_and_finish(
    detector: Detector, threads: int, cpus: int, workers: int
) -> None:
    asked = type("Asked", (), {"name": "asked", "threads": threads, "__call__": detector})
    assert workers_for(asked(), cpus) == workers
    assert slots_for(workers) >= workers


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
    workers = workers_for(detector, pipeline.available_cpus())  # type: ignore[attr-defined]
    most = slots_for(workers) + recorded.DECODED_AHEAD + 2
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
