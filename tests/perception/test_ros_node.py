"""The parts of a ROS 2 node, with the message types of ``rosbags``: rclpy is not to be had."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bags import jpeg, stamps
from media import numbered_image
from oneglance.models import Detector
from oneglance.perception import Pipeline
from oneglance.perception.budget import AgeBudget, Step
from oneglance.perception.health import Health, SourceHealth
from oneglance.perception.ros_messages import ARRAY, DEFINITIONS, Header
from oneglance.perception.ros_node import (
    COMPRESSED,
    DIAGNOSTICS,
    ERROR,
    IMAGE,
    OK,
    STALE,
    RosImages,
    RosPublisher,
    diagnostics,
)
from oneglance.perception.testing import SourceTests
from oneglance.streams import Stream
from oneglance.streams.errors import UsageError
from oneglance.streams.live.states import State
from waiting import LONG_S, wait_until

pytest.importorskip("rosbags", reason="needs the extra mcap")


@pytest.fixture(scope="module")
def store() -> Any:
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    found = get_typestore(Stores.ROS2_HUMBLE)
    for name, text in DEFINITIONS.items():
        found.register(get_types_from_msg(text, name))
    return found


@pytest.fixture(scope="module")
def make(store: Any) -> Callable[..., Any]:
    return lambda type_name, /, **fields: store.types[type_name](**fields)


def header(make: Callable[..., Any], stamp_ns: int) -> Any:
    where = Header(stamp_ns, "front_optical")
    stamp = make("builtin_interfaces/msg/Time", sec=where.sec, nanosec=where.nanosec)
    return make("std_msgs/msg/Header", stamp=stamp, frame_id=where.frame_id)


def compressed(make: Callable[..., Any], stamp_ns: int, data: bytes) -> Any:
    return make(
        COMPRESSED,
        header=header(make, stamp_ns),
        format="jpeg",
        data=np.frombuffer(data, np.uint8),
    )


def raw(make: Callable[..., Any], stamp_ns: int, image: np.ndarray) -> Any:
    height, width = image.shape[:2]
    return make(
        IMAGE,
        header=header(make, stamp_ns),
        height=height,
        width=width,
        encoding="rgb8",
        is_bigendian=0,
        step=3 * width,
        data=cv2.cvtColor(image, cv2.COLOR_BGR2RGB).reshape(-1),
    )


class TestRosImages(SourceTests):
    live = True

    @pytest.fixture(autouse=True)
    def _fed(self, make: Callable[..., Any]) -> Any:
        self.make, self.over, self.threads = make, threading.Event(), list[threading.Thread]()
        yield
        self.over.set()
        for thread in self.threads:
            thread.join(LONG_S)

    def open(self) -> Stream:
        images = RosImages("/camera/image", COMPRESSED)
        thread = threading.Thread(target=self._feed, args=(images,))
        thread.start()
        self.threads.append(thread)
        return images

    def _feed(self, images: RosImages) -> None:
        for index in range(200):
            if self.over.wait(0.005):
                return
            images.offer(compressed(self.make, 1_000_000 * index, jpeg(numbered_image(index))))
        images.close()


def has_more_than(out: list[Any], count: int) -> bool:
    return len(out) > count


@pytest.mark.parametrize("kind", [IMAGE, COMPRESSED])
def test_boxes_go_out_with_the_header_of_their_image_bit_for_bit(
    store: Any, make: Callable[..., Any], model: Path, kind: str
) -> None:
    sent, out = stamps(3), list[Any]()
    images = RosImages("/camera/image", kind)
    sinks = [RosPublisher(out.append, make)]
    pipeline = Pipeline(images, Detector.load(str(model), threads=1), mode="live", sinks=sinks)
    running = threading.Thread(target=pipeline.run)
    running.start()
    for index, stamp_ns in enumerate(sent):
        image = numbered_image(index)
        images.offer(
            raw(make, stamp_ns, image) if kind == IMAGE else compressed(make, stamp_ns, jpeg(image))
        )
        wait_until(partial(has_more_than, out, index), "the boxes come")
    images.close()
    running.join(LONG_S)
    assert not running.is_alive()
    for array, stamp_ns in zip(out, sent, strict=True):
        again = store.deserialize_cdr(store.serialize_cdr(array, ARRAY), ARRAY)
        for found in (again.header, *(each.header for each in again.detections)):
            assert found.stamp.sec * 1_000_000_000 + found.stamp.nanosec == stamp_ns
            assert found.frame_id == "front_optical"
        names = {each.results[0].hypothesis.class_id for each in again.detections}
        assert names == {"car", "pedestrian", "sign"}


def test_newest_wins_and_what_it_replaced_is_counted(make: Callable[..., Any]) -> None:
    images = RosImages("/camera/image", COMPRESSED)
    for index in range(5):
        images.offer(compressed(make, index, jpeg(numbered_image(index))))
    frames = iter(images)
    frame = next(frames)
    assert (frame.index, frame.metadata["stamp_ns"]) == (4, 4)
    assert images.replaced == 4
    images.close()
    assert list(frames) == []


def test_a_message_without_an_image_is_left_out_and_counted(
    make: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    images = RosImages("/camera/image", COMPRESSED)
    frames = iter(images)
    taken: list[Any] = []
    reading = threading.Thread(target=lambda: taken.append(next(frames)))
    images.offer(compressed(make, 1, b"no JPEG"))
    reading.start()
    wait_until(lambda: images.undecodable == 1, "it is counted")
    images.offer(compressed(make, 2, jpeg(numbered_image(2))))
    reading.join(LONG_S)
    images.close()
    assert taken[0].metadata["stamp_ns"] == 2
    assert "holds no image" in caplog.text


def test_a_topic_of_something_else_is_refused() -> None:
    with pytest.raises(UsageError, match="no image message"):
        RosImages("/scan", "sensor_msgs/msg/LaserScan")


def health(state: State, *, stuck: bool = False, error: str | None = None) -> Health:
    source = SourceHealth(
        source="/camera/image",
        state=state,
        state_s=1.0,
        fps_declared=None,
        fps_measured=29.5,
        age_s=0.02,
        produced=10,
        delivered=7,
        dropped={"newer": 3},
        corrupt=0,
        reconnects=0,
        drop_share=0.3,
        last_error=error,
    )
    return Health(sources=(source,), inference_s=None, stuck=stuck)


@pytest.mark.parametrize(
    ("given", "level", "message"),
    [
        (health(State.LIVE), OK, "images come"),
        (health(State.LIVE, stuck=True), ERROR, "an inference does not come back"),
        (health(State.CONNECTING), STALE, "no image has come yet"),
        (health(State.STALLED), STALE, "images: stalled"),
        (health(State.CLOSED, error="it broke"), ERROR, "it broke"),
        (Health(sources=(), inference_s=None, stuck=False), STALE, "no image has come yet"),
    ],
)
def test_diagnostics_tell_how_the_run_is_doing(
    store: Any, make: Callable[..., Any], given: Health, level: int, message: str
) -> None:
    images = RosImages("/camera/image", IMAGE)
    array = diagnostics(given, images, Header(1_500_000_000, ""), make)
    again = store.deserialize_cdr(store.serialize_cdr(array, DIAGNOSTICS), DIAGNOSTICS)
    (status,) = again.status
    assert (status.level, status.message) == (level, message)
    values = {each.key: each.value for each in status.values}
    assert values["replaced"] == "0"
    if given.sources:
        assert (values["fps"], values["dropped (newer)"]) == ("29.5", "3")


def test_diagnostics_tell_what_a_budget_has_come_to(make: Callable[..., Any]) -> None:
    budget = AgeBudget(100.0, [Step("large", 1, 40.0), Step("small", 1, 10.0)], now_s=0.0)
    budget.note(0.2, now_s=1.0)
    given = replace(health(State.LIVE), budget=budget.status())
    images = RosImages("/camera/image", IMAGE)
    (status,) = diagnostics(given, images, Header(0, ""), make).status
    values = {each.key: each.value for each in status.values}
    assert (values["budget_ms"], values["budget_step"]) == ("100.0", "small")
    assert values["budget_exceeded"] == "1"


def test_without_ros_the_node_says_what_it_needs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "oneglance.perception.examples.ros2_node"],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    if "rclpy" not in done.stderr:
        pytest.skip("ROS 2 is installed here")
    assert done.returncode == 1
    assert done.stderr.startswith("ros2_node needs ROS 2 (No module named 'rclpy')")
    assert len(done.stderr.splitlines()) == 1
