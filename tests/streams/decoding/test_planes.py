"""A decoder's planes: as they are, and as the image that is made of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from media import index_of, numbered_image
from oneglance.streams import open_stream
from oneglance.streams.decoding.planes import DecodedImage, can_convert

PIXELS = ["yuv420p", "yuv422p", "nv12", "yuyv422", "yuv420p10le", "p010le", "gbrp", "bgr24", "rgba"]

MakeVideo = Callable[..., Path]


def decoded(index: int, pixels: str, size: tuple[int, int] = (66, 50)) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(numbered_image(index, size), format="bgr24")
    return frame.reformat(format=pixels)


@pytest.mark.parametrize("pixels", PIXELS)
def test_whatever_the_pixels_the_image_is_bgr_and_its_size_is_known_before(pixels: str) -> None:
    image = DecodedImage(decoded(7, pixels))
    assert image.size == (66, 50)
    made = image.to_bgr()
    assert (made.shape, made.dtype) == ((50, 66, 3), np.dtype(np.uint8))
    assert made.flags.c_contiguous
    assert made.flags.writeable
    assert index_of(made) == 7


@pytest.mark.parametrize("pixels", PIXELS)
def test_planes_hold_the_pixels_and_not_the_padding_after_them(pixels: str) -> None:
    frame = decoded(7, pixels)
    planes = DecodedImage(frame).planes()
    bits = frame.format.padded_bits_per_pixel
    assert planes[0].shape[0] == 50
    # 66×50 pixels; libav pads each row to a multiple of 8 or more.
    assert sum(plane.size for plane in planes) == 66 * 50 * bits // 8


def test_planes_are_a_view_and_cost_no_copy() -> None:
    frame = decoded(7, "yuv420p")
    plane = DecodedImage(frame).planes()[0]
    before = int(plane[0, 0])
    changed = bytes([before ^ 255]) + bytes(frame.planes[0])[1:]
    frame.planes[0].update(changed)
    assert int(plane[0, 0]) == before ^ 255


def test_a_palette_has_no_rows_of_its_own_and_is_converted() -> None:
    frame = av.VideoFrame(16, 16, "pal8")
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    (rows,) = DecodedImage(frame).planes()
    assert rows.shape == (16, 48)


@pytest.mark.parametrize("pixels", PIXELS)
def test_pixels_that_libav_knows_can_be_converted(pixels: str) -> None:
    assert can_convert(pixels)


def test_pixels_that_nobody_can_convert_are_known_before_a_frame_is_given_out() -> None:
    assert not can_convert("gray32be")


def test_what_libav_cannot_convert_is_reported_with_its_pixels() -> None:
    with pytest.raises(ValueError, match="16×16 pixels of gray32be, operation not supported"):
        DecodedImage(av.VideoFrame(16, 16, "gray32be")).to_bgr()


def test_a_frame_outlives_its_stream_and_is_converted_then(
    video: MakeVideo, conversions: list[DecodedImage]
) -> None:
    with open_stream(video("drive.mp4", frames=12)) as stream:
        frames = list(stream)
    assert len(frames) == 12
    assert not conversions
    assert [index_of(frame.image) for frame in frames] == list(range(12))
