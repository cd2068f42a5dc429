"""What a result's timings and age promise: waiting is no stage, and no age is too young."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import supervision as sv

from live_runs import Camera, quick
from oneglance.models import Detector
from oneglance.perception import Live, Pipeline, Result, Tracker
from oneglance.perception.result import STAGES
from oneglance.streams import Stream, UsageError
from oneglance.streams.decoding.planes import DecodedImage
from oneglance.streams.frame import Image
from scripted_camera import Connection, scripted_camera

MakeVideo = Callable[..., Path]


def taken(
    source: str | Path | Stream, detector: object, count: int, **options: object
) -> list[Result]:
    pipeline = Pipeline(source, detector, **options)  # type: ignore[arg-type]
    with closing(iter(pipeline)) as results:
        return list(islice(results, count))


@contextmanager
def a_camera(video: MakeVideo, tmp_path: Path) -> Iterator[str]:
    del video, tmp_path
    with scripted_camera(lambda connection: connection.play(fps=30)) as camera:
        yield camera.url


@contextmanager
def a_recording(video: MakeVideo, tmp_path: Path) -> Iterator[str]:
    yield str(video(tmp_path / "drive.mp4", frames=20))


@contextmanager
def a_driver_of_somebody_else(video: MakeVideo, tmp_path: Path) -> Iterator[Camera]:
    del video, tmp_path
    yield Camera("driver")


@pytest.mark.parametrize("source", [a_camera, a_recording, a_driver_of_somebody_else])
def test_a_live_result_is_never_younger_than_its_stages_after_capture(
    source: Callable[..., object], detector: Detector, video: MakeVideo, tmp_path: Path
) -> None:
    with source(video, tmp_path) as opened:  # type: ignore[attr-defined]
        results = taken(opened, detector, 15, mode=quick(), tracker=Tracker())
    assert len(results) == 15
    for result in results:
        after = {stage: s for stage, s in result.timings.items() if stage != "decode"}
        if source is a_camera:  # its frames arrive before they are decoded
            after = dict(result.timings)
            assert "decode" in after
        assert set(after) <= set(STAGES)
        assert result.age_s is not None
        assert result.age_s >= sum(after.values()), (result.age_s, result.timings)


def test_waiting_for_a_slow_camera_is_no_stage(detector: Detector) -> None:
    period_s = 0.3
    with scripted_camera(lambda connection: connection.play(fps=1 / period_s)) as camera:
        results = taken(camera.url, detector, 5, mode=Live())
    # A 64×48 JPEG takes far less than a millisecond; a third of a second is the wait.
    assert median(result.timings["decode"] for result in results) < period_s / 2
    assert median(sum(result.timings.values()) for result in results) < period_s


class OfImages:
    """A detector that takes images alone, no planes."""

    name = "of images"

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    def __call__(self, image: Image) -> sv.Detections:
        return self._detector(image)


def test_a_frame_that_is_dropped_is_never_converted(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted: list[int] = []
    to_bgr = DecodedImage.to_bgr

    def counted(self: DecodedImage) -> Image:
        converted.append(1)
        return to_bgr(self)

    monkeypatch.setattr(DecodedImage, "to_bgr", counted)
    results: list[Result] = []

    def burst(connection: Connection) -> None:
        """Frames as fast as they are taken, so that most of them are dropped."""
        connection.play(2000, fps=2000)
        connection.silence()

    with scripted_camera(burst) as camera:
        pipeline = Pipeline(camera.url, OfImages(detector), mode=quick(stuck_s=60))
        with closing(iter(pipeline)) as taking:
            for result in taking:
                results.append(result)
                if len(results) >= 5 and sum(r.dropped for r in results) >= 50:
                    break
    # The one in work when the loop was left may have been converted too.
    assert len(results) <= len(converted) <= len(results) + 1


class Bare:
    """The least that a detector may be."""

    name = "bare"

    def __init__(self, found: sv.Detections) -> None:
        self.found = found

    def __call__(self, image: Image) -> sv.Detections:
        assert image.shape == (48, 64, 3)
        return self.found


def test_whatever_is_callable_and_has_a_name_is_a_detector(
    video: MakeVideo, tmp_path: Path
) -> None:
    file = video(tmp_path / "drive.mp4", frames=3)
    pipeline = Pipeline(file, Bare(sv.Detections.empty()))
    results = list(pipeline)
    assert [result.frame.index for result in results] == [0, 1, 2]
    assert set(results[0].timings) == {"decode", "queue", "convert", "inference"}
    assert pipeline.summary().model == "bare"


def test_a_detector_whose_boxes_lack_their_task_is_refused_with_what_they_need(
    video: MakeVideo, tmp_path: Path
) -> None:
    boxes = sv.Detections(xyxy=np.array([[1, 2, 3, 4]], np.float32), class_id=np.array([0]))
    with pytest.raises(UsageError, match=r"detector bare gives boxes without data\['class_name'\]"):
        list(Pipeline(video(tmp_path / "drive.mp4", frames=3), Bare(boxes)))


def test_one_tracker_for_two_runs_begins_anew(
    detector: Detector, video: MakeVideo, tmp_path: Path
) -> None:
    file, tracker = video(tmp_path / "drive.mp4", frames=8), Tracker()
    first, second = (
        [result.detections.tracker_id for result in Pipeline(file, detector, tracker=tracker)]
        for _ in range(2)
    )
    assert any((ids > 0).any() for ids in first if ids is not None)
    assert [list(ids) for ids in first if ids is not None] == [
        list(ids) for ids in second if ids is not None
    ]
