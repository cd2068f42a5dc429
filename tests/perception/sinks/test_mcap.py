"""Detections in MCAP files, read back by libraries that did not write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bags import stamps, write_foxglove, write_ros2
from oneglance.models import Detector
from oneglance.perception import Pipeline, Tracker
from oneglance.perception.plugins import SinkChoice, SinkContext
from oneglance.perception.result import Result
from oneglance.streams import Frame
from oneglance.streams.errors import SinkError, UsageError

pytest.importorskip("mcap", reason="needs the extra mcap")
pytest.importorskip("mcap_ros2", reason="reads ROS 2 with another library than the writer's")

Played = Callable[..., list[Result]]


@pytest.fixture
def played(model: Path) -> Played:
    """``played(source, "mcap:out.mcap")`` runs a source into a sink; its results."""

    def play(source: Path | str, sink: str) -> list[Result]:
        opened = SinkChoice.parse(sink).open(SinkContext())
        detector = Detector.load(model, threads=1)
        return list(Pipeline(str(source), detector, sinks=[opened], tracker=Tracker()))

    return play


def read(file: Path, factory: Any) -> Iterator[tuple[str, Any]]:
    """Topic and message of each message that ``factory`` decodes."""
    from mcap.reader import make_reader

    with file.open("rb") as content:
        reader = make_reader(content, decoder_factories=[factory])
        for _, channel, _, message in reader.iter_decoded_messages():
            yield channel.topic, message


def read_ros2(file: Path) -> Iterator[tuple[str, Any]]:
    """A file of ROS 2, by mcap_ros2."""
    from mcap_ros2.decoder import DecoderFactory

    return read(file, DecoderFactory())


def read_protobuf(file: Path) -> Iterator[tuple[str, Any]]:
    """A file of Foxglove's, by mcap_protobuf."""
    from mcap_protobuf.decoder import DecoderFactory

    return read(file, DecoderFactory())


@pytest.mark.parametrize("storage", ["SQLITE3", "MCAP"])
def test_a_bag_goes_in_and_comes_out_with_the_same_headers(
    storage: str, tmp_path: Path, played: Played
) -> None:
    bag = write_ros2(tmp_path / "drive", storage=storage, topics=("/camera/front/compressed",))
    results = played(bag, f"mcap:{tmp_path / 'out.mcap'}")
    found = list(read_ros2(tmp_path / "out.mcap"))
    assert {topic for topic, _ in found} == {"/camera/front/detections"}
    assert [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for _, m in found] == stamps(10)
    assert {message.header.frame_id for _, message in found} == {"front"}
    for result, (_, message) in zip(results, found, strict=True):
        assert len(message.detections) == len(result.detections) == 3
        for box, name, track, each in zip(
            result.detections.xyxy,
            result.detections.data["class_name"],
            result.detections.tracker_id,  # type: ignore[arg-type]
            message.detections,
            strict=True,
        ):
            centre, bbox = each.bbox.center.position, each.bbox
            sides = np.array([bbox.size_x, bbox.size_y]) / 2
            middle = np.array([centre.x, centre.y])
            assert np.allclose([*(middle - sides), *(middle + sides)], box, atol=0.01)
            assert each.results[0].hypothesis.class_id == name
            assert 0 < each.results[0].hypothesis.score <= 1
            assert each.id == ("" if track < 0 else str(track))
            assert each.header.stamp == message.header.stamp


def test_three_hundred_frames_keep_their_headers_bit_for_bit_and_the_boxes_of_a_plain_run(
    tmp_path: Path, played: Played, model: Path
) -> None:
    frames, header_bytes = 300, 4 + 8 + 4 + len("front\0")  # CDR's mark, stamp, length, frame_id
    bag = write_ros2(tmp_path / "drive", storage="MCAP", frames=frames)
    out = tmp_path / "out.mcap"
    played(bag, f"mcap:{out}?format=ros2")

    def headers(file: Path, type_name: str) -> list[bytes]:
        from mcap.reader import make_reader

        with file.open("rb") as content:
            return [
                message.data[:header_bytes]
                for schema, _, message in make_reader(content).iter_messages()
                if schema is not None and schema.name == type_name
            ]

    given = headers(next(bag.glob("*.mcap")), "sensor_msgs/msg/CompressedImage")
    assert headers(out, "vision_msgs/msg/Detection2DArray") == given
    assert len(given) == len(set(given)) == frames
    plain = Pipeline(str(bag), Detector.load(model, threads=1), tracker=Tracker())
    for result, (_, message) in zip(plain, read_ros2(out), strict=True):
        middles = [each.bbox.center.position for each in message.detections]
        sides = [(each.bbox.size_x / 2, each.bbox.size_y / 2) for each in message.detections]
        boxes = [
            (middle.x - wide, middle.y - high, middle.x + wide, middle.y + high)
            for middle, (wide, high) in zip(middles, sides, strict=True)
        ]
        assert np.abs(np.subtract(boxes, result.detections.xyxy)).max() <= 0.01


def test_what_ros_calls_the_type_is_what_humble_knows(tmp_path: Path, played: Played) -> None:
    from mcap.reader import make_reader

    played(write_ros2(tmp_path / "drive"), f"mcap:{tmp_path / 'out.mcap'}?format=ros2")
    with (tmp_path / "out.mcap").open("rb") as content:
        summary = make_reader(content).get_summary()
    assert summary is not None
    (schema,) = summary.schemas.values()
    assert schema.name == "vision_msgs/msg/Detection2DArray"
    text = schema.data.decode()
    assert "MSG: vision_msgs/Pose2D\nvision_msgs/Point2D position\nfloat64 theta" in text
    assert not (tmp_path / "out.foxglove.mcap").exists()


def test_foxglove_gets_boxes_that_it_draws_on_the_image(tmp_path: Path, played: Played) -> None:
    results = played(write_foxglove(tmp_path / "drive.mcap"), f"mcap:{tmp_path / 'out.mcap'}")
    found = list(read_protobuf(tmp_path / "out.foxglove.mcap"))
    assert {topic for topic, _ in found} == {"/camera/front/annotations"}
    for result, (_, message) in zip(results, found, strict=True):
        corners = [[(p.x, p.y) for p in points.points] for points in message.points]
        boxes = [(c[0][0], c[0][1], c[2][0], c[2][1]) for c in corners]
        assert np.allclose(boxes, result.detections.xyxy, atol=0.01)
        names = [text.text.split()[0] for text in message.texts]
        assert names == list(result.detections.data["class_name"])


def test_images_are_copied_when_asked_and_one_file_holds_both_when_asked(
    tmp_path: Path, played: Played
) -> None:
    bag = write_foxglove(tmp_path / "drive.mcap", frames=3)
    played(bag, f"mcap:{tmp_path / 'out.mcap'}?format=mixed&image=copy")
    from mcap.reader import make_reader

    with (tmp_path / "out.mcap").open("rb") as content:
        summary = make_reader(content).get_summary()
    assert summary is not None
    assert summary.statistics is not None
    assert {channel.topic for channel in summary.channels.values()} == {
        *("/camera/front/detections", "/camera/front/compressed"),
        *("/camera/front/annotations", "/camera/front/image"),
    }
    assert summary.statistics.message_count == 12


def test_what_was_written_can_be_a_source_again(tmp_path: Path, played: Played) -> None:
    bag = write_foxglove(tmp_path / "drive.mcap", frames=3)
    played(bag, f"mcap:{tmp_path / 'out.mcap'}?format=ros2&image=copy")
    again = played(tmp_path / "out.mcap", f"mcap:{tmp_path / 'again.mcap'}")
    assert [result.frame.metadata["stamp_ns"] for result in again] == stamps(3)


def test_a_video_file_has_the_times_of_its_frames_and_its_name(
    tmp_path: Path, played: Played, video: Callable[..., Path]
) -> None:
    played(video("my drive.mp4", frames=3), f"mcap:{tmp_path / 'out.mcap'}?format=ros2")
    found = list(read_ros2(tmp_path / "out.mcap"))
    assert [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for _, m in found] == [
        *(0, 40_000_000, 80_000_000),
    ]
    assert found[0][0].startswith("/oneglance/")
    assert found[0][0].endswith("my_drive_mp4/detections")


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("", r"needs a file: mcap:out\.mcap"),
        ("out.bag", r"needs a file: mcap:out\.mcap"),
        ("out.mcap?format=ros1", "format is one of both, ros2, foxglove, mixed, not 'ros1'"),
        ("out.mcap?image=yes", "image is none or copy"),
        ("out.mcap?speed=2", r"has no option speed \(options: format, image\)"),
    ],
)
def test_a_target_that_is_none_is_refused(target: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        SinkChoice("mcap", target).open(SinkContext())


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="cannot write"):
        SinkChoice("mcap", str(tmp_path / "no" / "out.mcap")).open(SinkContext())


def test_a_full_disk_is_a_sentence(tmp_path: Path, played: Played) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    (tmp_path / "out.mcap").symlink_to(full)
    with pytest.raises(SinkError, match="the disk is full"):
        played(write_foxglove(tmp_path / "drive.mcap"), f"mcap:{tmp_path / 'out.mcap'}?format=ros2")


@pytest.mark.parametrize("stamp_ns", [-5_000_000_001, 0, (2**31) * 10**9, 2**63])
def test_a_clock_that_stands_elsewhere_does_not_end_a_run(
    stamp_ns: int, tmp_path: Path, played: Played
) -> None:
    bag = write_ros2(tmp_path / "drive", frames=1)
    (result,) = played(bag, f"jsonl:{tmp_path / 'run.jsonl'}")
    stamped = {**result.frame.metadata, "stamp_ns": stamp_ns}
    frame = Frame(result.frame.image, 0, stamp_ns / 1e9, result.frame.source, metadata=stamped)
    sink = SinkChoice.parse(f"mcap:{tmp_path / 'out.mcap'}?image=copy").open(SinkContext())
    sink.write(replace(result, frame=frame))
    sink.close()
    ((_, message), _) = read_ros2(tmp_path / "out.mcap")
    nearest = min(max(stamp_ns // 10**9, -(2**31)), 2**31 - 1)
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (nearest, stamp_ns % 10**9)
    assert len(list(read_protobuf(tmp_path / "out.foxglove.mcap"))) == 2


def test_a_source_whose_name_is_no_text_does_not_end_a_run(tmp_path: Path, played: Played) -> None:
    bag = write_ros2(tmp_path / "drive", frames=1)
    (result,) = played(bag, f"jsonl:{tmp_path / 'run.jsonl'}")
    sink = SinkChoice.parse(f"mcap:{tmp_path / 'out.mcap'}").open(SinkContext())
    sink.write(replace(result, frame=Frame(result.frame.image, 0, 0.0, "caf\udce9.mp4")))
    sink.close()
    ((_, message),) = read_ros2(tmp_path / "out.mcap")
    assert message.header.frame_id == "caf?.mp4"
