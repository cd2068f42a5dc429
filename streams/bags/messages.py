"""Image messages, whatever wrote them: ROS 1, ROS 2, Foxglove's protobuf and JSON."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import cv2
import numpy as np

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
    coding = getattr(message, "encoding", None) or message.format
    stamp_ns = int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
    return ImageMessage(stamp_ns, str(frame_id), str(coding), bytes(message.data), message)


def of_protobuf(message: Any) -> ImageMessage:
    """A ``foxglove`` message as protobuf reads it."""
    coding = getattr(message, "encoding", None) or message.format
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

    raw = _as_sensor_msgs(message)
    rows, step = int(raw.height), int(raw.step)
    if len(raw.data) < rows * step or not rows or not raw.width:
        raise Undecodable(
            f"{raw.width}x{rows} {message.format} with {len(raw.data)} bytes, not {rows * step}"
        )
    try:
        image = image_to_cvimage(raw, "bgr8")
    except ImageError as error:
        raise Undecodable(f"encoding {message.format}: {error}") from None
    return np.ascontiguousarray(image, np.uint8)


@dataclass(slots=True)
class _SensorImage:
    """What ``rosbags`` asks of a ``sensor_msgs/Image``."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Any


def _as_sensor_msgs(message: ImageMessage) -> Any:
    given = message.message
    if isinstance(given, Mapping):
        sides = (int(given["height"]), int(given["width"]), int(given["step"]))
        big_endian = 0
    else:
        sides = (int(given.height), int(given.width), int(given.step))
        big_endian = int(getattr(given, "is_bigendian", 0))
    height, width, step = sides
    data = np.frombuffer(message.data, np.uint8)
    return _SensorImage(height, width, message.format, big_endian, step, data)


def _compressed(message: ImageMessage) -> Image:
    if is_damaged_jpeg(message.data):  # OpenCV fills what is missing with grey
        raise Undecodable(f"{message.format or 'no format'}, {len(message.data)} bytes: damaged")
    image = cv2.imdecode(np.frombuffer(with_end(message.data), np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise Undecodable(f"{message.format or 'no format'}, {len(message.data)} bytes: no image")
    return np.asarray(image, np.uint8)
