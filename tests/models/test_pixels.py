"""Detections of a decoder's planes against those of the image that is made of them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import supervision as sv

from oneglance.models import Detector
from oneglance.models.light_colours import features
from oneglance.streams import open_stream

SURE = 0.35
"""A box of this confidence is found both ways; one near the least confidence may be found once."""

MEAN_SHIFT = 0.02
"""How much confidences may differ on average; libav's own BGR is one level too dark."""


@pytest.mark.parametrize("clip", ["dashcam_city_540p.mp4", "udacity_highway_720p.mp4"])
def test_what_is_found_in_planes_is_what_is_found_in_the_image(clips: Path, clip: str) -> None:
    detector = Detector.load("road4-n", threads=1)
    shifts: list[float] = []
    with open_stream(clips / clip) as stream:
        for frame in islice(stream, 0, 30, 6):
            planes = frame.yuv()
            assert planes is not None
            assert detector.takes_planes(frame.size)
            one, other = detector.detect(planes)[0], detector(frame.image)
            shifts += _matched(one, other) + _matched(other, one)
    assert len(shifts) > 10
    assert np.mean(shifts) < MEAN_SHIFT


def _matched(one: sv.Detections, other: sv.Detections) -> list[float]:
    """How confidences differ of the sure boxes, each of which must have its like."""
    assert one.confidence is not None
    assert other.confidence is not None
    iou = sv.box_iou_batch(one.xyxy, other.xyxy)
    tasks, others = np.asarray(one.data["task"]), np.asarray(other.data["task"])
    iou[tasks[:, None] != others[None]] = 0
    sure = np.flatnonzero(one.confidence >= SURE)
    assert (iou[sure].max(axis=1) > 0.6).all()
    like = iou[sure].argmax(axis=1)
    return [float(d) for d in np.abs(one.confidence[sure] - other.confidence[like])]


def test_a_light_has_the_same_features_in_planes_and_in_the_image(clips: Path) -> None:
    with open_stream(clips / "dashcam_city_540p.mp4") as stream:
        frame = next(iter(stream))
        planes = frame.yuv()
    assert planes is not None
    for box in ((100.3, 50.2, 131.8, 122.0), (401, 300, 415, 333), (940, 500, 960, 540)):
        xyxy = np.array(box, np.float32)
        found = np.abs(features(planes, xyxy) - features(frame.image, xyxy))
        assert found.mean() < 0.03


def test_an_image_that_is_not_made_smaller_had_better_be_one() -> None:
    detector = Detector.load("road4-n", threads=1)
    assert not detector.takes_planes((640, 360))
    assert detector.takes_planes((960, 540))
    part = Detector.load("road4-n", threads=1, region=(0, 0, 320, 200))
    assert not part.takes_planes((1920, 1080))
