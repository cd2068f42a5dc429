"""Results as ROS messages, for bags and for a node: one conversion, whoever makes the messages.

``make(type, **fields)`` builds a message: ``rosbags``' types and ``rclpy``'s classes both take
their fields by name. ``vision_msgs`` in the layout of its 4.x (Humble and later), where the centre
of a box is a ``vision_msgs/Pose2D`` with a ``position``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from oneglance.perception.result import Result
from oneglance.streams.frame import Frame
from oneglance.streams.redaction import printable

_NS = 1_000_000_000
_SECONDS = 2**31

ARRAY = "vision_msgs/msg/Detection2DArray"

DEFINITIONS: Mapping[str, str] = {
    "vision_msgs/msg/Point2D": "float64 x\nfloat64 y\n",
    "vision_msgs/msg/Pose2D": "vision_msgs/Point2D position\nfloat64 theta\n",
    "vision_msgs/msg/BoundingBox2D": (
        "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y\n"
    ),
    "vision_msgs/msg/ObjectHypothesis": "string class_id\nfloat64 score\n",
    "vision_msgs/msg/ObjectHypothesisWithPose": (
        "vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose\n"
    ),
    "vision_msgs/msg/Detection2D": (
        "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n"
        "vision_msgs/BoundingBox2D bbox\nstring id\n"
    ),
    ARRAY: "std_msgs/Header header\nvision_msgs/Detection2D[] detections\n",
}
"""vision_msgs 4.x, for bags: they carry the definitions of what is in them."""


class Maker(Protocol):
    """Builds a message of a type from its fields."""

    def __call__(self, type_name: str, /, **fields: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Header:
    """The time and the frame of an image, as its header says or as its source says."""

    stamp_ns: int
    frame_id: str

    @property
    def sec(self) -> int:
        """Whole seconds, the nearest that ROS 2's signed 32 bits hold."""
        return min(max(self.stamp_ns // _NS, -_SECONDS), _SECONDS - 1)

    @property
    def nanosec(self) -> int:
        """The rest, in nanoseconds."""
        return self.stamp_ns % _NS


def header_of(frame: Frame) -> Header:
    """The header of a frame: that of its message, bit for bit, where it came in one; else its
    capture time and its source's name."""
    stamp_ns = frame.metadata.get("stamp_ns")
    frame_id = frame.metadata.get("frame_id")
    return Header(
        stamp_ns if isinstance(stamp_ns, int) else round(frame.timestamp_s * _NS),
        frame_id if isinstance(frame_id, str) else printable(frame.source),
    )


def detection_array(result: Result, make: Maker) -> Any:
    """The boxes of a result as a ``vision_msgs/Detection2DArray`` with the image's header.

    ``class_id`` is the class's name, ``id`` the track's number ("" without one); boxes in pixels
    of the image.
    """
    where = header_of(result.frame)
    detections = result.detections
    count = len(detections)
    boxes = np.asarray(detections.xyxy, np.float64)
    names = [str(name) for name in detections.data.get("class_name", ())]
    scores = np.zeros(count) if detections.confidence is None else detections.confidence
    tracks = detections.tracker_id if detections.tracker_id is not None else np.full(count, -1)
    return make(
        ARRAY,
        header=_header(where, make),
        detections=[
            _detection(where, box, (name, float(score)), int(track), make=make)
            for box, name, score, track in zip(boxes, names, scores, tracks, strict=True)
        ],
    )


def _detection(
    where: Header, box: np.ndarray, found: tuple[str, float], track: int, *, make: Maker
) -> Any:
    x1, y1, x2, y2 = (float(side) for side in box)
    centre = make("vision_msgs/msg/Point2D", x=(x1 + x2) / 2, y=(y1 + y2) / 2)
    name, score = found
    hypothesis = make("vision_msgs/msg/ObjectHypothesis", class_id=name, score=score)
    return make(
        "vision_msgs/msg/Detection2D",
        header=_header(where, make),
        results=[
            make(
                "vision_msgs/msg/ObjectHypothesisWithPose", hypothesis=hypothesis, pose=_pose(make)
            )
        ],
        bbox=make(
            "vision_msgs/msg/BoundingBox2D",
            center=make("vision_msgs/msg/Pose2D", position=centre, theta=0.0),
            size_x=x2 - x1,
            size_y=y2 - y1,
        ),
        id="" if track < 0 else str(track),
    )


def _header(where: Header, make: Maker) -> Any:
    stamp = make("builtin_interfaces/msg/Time", sec=where.sec, nanosec=where.nanosec)
    return make("std_msgs/msg/Header", stamp=stamp, frame_id=where.frame_id)


def _pose(make: Maker) -> Any:
    """No pose: a camera alone does not know one."""
    return make(
        "geometry_msgs/msg/PoseWithCovariance",
        pose=make(
            "geometry_msgs/msg/Pose",
            position=make("geometry_msgs/msg/Point", x=0.0, y=0.0, z=0.0),
            orientation=make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0),
        ),
        covariance=np.zeros(36),
    )
