"""Detections in MCAP files, for ROS 2 and for Foxglove: the extra ``mcap``.

``mcap:out.mcap`` writes ``vision_msgs/Detection2DArray`` into ``out.mcap`` and
``foxglove.ImageAnnotations``, boxes that Foxglove draws on the image, into ``out.foxglove.mcap``:
rosbag2 does not play files of mixed encoding. ``?format=ros2``, ``foxglove`` or ``mixed`` (one
file) choose; ``?image=copy`` puts the images (JPEG) beside the boxes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl

import cv2
import numpy as np

from oneglance.models.tasks import Task
from oneglance.perception.plugins import SinkContext
from oneglance.perception.result import Result
from oneglance.perception.ros_messages import (
    ARRAY,
    DEFINITIONS,
    Header,
    detection_array,
    header_of,
)
from oneglance.perception.sinks.drawing import COLOURS
from oneglance.perception.sinks.files import (
    closed_already,
    foxglove_beside,
    open_output,
    refuse_removed,
)
from oneglance.streams.errors import SinkError, UsageError
from oneglance.streams.outputs import output_error, write_whole

_COMPRESSED = "sensor_msgs/msg/CompressedImage"
_JPEG_QUALITY = 90
_LATEST_NS = 2**64 - 1


class Format(StrEnum):
    """What is written, and into how many files."""

    BOTH = "both"
    ROS2 = "ros2"
    FOXGLOVE = "foxglove"
    MIXED = "mixed"


class _Layout(Protocol):
    """Turns results into messages of one encoding."""

    encoding: str

    def schema(self, name: str) -> tuple[str, str, bytes]:
        """Name, encoding and text of a message type."""
        ...

    def messages(self, result: Result, *, with_image: bool) -> list[tuple[str, str, bytes]]:
        """Topic suffix, type and bytes of each message."""
        ...


class McapSink:
    """Writes each result's boxes beside the topic that its image came from."""

    def __init__(self, path: Path, *, form: Format = Format.BOTH, with_image: bool = False) -> None:
        """Open the file or files.

        Raises:
            SinkError: a file cannot be written.
        """
        self._with_image = with_image
        layouts: dict[Path, list[_Layout]] = {}
        if form is not Format.FOXGLOVE:
            layouts.setdefault(path, []).append(_Ros2())
        if form is not Format.ROS2:
            target = foxglove_beside(path) if form is Format.BOTH else path
            layouts.setdefault(target, []).append(_Foxglove())
        self._files: list[_File] = []
        try:
            for file, inside in layouts.items():
                self._files.append(_File(file, inside))
        except SinkError:
            self.close()
            raise

    def write(self, result: Result) -> None:
        """Write the messages of one result.

        Raises:
            SinkError: a file cannot be written; what was written before can be read. Or one was
                removed.
        """
        for file in self._files:
            file.write(result, with_image=self._with_image)

    def close(self) -> None:
        """Finish the files with their index. May be called twice.

        Raises:
            SinkError: the end of a file could not be written; what is there can be read.
        """
        failed: SinkError | None = None
        for file in self._files:
            try:
                file.close()
            except SinkError as error:
                failed = failed or error
        if failed is not None:
            raise failed


class _File:
    """One MCAP file with channels as they are needed."""

    def __init__(self, path: Path, layouts: list[_Layout]) -> None:
        from mcap.writer import Writer

        self._path, self._layouts = path, layouts
        self._file = open_output(path)
        # It writes a chunk at a time, so nothing is gained by a buffer of ours; and a buffer that
        # could not be written would try again when it is collected.
        self._writer: Any = Writer(_Whole(self._file))  # type: ignore[arg-type]
        self._channels: dict[tuple[str, str], int] = {}
        self._schemas: dict[str, int] = {}
        self._sequence: dict[int, int] = {}
        self._closed = False
        self._keeping(lambda: self._writer.start("ros2", "oneglance"))

    def write(self, result: Result, *, with_image: bool) -> None:
        if self._closed:
            raise closed_already(self._path)
        # Times of records have no sign; a clock that stands before 1970 is in the header alone.
        stamp_ns = min(max(header_of(result.frame).stamp_ns, 0), _LATEST_NS)
        base = _topic_of(result)
        for layout in self._layouts:
            for suffix, type_name, data in layout.messages(result, with_image=with_image):
                channel = self._channel(layout, base + suffix, type_name)
                sequence = self._sequence.get(channel, 0)
                self._sequence[channel] = sequence + 1
                self._keeping(self._adding(channel, stamp_ns, data, sequence))

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self._keeping(self._writer.finish)
        finally:
            self._file.close()

    def _adding(
        self, channel: int, stamp_ns: int, data: bytes, sequence: int
    ) -> Callable[[], None]:
        return lambda: self._writer.add_message(channel, stamp_ns, data, stamp_ns, sequence)

    def _channel(self, layout: _Layout, topic: str, type_name: str) -> int:
        key = topic, type_name
        if key not in self._channels:
            if type_name not in self._schemas:
                name, encoding, text = layout.schema(type_name)
                self._schemas[type_name] = self._writer.register_schema(name, encoding, text)
            self._channels[key] = self._writer.register_channel(
                topic, layout.encoding, self._schemas[type_name]
            )
        return self._channels[key]

    def _keeping(self, write: Callable[[], Any]) -> None:
        try:
            refuse_removed(self._file, self._path)
        except SinkError:
            self._closed = True
            raise
        try:
            write()
        except OSError as error:
            self._closed = True
            self._file.close()
            kept = "What was written before can be read; it lacks its index"
            raise output_error(self._path, error, kept=kept) from None


class _Whole:
    """A file of which every write is complete; what ``mcap`` asks of an output."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        write_whole(self._file, data)
        return len(data)

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        """Nothing waits."""


class _Ros2:
    """``vision_msgs`` and ``sensor_msgs`` in CDR."""

    encoding = "cdr"

    def __init__(self) -> None:
        from rosbags.typesys import Stores, get_types_from_msg, get_typestore

        self._store = get_typestore(Stores.ROS2_HUMBLE)
        for name, text in DEFINITIONS.items():
            self._store.register(get_types_from_msg(text, name))

    def schema(self, name: str) -> tuple[str, str, bytes]:
        text, _ = self._store.generate_msgdef(name, ros_version=2)
        return name, "ros2msg", text.encode()

    def messages(self, result: Result, *, with_image: bool) -> list[tuple[str, str, bytes]]:
        found = [("/detections", ARRAY, detection_array(result, self._make))]
        if with_image:
            where = header_of(result.frame)
            stamp = self._make("builtin_interfaces/msg/Time", sec=where.sec, nanosec=where.nanosec)
            header = self._make("std_msgs/msg/Header", stamp=stamp, frame_id=where.frame_id)
            data = np.frombuffer(_jpeg(result), np.uint8)
            image = self._make(_COMPRESSED, header=header, format="jpeg", data=data)
            found.append(("/compressed", _COMPRESSED, image))
        return [
            (suffix, name, bytes(self._store.serialize_cdr(message, name)))
            for suffix, name, message in found
        ]

    def _make(self, type_name: str, /, **fields: Any) -> Any:
        return self._store.types[type_name](**fields)


class _Foxglove:
    """``foxglove`` messages in protobuf."""

    encoding = "protobuf"

    def __init__(self) -> None:
        from foxglove import messages

        self._messages: Any = messages

    def schema(self, name: str) -> tuple[str, str, bytes]:
        found = getattr(self._messages, name).get_schema()
        return found.name, found.encoding, found.data

    def messages(self, result: Result, *, with_image: bool) -> list[tuple[str, str, bytes]]:
        make = self._messages
        where = header_of(result.frame)
        found = [("/annotations", "ImageAnnotations", self._annotations(result, where))]
        if with_image:
            image = make.CompressedImage(
                timestamp=self._time(where),
                frame_id=where.frame_id,
                data=_jpeg(result),
                format="jpeg",
            )
            found.append(("/image", "CompressedImage", image))
        return [(suffix, name, message.encode()) for suffix, name, message in found]

    def _annotations(self, result: Result, where: Header) -> Any:
        make, detections = self._messages, result.detections
        points, texts = [], []
        tasks = [Task(task) for task in detections.data.get("task", ())]
        names = [str(name) for name in detections.data.get("class_name", ())]
        scores = np.zeros(len(names)) if detections.confidence is None else detections.confidence
        for box, task, name, score in zip(
            np.asarray(detections.xyxy, np.float64), tasks, names, scores, strict=True
        ):
            x1, y1, x2, y2 = (float(side) for side in box)
            blue, green, red = (level / 255 for level in COLOURS[task])
            colour = make.Color(r=red, g=green, b=blue, a=1.0)
            corners = ((x1, y1), (x2, y1), (x2, y2), (x1, y2))
            points.append(
                make.PointsAnnotation(
                    timestamp=self._time(where),
                    type=make.PointsAnnotationType.LineLoop,
                    points=[make.Point2(x=x, y=y) for x, y in corners],
                    outline_color=colour,
                    thickness=2.0,
                )
            )
            texts.append(
                make.TextAnnotation(
                    timestamp=self._time(where),
                    position=make.Point2(x=x1, y=y1),
                    text=f"{name} {score:.2f}",
                    font_size=12.0,
                    text_color=make.Color(r=0.0, g=0.0, b=0.0, a=1.0),
                    background_color=colour,
                )
            )
        return make.ImageAnnotations(points=points, texts=texts)

    def _time(self, where: Header) -> Any:
        return self._messages.Timestamp(sec=max(where.sec, 0), nsec=where.nanosec)


def open_mcap(target: str, context: SinkContext) -> McapSink:
    """The sink ``mcap:FILE.mcap``, with ``?format=…&image=copy``.

    Raises:
        UsageError: no file is named, or an option is none. SinkError: see ``McapSink``.
    """
    del context
    file, _, query = target.partition("?")
    if not file.endswith(".mcap"):
        raise UsageError(f"the sink mcap needs a file: mcap:out.mcap, not '{target}'")
    options: Mapping[str, str] = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(options.keys() - {"format", "image"})
    if unknown:
        raise UsageError(f"the sink mcap has no option {unknown[0]} (options: format, image)")
    form, image = options.get("format", Format.BOTH), options.get("image", "none")
    if form not in set(Format):
        raise UsageError(f"format is one of {', '.join(Format)}, not '{form}'")
    if image not in {"none", "copy"}:
        raise UsageError(f"image is none or copy, not '{image}'")
    return McapSink(Path(file), form=Format(form), with_image=image == "copy")


def _topic_of(result: Result) -> str:
    """Where the messages of a result go: beside the image's topic, else by the source's name."""
    topic = result.frame.metadata.get("topic")
    if isinstance(topic, str) and topic:
        return re.sub(r"/(compressed|image_raw|image|video)$", "", topic)
    name = re.sub(r"[^A-Za-z0-9_]+", "_", result.frame.source).strip("_") or "camera"
    return f"/oneglance/{name}"


def _jpeg(result: Result) -> bytes:
    _, content = cv2.imencode(".jpg", result.frame.image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return content.tobytes()
