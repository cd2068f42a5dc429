from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneglance.models.letterbox import PAD_VALUE, Canvas, CanvasPool, Letterbox, as_bgr
from oneglance.streams.errors import UsageError
from waiting import LONG_S

sides = st.integers(1, 9000)
targets = st.sampled_from([(640, 384), (416, 256), (960, 576), (64, 64)])


@given(width=sides, height=sides, target=targets)
def test_the_scaled_image_lies_inside_the_input_and_touches_two_sides(
    width: Any, height: Any, target: Any
) -> None:
    box = Letterbox.fit((width, height), target)
    assert box.left >= 0
    assert box.top >= 0
    assert box.left + box.scaled[0] <= target[0]
    assert box.top + box.scaled[1] <= target[1]
    assert box.scaled[0] == target[0] or box.scaled[1] == target[1]
    assert abs(2 * box.left + box.scaled[0] - target[0]) <= 1
    assert abs(2 * box.top + box.scaled[1] - target[1]) <= 1


@given(
    width=sides,
    height=sides,
    target=targets,
    corners=st.tuples(*[st.floats(0, 1) for _ in range(4)]),
)
def test_a_box_goes_into_the_input_and_back_to_where_it_was(
    width: Any, height: Any, target: Any, corners: Any
) -> None:
    box = Letterbox.fit((width, height), target)
    x1, x2 = sorted((corners[0] * width, corners[2] * width))
    y1, y2 = sorted((corners[1] * height, corners[3] * height))
    boxes = np.array([[x1, y1, x2, y2]], np.float32)
    back = box.to_source(box.to_input(boxes))
    # float32 keeps 24 bits: one part in 2^22 of the input's span, scaled back to the source.
    span = max(width / box.scaled[0], height / box.scaled[1]) * 1024
    assert np.abs(back - boxes).max() <= span * 2**-21 + 1e-3


def test_boxes_outside_the_image_are_clipped_to_it() -> None:
    box = Letterbox.fit((1280, 720), (640, 384))  # half size, 12 rows of grey above and below
    found = box.to_source(np.array([[-10, 0, 700, 384]], np.float32))
    assert found.tolist() == [[0, 0, 1280, 720]]


def test_the_tensor_is_rgb_in_0_to_1_with_grey_bands() -> None:
    image = np.zeros((360, 640, 3), np.uint8)
    image[:] = (255, 128, 0)  # blue, green, red
    tensor, box = Canvas((640, 384)).fill(image)
    assert tensor.shape == (1, 3, 384, 640)
    assert tensor.dtype == np.float32
    assert (box.left, box.top) == (0, 12)
    np.testing.assert_allclose(tensor[0, :, 200, 300], [0, 128 / 255, 1], atol=1e-6)
    np.testing.assert_allclose(tensor[0, :, 5, 300], [PAD_VALUE / 255] * 3, atol=1e-6)


def test_the_tensor_equals_opencvs_own_blob() -> None:
    image = np.random.default_rng(0).integers(0, 256, (384, 640, 3), np.uint8)
    tensor, _ = Canvas((640, 384)).fill(image)
    blob = cv2.dnn.blobFromImage(image, 1 / 255, swapRB=True)
    assert np.abs(tensor - blob).max() < 1e-6


def test_a_smaller_image_after_a_larger_one_leaves_no_trace_of_it() -> None:
    canvas = Canvas((64, 64))
    canvas.fill(np.full((64, 64, 3), 255, np.uint8))
    tensor, box = canvas.fill(np.zeros((32, 64, 3), np.uint8))
    assert box.top == 16
    np.testing.assert_allclose(tensor[0, :, 0, 0], [PAD_VALUE / 255] * 3, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 3), (6000, 8000, 3), (1, 5000, 3), (5000, 1, 3)])
def test_images_of_any_size_fit(shape: Any) -> None:
    tensor, box = Canvas((640, 384)).fill(np.zeros(shape, np.uint8))
    assert np.isfinite(tensor).all()
    assert min(box.scaled) >= 1


def test_grey_is_repeated_and_alpha_dropped() -> None:
    grey = np.array([[7]], np.uint8)
    assert as_bgr(grey).tolist() == [[[7, 7, 7]]]
    assert as_bgr(grey[..., None]).tolist() == [[[7, 7, 7]]]
    assert as_bgr(np.array([[[1, 2, 3, 4]]], np.uint8)).tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4,), np.uint8),
        "road.jpg",
    ],
)
def test_what_is_not_an_image_is_refused_by_name(image: Any) -> None:
    with pytest.raises(UsageError, match=r"image"):
        as_bgr(image)


def test_threads_share_as_many_canvases_as_may_be_used_at_once() -> None:
    pool, seen, meeting = CanvasPool((64, 32), most=2), [], threading.Barrier(2)

    def call(_: int) -> None:
        with pool.borrowed() as canvas:
            seen.append(canvas)
            meeting.wait(LONG_S)  # two at a time have one each

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(call, range(12)))
    assert (len(seen), len({id(canvas) for canvas in seen})) == (12, 2)


def test_without_a_limit_nobody_waits_for_a_canvas() -> None:
    pool, meeting = CanvasPool((64, 32)), threading.Barrier(6)

    def call(_: int) -> int:
        with pool.borrowed() as canvas:
            meeting.wait(LONG_S)
            return id(canvas)

    with ThreadPoolExecutor(6) as threads:
        assert len(set(threads.map(call, range(6)))) == 6


def test_a_canvas_comes_back_after_an_error() -> None:
    pool = CanvasPool((64, 32), most=1)
    with pytest.raises(ValueError, match="no image"), pool.borrowed() as first:
        raise ValueError("no image")
    with pool.borrowed() as second:
        assert second is first
