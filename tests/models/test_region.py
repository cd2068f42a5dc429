from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from oneglance.models import Detector, Region
from oneglance.models.metadata import Head
from oneglance.streams.errors import UsageError
from present import present

ROWS = np.array([[[2, 4, 12, 14, 0.9, 1], [30, 8, 40, 18, 0.6, 2]]], np.float32)


def test_numbers_up_to_1_are_shares_of_each_frame() -> None:
    region = Region.of("0,0.25,1,0.75")
    assert region.pixels((1280, 720)) == (0, 180, 1280, 540)
    assert region.pixels((640, 480)) == (0, 120, 640, 360)


def test_larger_numbers_are_pixels() -> None:
    assert Region.of((0, 1, 2, 3)).pixels((640, 480)) == (0, 1, 2, 3)


@pytest.mark.parametrize(
    "text", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "0,0,nan,1", "5,0,5,9", "0,9,5,3", "-1,0,5,5"]
)
def test_what_is_no_region_is_said_in_one_sentence(text: str) -> None:
    with pytest.raises(UsageError, match="region") as caught:
        Region.of(text)
    assert "\n" not in str(caught.value)


def test_a_region_outside_the_frame_is_refused_with_the_size_of_the_frame() -> None:
    with pytest.raises(UsageError, match=r"0,0,1281,720 lies outside the frame.* 1280x720"):
        Region.of("0,0,1281,720").pixels((1280, 720))


def test_less_than_a_pixel_is_no_region() -> None:
    with pytest.raises(UsageError, match="less than a pixel"):
        Region.of("0.5,0,0.501,1").pixels((100, 100))


@pytest.mark.parametrize("head", list(Head))
def test_boxes_of_a_region_are_those_of_its_pixels_moved_to_the_whole_frame(
    make_model: Any, head: Head
) -> None:
    rows = ROWS
    if head is Head.ONE_TO_MANY:
        rows = np.zeros((1, 8, 2), np.float32)
        rows[0, :4] = np.array([[7, 9, 10, 10], [35, 13, 10, 10]]).T
        rows[0, 5, 0], rows[0, 6, 1] = 0.9, 0.6
    model = make_model(rows, head=head)
    image = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)
    found = Detector.load(model, region="100,50,228,114")(image)
    alone = Detector.load(model)(image[50:114, 100:228])
    assert len(alone) == 2
    np.testing.assert_array_equal(found.xyxy, alone.xyxy + np.array((100, 50, 100, 50)))
    assert present(found.class_id).tolist() == present(alone.class_id).tolist()


def test_only_the_pixels_of_the_region_are_looked_at(make_model: Any) -> None:
    gain = np.zeros((1, 2, 6), np.float32)
    gain[0, :, 2] = 8.0  # the brighter the image, the wider the box
    detector = Detector.load(make_model(ROWS, gain=gain), region=(0, 0.5, 1, 1))
    image = np.full((128, 128, 3), 90, np.uint8)
    before = detector(image).xyxy
    image[:64] = 255
    np.testing.assert_array_equal(detector(image).xyxy, before)
    image[64:] = 255
    assert not np.array_equal(detector(image).xyxy, before)


def test_a_copied_detector_looks_at_the_same_region(make_model: Any) -> None:
    import copy

    detector = Detector.load(make_model(ROWS), region="0,0,64,32")
    assert copy.deepcopy(detector).region == Region(0, 0, 64, 32)
