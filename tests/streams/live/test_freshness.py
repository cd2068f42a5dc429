"""Images that change, on whatever planes they come, and rates that are measured."""

from __future__ import annotations

import av
import numpy as np
import pytest

from media import numbered_image
from oneglance.streams import Frame
from oneglance.streams.decoding.planes import DecodedImage
from oneglance.streams.frame import Image
from oneglance.streams.live.freshness import FreezeDetector, RateMeter


def frame(image: Image) -> Frame:
    return Frame(image, index=0, timestamp_s=0.0, source="test")


def test_an_image_that_stays_the_same_for_long_is_frozen_until_it_changes() -> None:
    detector, same, other = FreezeDetector(2.0), numbered_image(3), numbered_image(4)
    seen = [(0, other), (1, same), (2, same), (3, same), (3.5, same), (4, other), (7, same)]
    frozen = [detector.see(frame(image), time_s) for time_s, image in seen]
    assert frozen == [False, False, False, True, True, False, False]


def test_noise_of_one_grey_level_is_no_freeze() -> None:
    detector, image = FreezeDetector(1.0), numbered_image(3)
    noisy = image.copy()
    noisy[0, 0, 0] ^= 1
    assert not any(detector.see(frame(i), s) for s, i in enumerate([image, noisy] * 5))


def test_a_small_thing_that_moves_between_the_rows_looked_at_first_is_no_freeze() -> None:
    detector, frozen = FreezeDetector(2.0), []
    for time_s in range(10):
        image = np.zeros((480, 640, 3), np.uint8)
        image[5, time_s] = 1
        frozen.append(detector.see(frame(image), time_s))
    assert not any(frozen)


def test_drawing_on_a_frame_that_was_seen_does_not_hide_a_freeze() -> None:
    detector = FreezeDetector(1.0)
    for time_s, frozen in ((0, False), (1, True), (2, True)):
        image = numbered_image(3)
        assert detector.see(frame(image), time_s) is frozen
        image[:] = 0  # as users draw on what they were given


def test_a_new_connection_is_not_frozen_by_the_image_of_the_last() -> None:
    detector = FreezeDetector(1.0)
    detector.see(frame(numbered_image(3)), 0.0)
    assert detector.see(frame(numbered_image(3)), 5.0)
    detector.forget()
    assert not detector.see(frame(numbered_image(3)), 6.0)


def test_a_size_that_changes_is_a_new_image() -> None:
    detector = FreezeDetector(1.0)
    black = [np.zeros((48, width, 3), np.uint8) for width in (64, 32)]
    assert not any(detector.see(frame(black[s % 2]), s) for s in range(6))


def test_without_a_limit_nothing_is_frozen() -> None:
    detector = FreezeDetector(None)
    assert not any(detector.see(frame(numbered_image(1)), s) for s in range(0, 1000, 100))


def test_the_rate_is_that_of_the_last_seconds() -> None:
    meter = RateMeter(5.0)
    for index in range(50):
        meter.tick(index / 25)
    assert meter.rate(2.0) == pytest.approx(25)
    for index in range(50):
        meter.tick(10 + index / 5)
    assert meter.rate(20.0) == pytest.approx(5)


def test_the_rate_is_unknown_before_two_frames_and_nothing_after_a_silent_while() -> None:
    meter = RateMeter(5.0)
    assert meter.rate(0.0) is None
    meter.tick(1.0)
    assert meter.rate(1.0) is None
    meter.tick(1.1)
    assert meter.rate(6.2) == 0.0


@pytest.mark.parametrize("pixels", ["yuv420p", "nv12", "yuyv422", "yuv420p10le", "gbrp", "bgr24"])
def test_a_freeze_is_seen_on_the_decoders_planes_and_nothing_is_converted(
    pixels: str, conversions: list[DecodedImage]
) -> None:
    detector = FreezeDetector(1.0)
    same, other = (
        av.VideoFrame.from_ndarray(numbered_image(index), format="bgr24").reformat(format=pixels)
        for index in (3, 4)
    )
    frozen = []
    for time_s, planes in enumerate((other, same, same, same, other)):
        came = Frame(DecodedImage(planes), index=time_s, timestamp_s=time_s, source="test")
        frozen.append(detector.see(came, time_s))
    assert not conversions
    assert frozen == [False, False, True, True, False]


def test_a_change_of_colour_alone_is_no_freeze() -> None:
    detector = FreezeDetector(2.0)
    for time_s in range(6):
        planes = av.VideoFrame.from_ndarray(np.full((72, 64), 128, np.uint8), format="yuv420p")
        blue = np.frombuffer(planes.planes[1], np.uint8).reshape(24, -1)  # type: ignore[call-overload]
        shown = blue.copy()
        shown[3, 3] = time_s
        planes.planes[1].update(shown.tobytes())
        came = Frame(DecodedImage(planes), index=time_s, timestamp_s=time_s, source="test")
        assert not detector.see(came, time_s)
