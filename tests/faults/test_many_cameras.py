"""Many cameras and one network: what happens to one is no other's trouble."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import supervision as sv

from media import make_video, picture
from oneglance.models import Detector
from oneglance.perception import Pipeline, Result, Tracker
from oneglance.perception.health import SourceHealth
from oneglance.perception.mode import Alert, Live
from oneglance.streams import Frame, SourceBroken, UsageError
from oneglance.streams.errors import Reason
from oneglance.streams.opening import Opening
from oneglance.streams.states import Event, State
from onnx_models import seeing_model
from scripted_camera import Connection, ScriptedCamera, jpeg, scripted_camera, steady
from viewer import QUICK, Seen, assert_fresh

LIVE = (State.LIVE, Reason.PLAYING)


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    return Detector.load(seeing_model(tmp_path_factory.mktemp("model") / "seeing.onnx"), threads=1)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    deadline_s = time.monotonic() + 6
    while left := [t.name for t in threading.enumerate() if t.name.startswith("oneglance-")]:
        assert time.monotonic() < deadline_s, f"still running: {left}"
        time.sleep(0.005)


class SlowDetector:
    """The real detector, made as slow as a large network: ``takes_s`` for each picture."""

    def __init__(self, detector: Detector, takes_s: float) -> None:
        self._detector, self._takes_s = detector, takes_s
        self.name, self.threads = detector.name, detector.threads
        self.took_s: list[float] = []

    def detect(self, image: np.ndarray) -> tuple[sv.Detections, dict[str, float]]:
        began_s = time.monotonic()
        time.sleep(self._takes_s)
        found = self._detector.detect(image)
        self.took_s.append(time.monotonic() - began_s)
        return found


class Camera:
    """A driver of somebody else's: ``fps`` pictures a second, ``before(index)`` ahead of each."""

    live = True
    frame_rate = Fraction(50)
    frame_count = None

    def __init__(self, name: str, *, before: Callable[[int], object] = lambda index: None) -> None:
        self.source = name
        self.produced = 0
        self.stamps_s: list[float] = []
        self._before = before
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        while not self._closed.wait(0.02):
            self._before(self.produced)
            self.produced += 1
            index = self.produced - 1
            self.stamps_s.append(time.monotonic())
            yield Frame(picture(index), index, self.stamps_s[-1], self.source)

    def close(self) -> None:
        self._closed.set()

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def quick(**limits: object) -> Live:
    opening = Opening(timeout_s=3, stall_s=1, backoff=QUICK)
    return Live(opening=opening, **limits)  # type: ignore[arg-type]


@contextmanager
def cameras(*scripts: Callable[[Connection], None]) -> Iterator[list[ScriptedCamera]]:
    with ExitStack() as stack:
        yield [stack.enter_context(scripted_camera(script)) for script in scripts]


def results_until(pipeline: Pipeline, done: Callable[[list[Result]], object]) -> list[Result]:
    """Results until ``done``; fails after eight seconds."""
    results: list[Result] = []
    deadline_s = time.monotonic() + 8
    with closing(iter(pipeline)) as taken:
        for result in taken:
            results.append(result)
            if done(results):
                break
            assert time.monotonic() < deadline_s, Counter(r.frame.source for r in results)
    return results


def by_name(pipeline: Pipeline) -> dict[str, SourceHealth]:
    return {source.source: source for source in pipeline.health().sources}


def uncounted(source: SourceHealth) -> int:
    return source.produced - source.delivered - sum(source.dropped.values()) - source.corrupt


def test_one_of_four_cameras_that_is_down_at_the_start_comes_up_later(detector: Detector) -> None:
    with cameras(steady, steady, steady, steady) as four:
        four[2].unplug()
        urls = [camera.url for camera in four]
        pipeline = Pipeline(urls, detector, mode=quick())
        plugged_s = 0.0

        def done(results: list[Result]) -> bool:
            nonlocal plugged_s
            counts = Counter(r.frame.source for r in results)
            if not plugged_s and len(counts) == 3 and min(counts.values()) >= 20:
                assert by_name(pipeline)[urls[2]].state is State.RECONNECTING
                four[2].plug_in()
                plugged_s = time.monotonic()
            return counts[urls[2]] >= 20

        results = results_until(pipeline, done)
    found = by_name(pipeline)
    first_s = next(r.frame.timestamp_s for r in results if r.frame.source == urls[2])
    assert first_s - plugged_s < QUICK.ceiling_s + 2
    assert found[urls[2]].last_error is not None
    assert "nobody listens there" in found[urls[2]].last_error
    for url in urls:
        assert uncounted(found[url]) == 0
        assert found[url].delivered == sum(r.frame.source == url for r in results)


def test_all_cameras_may_be_down_at_the_start(detector: Detector) -> None:
    with cameras(steady, steady) as two:
        for camera in two:
            camera.unplug()
        pipeline = Pipeline([camera.url for camera in two], detector, mode=quick())
        threading.Timer(0.5, lambda: [camera.plug_in() for camera in two]).start()
        results = results_until(pipeline, lambda r: len({x.frame.source for x in r}) == 2)
    assert results


def test_a_camera_that_blocks_for_ever_costs_the_others_nothing(detector: Detector) -> None:
    never = threading.Event()
    blocked = Camera("blocked", before=lambda index: index == 3 and never.wait(30))
    healthy = Camera("healthy")
    pipeline = Pipeline([blocked, healthy], detector, mode=quick())
    try:
        results = results_until(
            pipeline, lambda r: by_name(pipeline)["blocked"].state is State.STALLED
        )
        closed_s = time.monotonic()
    finally:
        never.set()
    seen = [r.frame.index for r in results if r.frame.source == "healthy"]
    assert len(seen) > 30
    dropped = sum(r.dropped for r in results if r.frame.source == "healthy")
    assert dropped <= 0.1 * len(seen)
    assert by_name(pipeline)["blocked"].delivered <= 3
    assert time.monotonic() - closed_s < 1


def test_every_camera_gets_its_turn_when_the_network_is_too_slow_for_all(
    detector: Detector,
) -> None:
    fast = [Camera(f"camera {number}") for number in range(4)]
    pipeline = Pipeline(fast, SlowDetector(detector, 0.03), mode=quick())
    results = results_until(pipeline, lambda r: len(r) >= 60)
    counts = Counter(r.frame.source for r in results)
    assert len(counts) == 4
    assert max(counts.values()) - min(counts.values()) <= 2
    for camera in fast:
        mine = [r for r in results if r.frame.source == camera.source]
        assert [b.frame.index - a.frame.index - 1 for a, b in pairwise(mine)] == [
            r.dropped for r in mine[1:]
        ]
        assert uncounted(by_name(pipeline)[camera.source]) == 0


def test_at_four_times_overload_results_stay_fresh(detector: Detector) -> None:
    camera, slow = Camera("fast"), SlowDetector(detector, 4 * 0.02)
    pipeline = Pipeline([camera], slow, mode=quick())
    results = results_until(pipeline, lambda r: len(r) >= 60)
    # What they really took, on a machine that may be busy.
    period_s = np.percentile(np.diff(camera.stamps_s), 99)
    age_s = np.percentile([r.age_s for r in results], 99)
    inference_s = np.percentile(slow.took_s, 99)
    print(
        f"p99 in ms: age {1e3 * age_s:.0f}, period {1e3 * period_s:.0f}, "
        f"inference {1e3 * inference_s:.0f}"
    )
    assert age_s <= 2 * period_s + 2 * inference_s
    assert uncounted(by_name(pipeline)["fast"]) == 0
    assert by_name(pipeline)["fast"].produced == camera.produced


def test_a_slow_consumer_gets_fresh_results_and_no_frame_twice(detector: Detector) -> None:
    seen: list[Seen] = []
    with scripted_camera(steady) as camera:
        pipeline = Pipeline([camera.url], detector, mode=quick())
        with closing(iter(pipeline)) as results:
            for result in islice(results, 20):
                seen.append(Seen.of(result.frame))
                assert result.age_s < 0.2
                time.sleep(0.1)
    assert_fresh(seen)
    assert len(seen) == 20


def test_a_burst_after_a_pause_is_not_worked_off_but_skipped(detector: Detector) -> None:
    def bursting(connection: Connection) -> None:
        connection.play(20)
        connection.wait(2.0)
        for index in range(20, 120):
            connection.frame(index)
        connection.play(30, first=120)

    opening = Opening(timeout_s=3, stall_s=4, backoff=QUICK)
    seen: list[Seen] = []
    with scripted_camera(bursting) as camera:
        slow = SlowDetector(detector, 0.02)
        pipeline = Pipeline([camera.url], slow, mode=Live(opening=opening))
        results = results_until(pipeline, lambda r: r[-1].frame.index >= 145)
        seen = [Seen.of(r.frame) for r in results]
    pause_s = max(b.timestamp_s - a.timestamp_s for a, b in pairwise(seen))
    assert pause_s == pytest.approx(2.0, abs=0.5)
    assert len([s for s in seen if 20 <= s.index < 120]) < 50
    assert max(r.age_s for r in results) < 0.5
    assert all(s.picture == s.index % 25 for s in seen)
    assert uncounted(pipeline.health().sources[0]) == 0


def test_what_a_server_sent_is_delivered_dropped_or_corrupt_to_the_last_frame(
    detector: Detector,
) -> None:
    damaged, sent = 0, 400

    def some(connection: Connection) -> None:
        nonlocal damaged
        if connection.number:
            connection.silence()
        for index in range(sent):
            if index % 9 == 5:
                connection.part(jpeg(index % 25)[:300])
                damaged += 1
            else:
                connection.frame(index)
            connection.wait(0.002)

    with scripted_camera(some) as camera:
        pipeline = Pipeline([camera.url], SlowDetector(detector, 0.005), mode=quick())
        results = results_until(
            pipeline, lambda r: r[-1].frame.index >= sent - 1 or camera.connections > 1
        )
    found = pipeline.summary().sources[0]
    assert camera.sent + damaged == sent
    assert found.produced == sent
    assert (found.delivered, found.corrupt) == (len(results), damaged)
    assert found.dropped["newer frame"] > 50
    assert uncounted(found) == 0


def test_a_source_is_removed_while_it_reconnects_and_others_are_added(detector: Detector) -> None:
    with cameras(steady, steady, steady) as three:
        three[1].unplug()
        first, away, late = (camera.url for camera in three)
        pipeline = Pipeline([first, away], detector, mode=quick())
        steps: list[str] = []

        def done(results: list[Result]) -> bool:
            counts = Counter(r.frame.source for r in results)
            if not steps and counts[first] > 10:
                assert by_name(pipeline)[away].state is State.RECONNECTING
                pipeline.remove(away)
                assert pipeline.add(late) == late
                steps.append("swapped")
            if len(steps) == 1 and counts[late] > 10:
                pipeline.remove(first)
                steps.append(str(len(results)))
            return counts[late] > 40

        results = results_until(pipeline, done)
        with pytest.raises(UsageError, match="there is no source nowhere"):
            pipeline.remove("nowhere")
    found = by_name(pipeline)
    assert {url: found[url].state for url in found} == dict.fromkeys(found, State.CLOSED)
    assert found[away].delivered == 0
    assert {r.frame.source for r in results[int(steps[1]) :]} == {late}
    assert all(uncounted(source) == 0 for source in found.values())


def test_a_name_is_given_to_one_source_only(detector: Detector) -> None:
    pipeline = Pipeline([Camera("front")], detector, mode=quick())
    with pytest.raises(UsageError, match="there is a source front already"):
        pipeline.add(Camera("front"))
    with scripted_camera(steady) as camera:
        assert pipeline.add(camera.url) == camera.url
        assert pipeline.add(camera.url) == f"{camera.url} #2"  # the same address, another view
        pipeline.remove(camera.url)
        assert pipeline.add(camera.url) == camera.url  # and not a new name each time
    pipeline.close()
    with pytest.raises(UsageError, match="cannot add late: the run is over"):
        pipeline.add(Camera("late"))


def test_a_recorded_run_takes_no_second_source(detector: Detector, tmp_path: Path) -> None:
    film = make_video(tmp_path / "a.mp4", frames=3)
    pipeline = Pipeline(film, detector)
    with pytest.raises(UsageError, match="a recorded run has one source"):
        pipeline.add("rendered:")
    with pytest.raises(UsageError, match="several sources run live"):
        Pipeline([film, film], detector, mode="recorded")
    assert pipeline.run().sources == ()


def test_a_source_that_breaks_for_good_leaves_the_run_and_is_told_at_its_end(
    detector: Detector,
) -> None:
    def unplugged(index: int) -> None:
        if index == 5:
            raise SourceBroken("bad: unplugged")

    class Short(Camera):
        def __iter__(self) -> Iterator[Frame]:
            yield from islice(super().__iter__(), 60)

    pipeline = Pipeline([Camera("bad", before=unplugged), Short("good")], detector, mode=quick())
    results: list[Result] = []
    with pytest.raises(SourceBroken, match="bad: unplugged"):
        results.extend(pipeline)
    assert sum(r.frame.source == "good" for r in results) > 40
    assert by_name(pipeline)["bad"].last_error == "bad: unplugged"


def test_a_bug_in_one_source_ends_the_run_as_a_bug(detector: Detector) -> None:
    def bug(index: int) -> None:
        assert index < 5, "nobody expects this"

    pipeline = Pipeline([Camera("odd", before=bug), Camera("good")], detector, mode=quick())
    with pytest.raises(AssertionError, match="nobody expects this"):
        list(pipeline)


def test_two_cameras_have_tracks_of_their_own(detector: Detector) -> None:
    pipeline = Pipeline(
        [Camera("left"), Camera("right")], detector, mode=quick(), tracker=Tracker(frame_rate=50)
    )
    results = results_until(pipeline, lambda r: len(r) >= 30)
    for name in ("left", "right"):
        ids = [r.detections.tracker_id.tolist() for r in results if r.frame.source == name]
        # A track is confirmed by its second frame; one that another camera began would be at once.
        assert set(ids[0]) == {-1}
        assert min(ids[-1]) > 0


def test_a_stuck_inference_is_reported_while_it_is_stuck(detector: Detector) -> None:
    held = threading.Event()

    class Stuck(SlowDetector):
        def detect(self, image: np.ndarray) -> tuple[sv.Detections, dict[str, float]]:
            held.wait(5)
            return super().detect(image)

    alerts: list[Event | Alert] = []
    pipeline = Pipeline(
        [Camera("front")],
        Stuck(detector, 0.0),
        mode=quick(stuck_s=0.3, on_event=alerts.append),
    )
    seen = []

    def look() -> None:
        deadline_s = time.monotonic() + 4
        while not pipeline.health().stuck and time.monotonic() < deadline_s:
            time.sleep(0.01)
        time.sleep(0.6)
        seen.append(pipeline.health())
        held.set()

    thread = threading.Thread(target=look)
    thread.start()
    results_until(pipeline, lambda r: len(r) >= 3)
    thread.join()
    assert seen[0].stuck
    assert seen[0].inference_s > 0.3
    stuck = [alert for alert in alerts if isinstance(alert, Alert) and "inference" in alert.detail]
    assert len(stuck) == 1
    assert stuck[0].about == detector.name
    assert not pipeline.health().stuck


def test_more_than_a_fifth_of_frames_dropped_is_an_alert(
    detector: Detector, caplog: pytest.LogCaptureFixture
) -> None:
    alerts: list[Event | Alert] = []
    slow = SlowDetector(detector, 0.08)
    pipeline = Pipeline([Camera("front")], slow, mode=quick(on_event=alerts.append))
    with caplog.at_level(logging.WARNING):
        results = results_until(pipeline, lambda r: len(r) >= 15)
    told = [alert for alert in alerts if isinstance(alert, Alert)]
    assert [alert.about for alert in told] == ["front"]
    assert "of its frames are dropped" in told[0].detail
    assert str(told[0]) in caplog.text
    dropped = sum(r.dropped for r in results)
    share = by_name(pipeline)["front"].drop_share
    assert share == pytest.approx(dropped / (dropped + len(results)), abs=0.001)


@pytest.mark.parametrize("kind", ["steady", "away", "silent"])
def test_a_run_is_closed_within_a_second_whatever_its_cameras_do(
    kind: str, detector: Detector
) -> None:
    script = Connection.silence if kind == "silent" else steady
    with cameras(script, script) as two:
        if kind == "away":
            for camera in two:
                camera.unplug()
        pipeline = Pipeline([camera.url for camera in two], detector, mode=quick())
        closed: list[float] = []

        def close() -> None:
            closed.append(time.monotonic())
            pipeline.close()

        threading.Timer(0.7, close).start()
        list(pipeline)
        assert time.monotonic() - closed[0] < 1


def test_files_play_live_beside_cameras_at_their_own_pace(
    detector: Detector, tmp_path: Path
) -> None:
    films = [make_video(tmp_path / name, frames=20) for name in ("a.mp4", "b.mp4")]
    began_s = time.monotonic()
    pipeline = Pipeline(films, detector, mode=quick())
    results = list(pipeline)
    assert time.monotonic() - began_s >= 19 / 25
    assert Counter(r.frame.source for r in results).keys() == {str(film) for film in films}
    for source in pipeline.summary().sources:
        assert (source.produced, uncounted(source)) == (20, 0)
        assert source.fps_measured == pytest.approx(25, rel=0.2)
