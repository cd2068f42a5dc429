"""What a decoder holds of an image until somebody asks for it: planes, and how they become BGR."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np

from oneglance.streams.errors import cause
from oneglance.streams.frame import Image
from oneglance.streams.yuv import Bytes, YuvPlanes, to_bgr

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.plane import VideoPlane

_ROTATIONS = {
    90: cv2.ROTATE_90_COUNTERCLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_CLOCKWISE,
}

_FULL_RANGE = 2
_STANDARDS = {1: "bt709", 2: "bt601", 5: "bt601", 6: "bt601"}
"""libav's numbers of colour matrices; 2: none declared."""

_CHROMA = {
    **dict.fromkeys(("yuv420p", "yuvj420p"), (2, 2)),
    **dict.fromkeys(("yuv422p", "yuvj422p"), (2, 1)),
    **dict.fromkeys(("yuv444p", "yuvj444p"), (1, 1)),
    "nv12": (2, 2),
}
"""Pixels of an image, across and down, that share a colour."""


class DecodedImage:
    """A ``DeferredImage`` of libav's.

    It keeps a frame of the decoder's pool in use: 1.5 bytes a pixel for the usual 4:2:0, where
    BGR takes 3.
    """

    __slots__ = ("_frame", "_rotation", "size")

    def __init__(self, frame: VideoFrame) -> None:
        self._frame = frame
        degrees = round(frame.rotation) % 360
        self._rotation = _ROTATIONS.get(degrees)
        width, height = frame.width, frame.height
        self.size = (height, width) if degrees in {90, 270} else (width, height)

    def to_bgr(self) -> Image:
        """The image as contiguous BGR, turned as its display matrix asks (phones film
        sideways).

        libav converts by the colour matrix and range that the video declares (BT.601, limited,
        where it declares none).

        Raises:
            ValueError: libav cannot convert it.
        """
        frame = self._frame
        try:
            # One thread: libav's default of all CPUs costs up to half as much again in waiting.
            image = frame.to_ndarray(format="bgr24", threads=1)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            what = f"{frame.width}×{frame.height} pixels of {frame.format.name}"
            raise ValueError(f"{what}, {cause(error)}") from None
        if self._rotation is not None:
            return np.asarray(cv2.rotate(image, self._rotation), np.uint8)
        return np.ascontiguousarray(image, np.uint8)

    def yuv(self) -> YuvPlanes | None:
        """See ``DeferredImage``: 8-bit pixels that stand upright, of a matrix that we know."""
        frame = self._frame
        name = frame.format.name
        shared, standard = _CHROMA.get(name), _STANDARDS.get(frame.colorspace)
        if shared is None or standard is None or self._rotation is not None:
            return None
        if any(plane.line_size <= 0 for plane in frame.planes):  # upside down in memory
            return None
        if frame.width % shared[0] or frame.height % shared[1]:
            return None
        luma, *chroma = (rows(p, row_bytes(name, i)) for i, p in enumerate(frame.planes))
        if name == "nv12":
            chroma = [chroma[0].reshape(chroma[0].shape[0], -1, 2)]
        is_full = name.startswith("yuvj") or frame.color_range == _FULL_RANGE
        return YuvPlanes(luma, tuple(chroma), to_bgr(standard, full_range=is_full))

    def planes(self) -> tuple[Bytes, ...]:
        """See ``DeferredImage``; the padding after each row is left out."""
        planes = self._frame.planes
        if any(plane.line_size <= 0 for plane in planes):  # upside down in memory
            image = self.to_bgr()
            return (image.reshape(image.shape[0], -1),)
        return tuple(
            rows(plane, row_bytes(self._frame.format.name, index))
            for index, plane in enumerate(planes)
        )


def rows(plane: VideoPlane, used: float) -> Bytes:
    """The bytes of a plane that are pixels; ``used``: bytes that one of them takes."""
    plane_bytes = np.frombuffer(plane, np.uint8)  # type: ignore[call-overload]  # it is a buffer
    lines = plane_bytes.reshape(plane.height, plane.line_size)
    pixels: Bytes = lines[:, : min(plane.line_size, round(plane.width * used))]
    return pixels


@cache
def row_bytes(pixel_format: str, plane: int) -> float:
    """Bytes for each pixel of a plane's row."""
    known = av.VideoFormat(pixel_format)
    if len({component.plane for component in known.components}) == 1:
        return known.padded_bits_per_pixel / 8
    inside = [c for c in known.components if c.plane == plane]
    return float(sum((component.bits + 7) // 8 for component in inside))


@cache
def can_convert(pixel_format: str) -> bool:
    """Whether libav can make BGR of that pixel format, tried on a few of them."""
    try:
        av.VideoFrame(16, 16, pixel_format).to_ndarray(format="bgr24", threads=1)
    except (av.error.FFmpegError, OSError, ValueError):
        return False
    return True
