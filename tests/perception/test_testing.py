"""Ours are held to what every sink and every source must do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import pytest

from bags import write_foxglove, write_ros2
from http_server import http_server
from media import make_video, numbered_image
from mqtt_broker import listening, mosquitto
from oneglance.perception.plugins import SinkChoice, SinkContext
from oneglance.perception.protocols import Sink
from oneglance.perception.testing import SECRET, SinkTests, SourceTests
from oneglance.streams import Stream, open_stream

FULL = Path("/dev/full")


def opened(name: str, file: Path) -> Sink:
    """A sink of ours."""
    return SinkChoice(name, str(file)).open(SinkContext(frame_rate=Fraction(25)))


def on_a_full_disk(name: str, file: Path) -> Sink | None:
    """The same on a disk that takes nothing; None where the system has no such device."""
    if not FULL.exists():
        return None
    file.symlink_to(FULL)
    return opened(name, file)


class TestJsonLines(SinkTests):
    def open(self, folder: Path) -> Sink:
        return opened("jsonl", folder / "out.jsonl")

    def read(self, folder: Path) -> Sequence[tuple[int, float]]:
        lines = (folder / "out.jsonl").read_text().splitlines()
        return [(found["frame"], found["timestamp_s"]) for found in map(json.loads, lines)]

    def open_failing(self, folder: Path) -> Sink | None:
        return on_a_full_disk("jsonl", folder / "out.jsonl")


class TestVideo(SinkTests):
    def open(self, folder: Path) -> Sink:
        return opened("video", folder / "out.mp4")

    def read(self, folder: Path) -> Sequence[tuple[int, float]]:
        with av.open(str(folder / "out.mp4")) as container:
            times_s = [float(frame.time or 0.0) for frame in container.decode(video=0)]
        return list(enumerate(times_s))

    def open_failing(self, folder: Path) -> Sink | None:
        return on_a_full_disk("video", folder / "out.mp4")


class TestMcap(SinkTests):
    @pytest.fixture(autouse=True)
    def _extra(self) -> None:
        pytest.importorskip("mcap", reason="needs the extra mcap")

    def open(self, folder: Path) -> Sink:
        return opened("mcap", folder / "out.mcap")

    def read(self, folder: Path) -> Sequence[tuple[int, float]]:
        from mcap.reader import make_reader

        with (folder / "out.mcap").open("rb") as content:
            messages = list(make_reader(content).iter_messages())
        return [(message.sequence, message.log_time / 1e9) for _, _, message in messages]

    def open_failing(self, folder: Path) -> Sink | None:
        return on_a_full_disk("mcap", folder / "out.mcap")


class TestMqtt(SinkTests):
    @pytest.fixture(autouse=True)
    def _listened_to(self, tmp_path: Path) -> Iterator[None]:
        pytest.importorskip("paho.mqtt", reason="needs the extra mqtt")
        with mosquitto(tmp_path) as broker, listening(broker.port) as listener:
            self.port, self.listener = broker.port, listener
            yield

    def open(self, folder: Path) -> Sink:
        return SinkChoice.parse(f"mqtt://127.0.0.1:{self.port}?rate=0.001").open(SinkContext())

    def open_failing(self, folder: Path) -> Sink | None:
        return SinkChoice.parse(f"mqtt://me:{SECRET}@127.0.0.1:1?rate=all").open(SinkContext())


class TestParquet(SinkTests):
    @pytest.fixture(autouse=True)
    def _extra(self) -> None:
        pytest.importorskip("pyarrow", reason="needs the extra batch")

    def open(self, folder: Path) -> Sink:
        return opened("parquet", folder / "out")

    def open_failing(self, folder: Path) -> Sink | None:
        (folder / "out").write_text("a file of somebody else's")
        return opened("parquet", folder / "out")


class TestCoco(SinkTests):
    def open(self, folder: Path) -> Sink:
        return opened("coco", folder / "out.json")

    def read(self, folder: Path) -> Sequence[tuple[int, float]]:
        found = json.loads((folder / "out.json").read_text())
        return [(image["frame"], image["timestamp_s"]) for image in found["images"]]

    def open_failing(self, folder: Path) -> Sink | None:
        return on_a_full_disk("coco", folder / "out.json")


class TestCsv(SinkTests):
    def open(self, folder: Path) -> Sink:
        return opened("csv", folder / "out.csv")

    def open_failing(self, folder: Path) -> Sink | None:
        return on_a_full_disk("csv", folder / "out.csv")


class SourceInFolder(SourceTests):
    """A source made of files."""

    folder: Path

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.folder = tmp_path


class TestVideoFile(SourceInFolder):
    def open(self) -> Stream:
        return open_stream(make_video(self.folder / "a.mp4", frames=8))


class TestImages(SourceInFolder):
    def open(self) -> Stream:
        import cv2

        for index in range(4):
            cv2.imwrite(str(self.folder / f"{index}.png"), numbered_image(index))
        return open_stream(self.folder)


class TestRendered(SourceTests):
    def open(self) -> Stream:
        return open_stream("rendered:?frames=4")


class TestRosbag(SourceInFolder):
    def open(self) -> Stream:
        pytest.importorskip("rosbags", reason="needs the extra mcap")
        folder = self.folder / "drive"
        return open_stream(folder if folder.exists() else write_ros2(folder))


class TestFoxgloveVideo(SourceInFolder):
    def open(self) -> Stream:
        pytest.importorskip("mcap", reason="needs the extra mcap")
        return open_stream(write_foxglove(self.folder / "drive.mcap", codec="libx264"))


class TestNetworkCamera(SourceInFolder):
    live = True

    @pytest.fixture(autouse=True)
    def _served(self, tmp_path: Path) -> Iterator[None]:
        with http_server(tmp_path) as (address, _):
            self.address = address
            yield

    def open(self) -> Stream:
        host = self.address.removeprefix("http://")
        return open_stream(f"http://user:{SECRET}@{host}/mjpeg/0?token={SECRET}")
