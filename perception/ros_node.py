"""What a ROS 2 node around the loop is made of, apart from ``rclpy``.

A node hands image messages to ``RosImages``, runs a ``Pipeline`` over it with a ``RosPublisher``
as a sink, and publishes ``diagnostics`` now and then: see ``perception/examples/ros2_node.py``.
"""

from __future__ import annotations

import importlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache
from typing import Any

from oneglance.perception.health import Health, SourceHealth
from oneglance.perception.result import Result
from oneglance.perception.ros_messages import Header, Maker, detection_array
from oneglance.streams import shutdown
from oneglance.streams.bags.messages import Undecodable, carries, image_of, of_ros
from oneglance.streams.errors import UsageError
from oneglance.streams.frame import Frame
from oneglance.streams.live.states import State
from oneglance.streams.playing import Closing

logger = logging.getLogger(__name__)

OK, ERROR, STALE = 0, 2, 3
"""Levels of ``diagnostic_msgs/DiagnosticStatus``."""

DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"
IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"


class RosImages(Closing):
    """A live ``Stream`` of the messages that a subscription hands in: newest wins, never a queue.

    ``type_name``: ``sensor_msgs/msg/Image`` or ``sensor_msgs/msg/CompressedImage``. A message that
    comes while another waits takes its place (``replaced`` counts those); one that holds no image
    is left out (``undecodable``). A frame's ``metadata`` is its header's ``stamp_ns`` and
    ``frame_id``; ``timestamp_s`` is the host's monotonic clock at arrival.
    """

    live = True
    frame_rate: Fraction | None = None
    frame_count: int | None = None

    def __init__(
        self, topic: str, type_name: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``clock``: seconds, monotonic.

        Raises:
            UsageError: messages of that type hold no image.
        """
        how = carries(type_name)
        if how is None or not type_name.startswith("sensor_msgs/"):
            raise UsageError(f"{topic}: {type_name} is no image message of ROS")
        self.source = topic
        self.replaced = self.undecodable = 0
        self._how = how
        self._clock = clock
        self._changed = threading.Condition()
        self._newest: tuple[int, float, Any] | None = None
        self._count = 0
        self._closed = False

    def offer(self, message: Any) -> None:
        """Hand in a message, from any thread; waits for nothing and converts nothing."""
        with self._changed:
            self.replaced += self._newest is not None
            self._newest = self._count, self._clock(), message
            self._count += 1
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Frame]:
        """See ``Stream``."""
        while (taken := self._take()) is not None:
            index, arrival_s, given = taken
            started_s = time.perf_counter()
            message = of_ros(given)
            try:
                image = image_of(message, self._how)
            except Undecodable as error:
                if not self.undecodable:
                    logger.warning("%s: a message holds no image (%s)", self.source, error)
                self.undecodable += 1
                continue
            yield Frame(
                image,
                index,
                arrival_s,
                self.source,
                metadata={
                    "stamp_ns": message.stamp_ns,
                    "frame_id": message.frame_id,
                    "topic": self.source,
                },
                decode_s=time.perf_counter() - started_s,
            )

    def close(self) -> None:
        """See ``Stream``."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _take(self) -> tuple[int, float, Any] | None:
        with self._changed:
            while self._newest is None and not self._closed:
                self._changed.wait(shutdown.PIECE_S)
            taken, self._newest = self._newest, None
            return None if self._closed else taken


class RosPublisher:
    """A sink that publishes each result's boxes as a ``vision_msgs/Detection2DArray``.

    The header is the image's own, bit for bit. ``publish``: a publisher's method.
    """

    def __init__(self, publish: Callable[[Any], None], make: Maker) -> None:
        self._publish, self._make = publish, make

    def write(self, result: Result) -> None:
        """Publish one result."""
        self._publish(detection_array(result, self._make))

    def close(self) -> None:
        """Nothing is held."""


def diagnostics(health: Health, images: RosImages, stamp: Header, make: Maker) -> Any:
    """How a run is doing, as a ``diagnostic_msgs/DiagnosticArray`` with one status."""
    source = next((each for each in health.sources if each.source == images.source), None)
    level, message = _state(health, source)
    values: dict[str, object] = {"replaced": images.replaced, "undecodable": images.undecodable}
    if source is not None:
        values |= {
            "state": source.state.value,
            "fps": source.fps_measured,
            "age_s": source.age_s,
            "produced": source.produced,
            "delivered": source.delivered,
            **{f"dropped ({reason})": count for reason, count in source.dropped.items()},
        }
    values["inference_s"] = health.inference_s
    if (budget := health.budget) is not None:
        values |= {
            "budget_ms": budget.budget_ms,
            "budget_step": budget.steps[budget.step],
            "budget_exceeded": budget.over,
        }
    status = make(
        "diagnostic_msgs/msg/DiagnosticStatus",
        level=level,
        name=f"oneglance: {images.source}",
        message=message,
        hardware_id="",
        values=[
            make("diagnostic_msgs/msg/KeyValue", key=key, value="" if value is None else str(value))
            for key, value in values.items()
        ],
    )
    time_ = make("builtin_interfaces/msg/Time", sec=stamp.sec, nanosec=stamp.nanosec)
    header = make("std_msgs/msg/Header", stamp=time_, frame_id=stamp.frame_id)
    return make(DIAGNOSTICS, header=header, status=[status])


def _state(health: Health, source: SourceHealth | None) -> tuple[int, str]:
    if health.stuck:
        return ERROR, "an inference does not come back"
    if source is None or source.state is State.CONNECTING:
        return STALE, "no image has come yet"
    if source.state is State.CLOSED:
        return ERROR, source.last_error or "closed"
    if source.state is not State.LIVE:
        return STALE, source.last_error or f"images: {source.state.value}"
    return OK, "images come"


@cache
def message_class(type_name: str) -> Any:
    """The class of a message type in the ROS 2 that is installed.

    >>> message_class("std_msgs/msg/Header")  # doctest: +SKIP
    <class 'std_msgs.msg._header.Header'>

    What it raises: ``ModuleNotFoundError`` for a package of messages that is not there.
    """
    package, _, name = type_name.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), name)


def make_message(type_name: str, /, **fields: Any) -> Any:
    """A message of the ROS 2 that is installed; a ``Maker``."""
    if isinstance(level := fields.get("level"), int):
        fields["level"] = bytes([level])  # what is ``byte`` in a definition, rclpy takes as bytes
    return message_class(type_name)(**fields)
