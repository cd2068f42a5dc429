"""More comes than the network can look at: fresh results, everything counted, an alert raised."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from contextlib import closing
from itertools import islice, pairwise

import numpy as np
import pytest
import supervision as sv

from live_runs import Camera, SlowDetector, by_name, quick, results_until, uncounted
from oneglance.models import Detector
from oneglance.perception import Pipeline
from oneglance.perception.mode import Alert, Live
from oneglance.streams.errors import Reason
from oneglance.streams.live.states import Event, State
from oneglance.streams.options import ConnectOptions
from present import present
from scripted_camera import Connection, jpeg, scripted_camera, steady
from viewer import QUICK, Seen, assert_fresh
from waiting import LONG_S, wait_until

pytestmark = pytest.mark.usefixtures("no_thread_is_left")

LIVE = (State.LIVE, Reason.PLAYING)


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
        pipeline, sent = Pipeline([camera.url], detector, mode=quick()), 0
        with closing(iter(pipeline)) as results:
            for result in islice(results, 20):
                seen.append(Seen.of(result.frame))
                # A fifth of a second of what had been sent when it was asked for may be on the way.
                assert result.frame.index >= sent - 10
                time.sleep(0.1)  # a slow consumer
                sent = camera.sent
    assert_fresh(seen)
    assert len(seen) == 20


def test_a_burst_after_a_pause_is_not_worked_off_but_skipped(detector: Detector) -> None:
    def bursting(connection: Connection) -> None:
        connection.play(20)
        connection.wait(2.0)
        for index in range(20, 120):
            connection.frame(index)
        connection.play(30, first=120)

    connect = ConnectOptions(timeout_s=3, stall_s=4, backoff=QUICK)
    seen: list[Seen] = []
    with scripted_camera(bursting) as camera:
        slow = SlowDetector(detector, 0.02)
        pipeline = Pipeline([camera.url], slow, mode=Live(connect=connect))
        results = results_until(pipeline, lambda r: r[-1].frame.index >= 145)
        seen = [Seen.of(r.frame) for r in results]
    pause_s = max(b.timestamp_s - a.timestamp_s for a, b in pairwise(seen))
    assert pause_s > 2.0 - 0.5
    assert len([s for s in seen if 20 <= s.index < 120]) < 50
    # Worked off one by one, the last of the hundred would be two seconds old.
    assert max(present(r.age_s) for r in results) < 1.5
    assert all(s.shown == s.index % 25 for s in seen)
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


def test_a_stuck_inference_is_reported_while_it_is_stuck(detector: Detector) -> None:
    held = threading.Event()

    class Stuck(SlowDetector):
        def detect(self, image: np.ndarray) -> tuple[sv.Detections, dict[str, float]]:
            held.wait(LONG_S)
            return super().detect(image)

    alerts: list[Event | Alert] = []
    pipeline = Pipeline(
        [Camera("front")],
        Stuck(detector, 0.0),
        mode=quick(stuck_s=0.3, on_event=alerts.append),
    )
    seen = []

    def look() -> None:
        try:
            wait_until(lambda: pipeline.health().stuck)
            wait_until(lambda: (pipeline.health().inference_s or 0) > 0.9)
            seen.append(pipeline.health())
        finally:
            held.set()

    thread = threading.Thread(target=look)
    thread.start()
    results_until(pipeline, lambda r: len(r) >= 3)
    thread.join()
    assert seen[0].stuck
    assert present(seen[0].inference_s) > 0.3
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
    reported = [alert for alert in alerts if isinstance(alert, Alert)]
    assert [alert.about for alert in reported] == ["front"]
    assert "of its frames are dropped" in reported[0].detail
    assert str(reported[0]) in caplog.text
    dropped = sum(r.dropped for r in results)
    share = by_name(pipeline)["front"].drop_share
    assert share == pytest.approx(dropped / (dropped + len(results)), abs=0.001)
