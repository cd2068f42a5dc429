"""Image messages, whatever wrote them: ROS 1, ROS 2, Foxglove's protobuf and JSON."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import cv2
import numpy as np

from oneglance.streams.files.image_count import is_damaged_png
from oneglance.streams.files.images import decoded
from oneglance.streams.files.jpeg import is_damaged_jpeg, with_end
from oneglance.streams.frame import Image


class Carries(StrEnum):
    """How a topic carries its images."""

    RAW = "raw images"
    COMPRESSED = "compressed images"
    VIDEO = "compressed video"


TYPES: Mapping[str, Carries] = {
    "sensor_msgs/Image": Carries.RAW,
    "sensor_msgs/CompressedImage": Carries.COMPRESSED,
    "foxglove.RawImage": Carries.RAW,
    "foxglove.CompressedImage": Carries.COMPRESSED,
    "foxglove.CompressedVideo": Carries.VIDEO,
    "foxglove_msgs/RawImage": Carries.RAW,
    "foxglove_msgs/CompressedImage": Carries.COMPRESSED,
    "foxglove_msgs/CompressedVideo": Carries.VIDEO,
}
"""Message types with images; ROS 2's ``/msg/`` is left out of the name."""

VIDEO_FORMATS: Mapping[str, str] = {"h264": "h264", "h265": "hevc", "hevc": "hevc"}
"""Video codings that we decode, and libav's names for them."""


_ALIKE = {"8UC1": "mono8", "8UC3": "bgr8", "8UC4": "bgra8", "16UC3": "bgr16", "16UC4": "bgra16"}
"""OpenCV's names for encodings, in its order of colours, as ROS's own conversion takes them."""

_BAYER = ("bayer_rggb", "bayer_bggr", "bayer_gbrg", "bayer_grbg")
_PIXEL_BYTES: Mapping[str, int] = {
    **dict.fromkeys(("mono8", "nv12", "nv21", *(f"{name}8" for name in _BAYER)), 1),
    **dict.fromkeys(("mono16", "uyvy", "yuv422", "yuyv", "yuv422_yuy2"), 2),
    **dict.fromkeys((f"{name}16" for name in _BAYER), 2),
    **dict.fromkeys(("bgr8", "rgb8"), 3),
    **dict.fromkeys(("bgra8", "rgba8"), 4),
    **dict.fromkeys(("bgr16", "rgb16"), 6),
    **dict.fromkeys(("bgra16", "rgba16"), 8),
}
"""Encodings of raw images that we make into colours, and the bytes of a pixel (of its brightness,
where colours lie in a plane of their own)."""


class Undecodable(Exception):
    """A message whose image cannot be made; its text says why."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A camera topic. ``type``: as the bag names it. ``count``: its messages; None if unknown."""

    name: str
    type: str
    carries: Carries
    count: int | None


@dataclass(frozen=True, slots=True)
class ImageMessage:
    """One message of a camera topic.

    ``stamp_ns``: its header's time, nanoseconds. ``format``: an encoding (``rgb8``) or a coding
    (``jpeg``, ``h264``). ``data``: the image's bytes. ``message``: the whole, for raw images.
    """

    stamp_ns: int
    frame_id: str
    format: str
    data: bytes
    message: Any


def carries(type_name: str) -> Carries | None:
    """How messages of that type carry images; None where they carry none."""
    return TYPES.get(type_name.replace("/msg/", "/"))


def of_ros(message: Any) -> ImageMessage:
    """A ``sensor_msgs`` or ``foxglove_msgs`` message as ``rosbags`` reads it."""
    header = getattr(message, "header", None)
    stamp = message.timestamp if header is None else header.stamp
    frame_id = message.frame_id if header is None else header.frame_id
    coding = message.encoding if hasattr(message, "encoding") else message.format
    stamp_ns = int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
    return ImageMessage(stamp_ns, str(frame_id), str(coding), bytes(message.data), message)


def of_protobuf(message: Any) -> ImageMessage:
    """A ``foxglove`` message as protobuf reads it."""
    coding = message.encoding if hasattr(message, "encoding") else message.format
    stamp_ns = message.timestamp.seconds * 1_000_000_000 + message.timestamp.nanos
    return ImageMessage(stamp_ns, message.frame_id, coding, bytes(message.data), message)


def of_json(message: Mapping[str, Any]) -> ImageMessage:
    """A ``foxglove`` message as JSON: bytes are base64."""
    stamp = message["timestamp"]
    stamp_ns = int(stamp["sec"]) * 1_000_000_000 + int(stamp.get("nsec", 0))
    coding = str(message.get("encoding") or message["format"])
    data = base64.b64decode(message["data"])
    return ImageMessage(stamp_ns, str(message.get("frame_id", "")), coding, data, message)


def image_of(message: ImageMessage, how: Carries) -> Image:
    """The image of a message that holds one, H×W×3 uint8 BGR.

    Raises:
        Undecodable: an encoding that we lack, or bytes that are no complete image.
    """
    make: Callable[[ImageMessage], Image] = _raw if how is Carries.RAW else _compressed
    try:
        return make(message)
    except (cv2.error, ValueError) as error:
        raise Undecodable(f"{message.format or 'no format'}: {error}") from None


def _raw(message: ImageMessage) -> Image:
    from rosbags.image import ImageError, image_to_cvimage

    try:
        image = image_to_cvimage(_packed(message), "bgr8")
    except ImageError as error:
        raise Undecodable(f"encoding {message.format}: {error}") from None
    return np.ascontiguousarray(image, np.uint8)


@dataclass(slots=True)
class _SensorImage:
    """What ``rosbags`` asks of a ``sensor_msgs/Image``; it takes rows without padding only."""

    height: int
    width: int
    encoding: str
    is_bigendian: bool
    data: Any


def _packed(message: ImageMessage) -> Any:
    """A raw image without what its driver appends to each row.

    Raises:
        Undecodable: an encoding that we lack, or fewer bytes than it should have.
    """
    width, height, step, is_bigendian = _layout(message.message)
    encoding = _ALIKE.get(message.format, message.format)
    if encoding not in _PIXEL_BYTES:
        every = ", ".join((*_PIXEL_BYTES, *_ALIKE))
        raise Undecodable(f"encoding '{encoding}' cannot be shown in colours (those can: {every})")
    row = width * _PIXEL_BYTES[encoding]
    step = max(step, row)  # 0 from drivers that have nothing to append
    data = np.frombuffer(message.data, np.uint8)
    planes = height * 3 // 2
    if encoding in {"nv12", "nv21"} and len(data) >= step * (planes - 1) + row:
        height = planes  # that of the brightness alone was given
    if not row or not height or len(data) < step * (height - 1) + row:
        raise Undecodable(
            f"{width}x{height} {message.format} with {len(data)} bytes, not {height * step}"
        )
    if step > row:
        last = step * (height - 1)  # of the last row, what is appended may be missing
        rows = data[:last].reshape(height - 1, step)[:, :row]
        data = np.concatenate((rows.reshape(-1), data[last : last + row]))
    return _SensorImage(height, width, encoding, is_bigendian, data)


def _layout(given: Any) -> tuple[int, int, int, bool]:
    """Width, height, bytes from row to row and the order of bytes of a raw image."""
    if isinstance(given, Mapping):
        return int(given["width"]), int(given["height"]), int(given["step"]), False
    is_bigendian = bool(getattr(given, "is_bigendian", 0))
    return int(given.width), int(given.height), int(given.step), is_bigendian


def _compressed(message: ImageMessage) -> Image:
    # OpenCV fills what a JPEG lacks with grey, and believes a PNG's lengths.
    if is_damaged_jpeg(message.data) or is_damaged_png(message.data):
        raise Undecodable(f"{message.format or 'no format'}, {len(message.data)} bytes: damaged")
    image = decoded(with_end(message.data))
    if image is None:
        raise Undecodable(f"{message.format or 'no format'}, {len(message.data)} bytes: no image")
    return image
