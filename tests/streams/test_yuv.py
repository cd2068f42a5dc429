"""A decoder's planes against libav's own BGR of them."""

from __future__ import annotations

from typing import Any

import av
import cv2
import numpy as np
import pytest

from oneglance.streams import Frame
from oneglance.streams.decoding.planes import DecodedImage

BT709, UNKNOWN, BT601, BT2020 = 1, 2, 6, 9
LIMITED, FULL = 1, 2

SIZE = (640, 360)


def scene(size: tuple[int, int] = SIZE) -> np.ndarray:
    """Colours that change smoothly, as those of a camera do, with edges and a little noise."""
    width, height = size
    x, y = np.meshgrid(np.linspace(0, 6, width), np.linspace(0, 4, height))
    image = np.dstack((np.sin(x) + 1, np.cos(y + x / 2) + 1, np.sin(x * y / 3) + 1)) * 110 + 15
    image[height // 3 : height // 2, width // 4 : width // 3] = (20, 20, 200)
    image += np.random.default_rng(0).normal(0, 3, image.shape)
    blurred: np.ndarray = cv2.GaussianBlur(np.clip(image, 0, 255).astype(np.uint8), (0, 0), 1.2)
    return blurred


def decoded(
    pixels: str = "yuv420p",
    size: tuple[int, int] = SIZE,
    *,
    colorspace: int = BT601,
    color_range: int = LIMITED,
) -> DecodedImage:
    frame = av.VideoFrame.from_ndarray(scene(size), format="bgr24").reformat(format=pixels)
    frame.colorspace, frame.color_range = colorspace, color_range
    return DecodedImage(frame)


def differences(one: np.ndarray, other: np.ndarray) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.abs(one.astype(np.int64) - other.astype(np.int64))


@pytest.mark.parametrize("pixels", ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "nv12"])
@pytest.mark.parametrize("colorspace", [BT709, UNKNOWN, BT601])
@pytest.mark.parametrize("color_range", [LIMITED, FULL])
def test_the_planes_make_the_image_that_libav_makes(
    pixels: str, colorspace: int, color_range: int
) -> None:
    image = decoded(pixels, colorspace=colorspace, color_range=color_range)
    planes = image.yuv()
    assert planes is not None
    assert planes.size == SIZE
    found = differences(planes.bgr(), image.to_bgr())
    assert found.mean() < 1.5
    assert np.percentile(found, 99) <= 4


@pytest.mark.parametrize("pixels", ["yuv420p", "nv12"])
@pytest.mark.parametrize("size", [(320, 180), (213, 120), (640, 360)])
def test_to_resize_the_planes_is_to_resize_the_image(pixels: str, size: tuple[int, int]) -> None:
    image = decoded(pixels)
    planes = image.yuv()
    assert planes is not None
    out = np.zeros((size[1], size[0], 3), np.uint8)
    made = planes.resized(size, out=out)
    found = differences(out, cv2.resize(image.to_bgr(), size))
    assert np.array_equal(made, out)
    assert found.mean() < 1.5
    assert np.percentile(found, 99) <= 8  # beside edges, where colours are interpolated


@pytest.mark.parametrize("corner", [(0, 0), (100, 50), (101, 51)])
def test_a_part_of_the_planes_is_that_part_of_the_image(corner: tuple[int, int]) -> None:
    image = decoded()
    planes = image.yuv()
    assert planes is not None
    (x, y), (x2, y2) = corner, (corner[0] + 60, corner[1] + 81)
    part = planes.cut(x, y, x2, y2)
    assert part.size == (60, 81)
    assert differences(part.bgr(), image.to_bgr()[y:y2, x:x2]).mean() < 2


@pytest.mark.parametrize(
    ("pixels", "size", "colorspace"),
    [
        ("yuv420p10le", SIZE, BT601),
        ("bgr24", SIZE, BT601),
        ("gray", SIZE, BT601),
        ("yuv420p", (641, 360), BT601),
        ("yuv420p", SIZE, BT2020),
    ],
)
def test_what_is_held_in_another_way_has_no_planes_of_that_kind(
    pixels: str, size: tuple[int, int], colorspace: int
) -> None:
    assert decoded(pixels, size, colorspace=colorspace).yuv() is None


def test_to_ask_for_planes_makes_no_image_and_an_image_that_is_made_is_used(
    conversions: list[DecodedImage],
) -> None:
    frame = Frame(decoded(), index=0, timestamp_s=0.0, source="test")
    planes = frame.yuv()
    assert planes is not None
    assert not conversions
    assert frame.image.shape == (360, 640, 3)
    assert frame.yuv() is None
    assert planes.bgr().shape == (360, 640, 3)  # who has them may go on using them
