"""Frames that the network does not look at: who predicts them, and how they are reported."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import supervision as sv

from oneglance.perception import JsonLinesSink, Pipeline, Tracker
from oneglance.perception.stride import Stride
from oneglance.streams import Frame, UsageError
from present import present

SIZE = (320, 240)


class Drive:
    """``frames`` images whose number stands in their pixels, 25 a second."""

    source, frame_rate, frame_count = "drive", Fraction(25), None

    def __init__(self, frames: int, *, live: bool = False) -> None:
        self.live, self._frames = live, frames

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._frames):
            image = np.full((SIZE[1], SIZE[0], 3), index, np.uint8)
            yield Frame(image, index, index / 25, self.source)

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Drive:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""


class Seer:
    """Sees one car that goes to the right, 2 pixels a frame, and remembers where it looked."""

    name, threads = "seer", 1

    def __init__(self) -> None:
        self.looked: list[int] = []

    def __call__(self, image: np.ndarray) -> sv.Detections:
        index = int(image[0, 0, 0])
        self.looked.append(index)
        return sv.Detections(
            xyxy=np.array([self.truth(index)], np.float32),
            confidence=np.array([0.9], np.float32),
            class_id=np.array([1]),
            data={"class_name": np.array(["car"]), "task": np.array(["car"])},
        )

    @staticmethod
    def truth(index: int) -> tuple[float, float, float, float]:
        return (20 + 2 * index, 100, 80 + 2 * index, 140)


class Blind:
    """A tracker that cannot predict."""

    def update(self, detections: sv.Detections, /, *, timestamp_s: float) -> sv.Detections:
        del timestamp_s
        return detections

    def fresh(self) -> Blind:
        return self


def test_every_nth_frame_of_each_source_is_due() -> None:
    stride = Stride(2)
    order = ["a", "a", "b", "a", "b", "b"]
    assert [stride.is_due(name) for name in order] == [True, False, True, True, False, True]


@pytest.mark.parametrize("every", [0, -3])
def test_every_below_1_is_refused(every: int) -> None:
    with pytest.raises(UsageError, match=f"at least 1.*not {every}"):
        Pipeline(Drive(1), Seer(), every=every)


def test_the_network_looks_at_every_third_frame_and_each_frame_has_a_result() -> None:
    seer = Seer()
    results = list(Pipeline(Drive(20), seer, tracker=Tracker(frame_rate=25), every=3))
    assert sorted(seer.looked) == list(range(0, 20, 3))
    assert [r.frame.index for r in results] == list(range(20))
    assert [r.predicted for r in results] == [i % 3 != 0 for i in range(20)]
    for result in results:
        assert set(result.detections.data["predicted"]) <= {result.predicted}
        assert ("inference" in result.timings) is not result.predicted


def test_predictions_are_where_the_object_is_with_its_own_id_class_and_confidence() -> None:
    results = list(Pipeline(Drive(60), Seer(), tracker=Tracker(frame_rate=25), every=3))
    settled = [r for r in results if r.frame.index >= 20 and r.predicted]
    assert settled
    for result in settled:
        found = result.detections
        np.testing.assert_allclose(found.xyxy, [Seer.truth(result.frame.index)], atol=1.0)
        assert list(found.data["class_name"]) == ["car"]
        assert found.confidence == pytest.approx([0.9])
    ids = {int(i) for r in results[6:] for i in present(r.detections.tracker_id)}
    assert len(ids) == 1


def test_to_predict_changes_nothing_of_what_comes_later() -> None:
    def run(*, predicting: bool) -> list[list[float]]:
        tracker, seer = Tracker(frame_rate=25), Seer()
        boxes: list[list[list[float]]] = []
        for index in range(30):
            if index % 3 == 0:
                image = np.full((4, 4, 3), index, np.uint8)
                tracker.update(seer(image), timestamp_s=index / 25)
            elif predicting or index == 29:
                boxes.append(tracker.predict(timestamp_s=index / 25).xyxy.tolist())
        return boxes[-1]

    assert run(predicting=True) == run(predicting=False)


def test_a_predicted_box_that_left_the_frame_is_gone_and_one_at_its_edge_is_clipped() -> None:
    results = list(Pipeline(Drive(160), Seer(), tracker=Tracker(frame_rate=25), every=5))
    for result in results:
        if result.predicted:
            xyxy = result.detections.xyxy
            assert (xyxy >= 0).all()
            assert (xyxy <= np.array(SIZE * 2)).all()
    assert len(results[158].detections) == 0  # from x = 336 on


def test_before_anything_was_seen_nothing_is_predicted() -> None:
    assert len(Tracker().predict(timestamp_s=1.0)) == 0


def test_an_object_that_was_not_seen_last_time_is_not_predicted() -> None:
    tracker, seer = Tracker(frame_rate=25), Seer()
    for index in range(6):
        tracker.update(seer(np.full((4, 4, 3), index, np.uint8)), timestamp_s=index / 25)
    assert len(tracker.predict(timestamp_s=6 / 25)) == 1
    nothing = sv.Detections.empty()
    nothing.data = {"task": np.empty(0, "<U10"), "class_name": np.empty(0, "<U10")}
    tracker.update(nothing, timestamp_s=6 / 25)
    assert len(tracker.predict(timestamp_s=7 / 25)) == 0


def test_without_a_tracker_frames_between_have_no_result() -> None:
    seer = Seer()
    pipeline = Pipeline(Drive(20), seer, every=3)
    results = list(pipeline)
    assert [r.frame.index for r in results] == list(range(0, 20, 3))
    assert sorted(seer.looked) == list(range(0, 20, 3))
    assert not any(r.predicted for r in results)
    assert pipeline.summary().predicted == 0


def test_live_frames_that_are_not_asked_for_are_counted_as_skipped() -> None:
    pipeline = Pipeline(Drive(30), Seer(), mode="live", every=3)
    results = list(pipeline)
    (source,) = pipeline.health().sources
    assert source.delivered == len(results)
    assert source.produced == source.delivered + sum(source.dropped.values()) == 30
    assert sum(r.dropped for r in results) <= source.dropped.get("newer frame", 0)


def test_a_tracker_that_cannot_predict_is_refused() -> None:
    with pytest.raises(UsageError, match=r"Blind has no predict\(timestamp_s=…\)"):
        Pipeline(Drive(1), Seer(), tracker=Blind(), every=2)
    assert len(list(Pipeline(Drive(2), Seer(), tracker=Blind()))) == 2


def test_json_lines_mark_what_is_predicted(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    tracker = Tracker(frame_rate=25)
    summary = Pipeline(
        Drive(20), Seer(), tracker=tracker, every=2, sinks=[JsonLinesSink(file)]
    ).run()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line.get("predicted", False) for line in lines] == [i % 2 == 1 for i in range(20)]
    for line in lines:
        assert all(
            d.get("predicted", False) is line.get("predicted", False) for d in line["detections"]
        )
    assert any(line["detections"] for line in lines if "predicted" in line)
    assert (summary.frames, summary.predicted) == (20, 10)


def test_any_detector_sees_the_region_alone_and_its_boxes_are_those_of_the_frame() -> None:
    shapes: list[tuple[int, ...]] = []
    box = sv.Detections(
        xyxy=np.array([[1, 2, 3, 4]], np.float32),
        confidence=np.array([0.9], np.float32),
        class_id=np.array([1]),
        data={"class_name": np.array(["car"]), "task": np.array(["car"])},
    )

    class Fixed:
        name = "fixed"

        def __call__(self, image: np.ndarray) -> sv.Detections:
            shapes.append(image.shape)
            return box

    results = list(Pipeline(Drive(3), Fixed(), region="10,20,110,220"))
    assert set(shapes) == {(200, 100, 3)}
    assert [r.detections.xyxy.tolist() for r in results] == [[[11, 22, 13, 24]]] * 3


def test_a_region_outside_the_frame_ends_the_run_in_a_sentence() -> None:
    with pytest.raises(UsageError, match=r"outside the frame.* 320x240"):
        list(Pipeline(Drive(3), Seer(), region="0,0,321,240"))
    with pytest.raises(UsageError, match="x1,y1,x2,y2"):
        Pipeline(Drive(3), Seer(), region="all of it")


def test_the_command_line_says_what_is_wrong_before_it_loads_a_model(
    oneglance: Callable[..., object],
) -> None:
    for option, value, said in (
        ("--every", "0", "at least 1"),
        ("--region", "1,2,3", "x1,y1,x2,y2"),
        ("--region", "0,0,9999,50", "outside the frame"),
    ):
        run = oneglance("run", "rendered:?frames=2&size=320x180", option, value)
        assert run.code == 2, run.err  # type: ignore[attr-defined]
        assert said in run.err  # type: ignore[attr-defined]
        assert "Traceback" not in run.err  # type: ignore[attr-defined]
