"""A run under a budget, end to end: live sources, real models, one of them slowed down."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import supervision as sv

from live_runs import Camera, SlowDetector, quick, results_until, uncounted
from oneglance.models import Detector
from oneglance.perception import Pipeline, Result, Tracker, budget
from oneglance.perception.mode import Alert
from oneglance.perception.sinks.jsonl import as_object
from oneglance.streams import Event, Frame, UsageError
from onnx_models import seeing_model
from rtsp_server import rtsp_server
from silences import our_threads
from waiting import wait_until

MakeVideo = Callable[..., Path]

BUDGET_MS = 700.0
OVER_S = 1.0


class Timed(SlowDetector):
    """A detector that took ``claims_s`` when it was timed, whatever it takes now, and has
    ``others`` that cost less."""

    def __init__(self, detector: Detector, claims_s: float, *others: Timed) -> None:
        super().__init__(detector, 0.0)
        self._claims_s, self._others = claims_s, others

    def smaller(self) -> tuple[Timed, ...]:
        return self._others

    def inference_s(self) -> float:
        return self._claims_s

    def takes(self, seconds: float) -> None:
        self._takes_s = seconds


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Detector, Detector]:
    folder = tmp_path_factory.mktemp("models")
    large, small = (seeing_model(folder / f"{name}.onnx") for name in ("large", "small"))
    return Detector.load(large, threads=1), Detector.load(small, threads=1)


@pytest.fixture
def pair(models: tuple[Detector, Detector]) -> tuple[Timed, Timed]:
    small = Timed(models[1], 0.01)
    return Timed(models[0], 0.02, small), small


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    wait_until(lambda: not our_threads(), our_threads)


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "HOLD_S", 0.3)


def steps_of(results: list[Result]) -> list[str]:
    """Each step that results were found at, in order."""
    steps = [str(result.step) for result in results]
    return [steps[0], *(after for before, after in pairwise(steps) if before != after)]


@pytest.mark.usefixtures("_soon")
def test_a_slow_network_gives_way_to_a_smaller_one_at_once_and_comes_back(
    pair: tuple[Timed, Timed],
) -> None:
    large, small = pair
    alerts: list[str] = []
    pipeline = Pipeline(
        Camera("front"),
        large,
        mode=quick(on_event=lambda event: alerts.append(str(event))),
        tracker=Tracker(frame_rate=50),
        budget_ms=BUDGET_MS,
    )
    changed: list[str] = []

    def drive(results: list[Result]) -> bool:
        """Slow after five frames; quick again when the small one looks."""
        assert results[-1].step is not None
        looks = results[-1].step.model
        if len(results) == 5:
            large.takes(OVER_S)
        if looks == "small" and not changed:
            changed.append("down")
            large.takes(0.0)
        return bool(changed) and looks == "large"

    results = results_until(pipeline, drive)
    steps = steps_of(results)
    assert steps[:2] == ["large", "small"]
    assert steps[-1] == "large"
    status = pipeline.health().budget
    assert status is not None
    assert status.down >= 1
    assert status.up >= 1
    assert [step.model for step in status.steps] == ["large", "small", "small"]
    assert [step.every for step in status.steps] == [1, 1, 2]
    assert small.took_s, "it looked"
    down = next(text for text in alerts if "over the budget" in text)
    assert "small looks from now on, not large" in down
    assert any("large looks from now on" in text for text in alerts)
    indices = [result.frame.index for result in results]
    assert indices == sorted(set(indices))
    (source,) = pipeline.health().sources
    assert uncounted(source) == 0, "a step loses no frame"


def test_where_the_smallest_is_too_slow_every_second_frame_is_predicted(
    models: tuple[Detector, Detector],
) -> None:
    only = Timed(models[0], 0.01)
    only.takes(OVER_S)
    pipeline = Pipeline(
        Camera("front"), only, mode=quick(), tracker=Tracker(), budget_ms=BUDGET_MS, every=2
    )
    results = results_until(pipeline, lambda found: sum(r.predicted for r in found) >= 4)
    assert steps_of(results) == ["large at every 2nd frame", "large at every 4th frame"]
    for result in results:
        assert set(result.detections.data["predicted"]) <= {result.predicted}
    summary = pipeline.summary()
    assert summary.budget is not None
    assert (summary.budget.down, summary.budget.every) == (1, 4)
    assert json.loads(json.dumps(summary.as_dict()))["budget"]["steps"][1]["every"] == 4


class Counting:
    """A tracker that cannot predict."""

    def update(self, detections: sv.Detections, /, *, timestamp_s: float) -> sv.Detections:
        del timestamp_s
        return detections

    def fresh(self) -> Counting:
        return self


def test_with_a_tracker_that_cannot_predict_no_frame_is_left_out(
    pair: tuple[Timed, Timed],
) -> None:
    pipeline = Pipeline(
        Camera("front"), pair[0], mode=quick(), tracker=Counting(), budget_ms=BUDGET_MS
    )
    status = pipeline.health().budget
    pipeline.close()
    assert status is not None
    assert [(step.model, step.every) for step in status.steps] == [("large", 1), ("small", 1)]


@pytest.mark.usefixtures("_soon")
def test_a_stream_over_rtsp_is_held_as_well(video: MakeVideo, pair: tuple[Timed, Timed]) -> None:
    large = pair[0]
    large.takes(OVER_S)
    with rtsp_server(video("clip.mp4", frames=100)) as server:
        pipeline = Pipeline(server.url("live"), large, budget_ms=BUDGET_MS)
        results = results_until(
            pipeline, lambda found: sum(r.step.model == "small" for r in found if r.step) >= 5
        )
    assert steps_of(results)[:2] == ["large", "small"]


def test_a_detector_that_has_no_smaller_ones_is_timed_by_calling_it() -> None:
    class Plain:
        name = "plain"

        def __call__(self, image: np.ndarray) -> sv.Detections:
            assert image.dtype == np.uint8
            return sv.Detections.empty()

    pipeline = Pipeline(Camera("front"), Plain(), mode=quick(), budget_ms=BUDGET_MS)
    status = pipeline.health().budget
    pipeline.close()
    assert status is not None
    assert [(step.model, step.every) for step in status.steps] == [("plain", 1), ("plain", 2)]
    assert 0 < status.steps[0].inference_ms < BUDGET_MS


class Closing:
    """A live source that remembers that it was closed."""

    live, source = True, "front"
    frame_rate: Fraction | None = None
    frame_count: int | None = None
    closed = False

    def __init__(self, *, live: bool = True) -> None:
        self.live = live

    def __iter__(self) -> Iterator[Frame]:
        return iter(())

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Closing:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def test_an_impossible_budget_is_refused_before_the_run(pair: tuple[Timed, Timed]) -> None:
    camera = Closing()
    with pytest.raises(UsageError, match=r"9 ms cannot be held: one inference of small.*10\.0 ms"):
        Pipeline(camera, pair[0], budget_ms=9)
    assert camera.closed


def test_a_recorded_run_has_no_budget(pair: tuple[Timed, Timed]) -> None:
    recording = Closing(live=False)
    with pytest.raises(UsageError, match="a budget is for live runs"):
        Pipeline(recording, pair[0], budget_ms=100)
    assert recording.closed


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf")])
def test_a_budget_that_is_no_time_is_refused(pair: tuple[Timed, Timed], wrong: float) -> None:
    with pytest.raises(UsageError, match="a budget is milliseconds above 0, not"):
        Pipeline(Closing(), pair[0], budget_ms=wrong)


def test_a_result_says_what_looked_and_without_a_budget_nothing(
    result: Callable[..., Result], pair: tuple[Timed, Timed]
) -> None:
    assert "model" not in as_object(result())
    pipeline = Pipeline(Camera("front"), pair[0], mode=quick(), budget_ms=BUDGET_MS)
    found = as_object(results_until(pipeline, bool)[0])
    assert (found["model"], found["every"]) == ("large", 1)


def test_a_budget_that_cannot_be_held_any_more_is_an_alert(
    models: tuple[Detector, Detector],
) -> None:
    only = Timed(models[0], 0.01)
    only.takes(OVER_S)
    alerts: list[Event | Alert] = []
    limits = quick(on_event=alerts.append)
    pipeline = Pipeline(Camera("front"), only, mode=limits, budget_ms=BUDGET_MS)
    results_until(pipeline, lambda _: any("nothing is cheaper" in str(alert) for alert in alerts))
