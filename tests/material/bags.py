"""Real bags for tests, written by the libraries of their fields."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from media import Pixels, numbered_image

START_NS = 1_790_000_000_123_456_789
STEP_NS = 33_333_333


def stamps(count: int) -> list[int]:
    """The headers' times of ``count`` messages, in nanoseconds."""
    return [START_NS + i * STEP_NS for i in range(count)]


def jpeg(image: Pixels) -> bytes:
    """``image`` as a camera would send it, hardly compressed."""
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])


def access_units(frames: int, codec: str = "libx264") -> list[bytes]:
    """A video without B-frames, one access unit an image, as Foxglove wants it."""
    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = 64, 48, "yuv420p"
    context.time_base = Fraction(1, 30)
    quiet = {"x265-params": "log-level=none:bframes=0"} if codec == "libx265" else {}
    context.options = {"bf": "0", "g": "5", "sc_threshold": "0", "tune": "zerolatency", **quiet}
    units = []
    for index in range(frames):
        frame = av.VideoFrame.from_ndarray(numbered_image(index), format="bgr24")
        frame.pts = index
        units += [bytes(packet) for packet in context.encode(frame)]
    return units + [bytes(packet) for packet in context.encode(None)]


def write_ros2(
    folder: Path,
    *,
    frames: int = 10,
    storage: str = "SQLITE3",
    encoding: str | None = None,
    topics: Sequence[str] = ("/camera/front",),
    compression: str | None = None,
    start: int = 0,
    raw: bool = False,
    padding: int = 0,
    big_endian: bool = False,
) -> Path:
    """A rosbag2 folder; ``encoding``: of ``sensor_msgs/Image``, else JPEGs, but with ``raw``;
    ``padding``: bytes that follow each row but the last; ``big_endian``: the high byte first;
    ``compression``: FILE or MESSAGE; ``start``: the first image's number."""
    from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    writer = Writer(folder, version=9, storage_plugin=StoragePlugin[storage])
    if compression is not None:
        writer.set_compression(CompressionMode[compression], CompressionFormat.ZSTD)
    with writer:
        for topic in topics:
            kind = "Image" if encoding or raw else "CompressedImage"
            name = f"sensor_msgs/msg/{kind}"
            connection = writer.add_connection(topic, name, typestore=store)
            for index, stamp in list(enumerate(stamps(start + frames)))[start:]:
                coding = encoding or ("" if raw else None)
                message = _ros_message(store, numbered_image(index), stamp, coding)
                if padding or big_endian:
                    _rearrange(message, padding=padding, big_endian=big_endian)
                writer.write(connection, stamp + 5, store.serialize_cdr(message, name))
        text = store.types["std_msgs/msg/String"](data="not an image")
        other = writer.add_connection("/chatter", "std_msgs/msg/String", typestore=store)
        writer.write(other, START_NS, store.serialize_cdr(text, "std_msgs/msg/String"))
    return folder


def write_ros1(file: Path, *, frames: int = 10, compression: str | None = None) -> Path:
    """A ROS 1 bag of JPEGs; ``compression``: of its chunks, BZ2 or LZ4."""
    from rosbags.rosbag1 import Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS1_NOETIC)
    name = "sensor_msgs/msg/CompressedImage"
    writer = Writer(file)
    if compression is not None:
        writer.set_compression(Writer.CompressionFormat[compression])
    with writer:
        connection = writer.add_connection("/camera/front", name, typestore=store)
        for index, stamp in enumerate(stamps(frames)):
            message = _ros_message(store, numbered_image(index), stamp, None, seq=index)
            writer.write(connection, stamp, store.serialize_ros1(message, name))
    return file


def write_split(folder: Path, *, parts: int = 3, frames: int = 4) -> Path:
    """A rosbag2 folder of several files, as rosbag2 splits a long recording."""
    from ruamel.yaml import YAML

    folder.mkdir()
    yaml = YAML(typ="safe", pure=True)
    metadata: Any = None
    for part in range(parts):
        written = write_ros2(folder / "part", frames=frames, start=part * frames)
        name = f"{folder.name}_{part}.db3"
        next(written.glob("*.db3")).rename(folder / name)
        of_part = yaml.load((written / "metadata.yaml").read_text())
        metadata = metadata or of_part
        facts = metadata["rosbag2_bagfile_information"]
        if part == 0:
            facts["relative_file_paths"], facts["files"] = [], []
        facts["relative_file_paths"].append(name)
        (written / "metadata.yaml").unlink()
        written.rmdir()
    with (folder / "metadata.yaml").open("w") as file:
        yaml.dump(metadata, file)
    return folder


def write_foxglove(
    file: Path,
    *,
    frames: int = 10,
    codec: str | None = None,
    spoil: int | None = None,
    spoilt: Callable[[bytes], bytes | None] = lambda _: b"spoilt",
    start: int = 0,
) -> Path:
    """An MCAP file of Foxglove's protobuf: JPEGs, or video in ``codec``. Message ``spoil`` holds
    what ``spoilt`` makes of it, by default no image, and is left out where it makes None;
    messages before ``start`` are left out."""
    import foxglove
    from foxglove.channels import CompressedImageChannel, CompressedVideoChannel
    from foxglove.messages import CompressedImage, CompressedVideo, Timestamp

    units = (
        access_units(frames, codec) if codec else [jpeg(numbered_image(i)) for i in range(frames)]
    )
    units = units[start:]
    context = foxglove.Context()
    with foxglove.open_mcap(str(file), context=context, allow_overwrite=True):
        topic = "/camera/front"
        channel: Any = (
            CompressedVideoChannel(topic, context=context)
            if codec
            else CompressedImageChannel(topic, context=context)
        )
        form = {"libx264": "h264", "libx265": "h265", None: "jpeg"}[codec]
        make = CompressedVideo if codec else CompressedImage
        for index, (unit, stamp) in enumerate(zip(units, stamps(frames), strict=False)):
            data = spoilt(unit) if index == spoil else unit
            if data is None:
                continue
            time = Timestamp(sec=stamp // 10**9, nsec=stamp % 10**9)
            channel.log(
                make(timestamp=time, frame_id="front", data=data, format=form), log_time=stamp
            )
    return file


def _ros_message(
    store: Any, image: Pixels, stamp_ns: int, encoding: str | None, *, seq: int | None = None
) -> Any:
    time = store.types["builtin_interfaces/msg/Time"](
        sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9
    )
    facts: dict[str, Any] = {"stamp": time, "frame_id": "front"}
    if seq is not None:
        facts["seq"] = seq
    header = store.types["std_msgs/msg/Header"](**facts)
    if encoding is None:
        data = np.frombuffer(jpeg(image), np.uint8)
        make = store.types["sensor_msgs/msg/CompressedImage"]
        return make(header=header, format="jpeg", data=data)
    pixels = _encoded(image, encoding)
    height, width = image.shape[:2]
    return store.types["sensor_msgs/msg/Image"](
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=pixels[0].nbytes,
        data=pixels.reshape(-1).view(np.uint8),
    )


def _rearrange(message: Any, *, padding: int, big_endian: bool) -> None:
    """Make a raw image's bytes lie as another driver puts them."""
    if big_endian:
        message.data = message.data.view(np.uint16).byteswap().view(np.uint8)
        message.is_bigendian = 1
    rows = message.data.reshape(-1, message.step)  # more than ``height`` where colours follow
    padded = np.full((len(rows), message.step + padding), 99, np.uint8)
    padded[:, : message.step] = rows
    message.step += padding
    message.data = padded.reshape(-1)[: padded.size - padding]


def _encoded(image: Pixels, encoding: str) -> np.ndarray:
    """A grey ``image`` in a ROS encoding."""
    grey = np.ascontiguousarray(image[:, :, 0])
    if encoding in {"mono8", "8UC1"} or re.fullmatch("bayer_.*8", encoding):
        return grey
    if encoding == "mono16" or re.fullmatch("bayer_.*16", encoding):
        return grey.astype(np.uint16) * 257
    if encoding == "16UC3":
        return image.astype(np.uint16) * 257
    if encoding in {"rgba8", "8UC4"}:
        return np.dstack((image[:, :, ::-1], np.full(image.shape[:2], 255, np.uint8)))
    if encoding in {"yuv422_yuy2", "uyvy", "nv12", "nv21"}:
        return _as_yuv(grey, encoding)
    return np.ascontiguousarray(image[:, :, ::-1] if encoding == "rgb8" else image)


def _as_yuv(grey: np.ndarray, encoding: str) -> np.ndarray:
    """A grey image in the limited range, with the colours between its pixels or below them."""
    limited = np.round(16 + grey * (219 / 255)).astype(np.uint8)
    if encoding in {"nv12", "nv21"}:
        return np.vstack((limited, np.full((len(grey) // 2, grey.shape[1]), 128, np.uint8)))
    pixels = np.full((*grey.shape, 2), 128, np.uint8)
    pixels[:, :, int(encoding == "uyvy")] = limited
    return pixels
