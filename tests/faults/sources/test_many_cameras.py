"""Many cameras and one network: what happens to one is no other's trouble."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from live_runs import Camera, by_name, cameras, quick, results_until, uncounted
from media import make_video
from oneglance.models import Detector
from oneglance.perception import Pipeline, Result, Tracker
from oneglance.streams import Frame, SourceBroken, UsageError
from oneglance.streams.errors import Reason
from oneglance.streams.live.states import State
from present import present
from scripted_camera import Connection, scripted_camera, steady
from viewer import QUICK
from waiting import LONG_S, Stopwatch

pytestmark = pytest.mark.usefixtures("no_thread_is_left")

LIVE = (State.LIVE, Reason.PLAYING)


def test_one_of_four_cameras_that_is_down_at_the_start_comes_up_later(detector: Detector) -> None:
    with cameras(steady, steady, steady, steady) as four:
        four[2].unplug()
        urls = [camera.url for camera in four]
        pipeline = Pipeline(urls, detector, mode=quick())
        plugged: Stopwatch | None = None
        back_s = 0.0

        def done(results: list[Result]) -> bool:
            nonlocal plugged, back_s
            counts = Counter(r.frame.source for r in results)
            if plugged is None and len(counts) == 3 and min(counts.values()) >= 20:
                assert by_name(pipeline)[urls[2]].state is State.RECONNECTING
                four[2].plug_in()
                plugged = Stopwatch()
            if plugged is not None and counts[urls[2]] == 1:
                back_s = back_s or plugged.stop()
            return counts[urls[2]] >= 20

        results = results_until(pipeline, done)
    found = by_name(pipeline)
    assert 0 < back_s < QUICK.ceiling_s + 2
    assert found[urls[2]].last_error is not None
    assert "nobody listens there" in present(found[urls[2]].last_error)
    for url in urls:
        assert uncounted(found[url]) == 0
        assert found[url].delivered == sum(r.frame.source == url for r in results)


def test_all_cameras_may_be_down_at_the_start(detector: Detector) -> None:
    with cameras(steady, steady) as two:
        for camera in two:
            camera.unplug()
        pipeline = Pipeline([camera.url for camera in two], detector, mode=quick())
        threading.Timer(0.5, lambda: [camera.plug_in() for camera in two]).start()  # type: ignore[func-returns-value]
        results = results_until(pipeline, lambda r: len({x.frame.source for x in r}) == 2)
    assert results


def test_a_camera_that_blocks_for_ever_costs_the_others_nothing(detector: Detector) -> None:
    never = threading.Event()
    blocked = Camera("blocked", before=lambda index: index == 3 and never.wait(LONG_S))
    healthy = Camera("healthy")
    pipeline = Pipeline([blocked, healthy], detector, mode=quick())
    closed: list[Stopwatch] = []

    def done(found: list[Result]) -> bool:
        stalled = by_name(pipeline)["blocked"].state is State.STALLED
        enough = sum(r.frame.source == "healthy" for r in found) > 30
        closed.extend([Stopwatch()] if stalled and enough else [])
        return stalled and enough

    try:
        results = results_until(pipeline, done)
        took_s = closed[0].stop()
    finally:
        never.set()
    seen = [r.frame.index for r in results if r.frame.source == "healthy"]
    assert len(seen) > 30
    # Waiting for the other, the network would have seen one frame in as many as come meanwhile.
    dropped = sum(r.dropped for r in results if r.frame.source == "healthy")
    assert dropped <= len(seen)
    assert by_name(pipeline)["blocked"].delivered <= 3
    assert took_s < 1


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


def test_a_source_that_breaks_for_good_leaves_the_run_and_is_reported_at_its_end(
    detector: Detector,
) -> None:
    def unplugged(index: int) -> None:
        if index == 5:
            raise SourceBroken("bad: unplugged")

    class Short(Camera):
        def __iter__(self) -> Iterator[Frame]:
            yield from islice(super().__iter__(), 60)

    pipeline = Pipeline([Camera("bad", before=unplugged), Short("good")], detector, mode=quick())  # type: ignore[list-item]
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
        ids = [present(r.detections.tracker_id).tolist() for r in results if r.frame.source == name]
        # A track is confirmed by its second frame; one that another camera began would be at once.
        assert set(ids[0]) == {-1}
        assert min(ids[-1]) > 0


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
        closed: list[Stopwatch] = []

        def close() -> None:
            closed.append(Stopwatch())
            pipeline.close()

        threading.Timer(0.7, close).start()
        list(pipeline)
        assert closed[0].stop() < 1


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
        assert 0 < present(source.fps_measured) < 1.2 * 25
