"""Camera topics of real bags, written by the libraries of their fields."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import bags
from bags import stamps, write_foxglove, write_ros1, write_ros2
from media import index_of, numbered_image
from oneglance.streams import ConnectOptions, Frame, Stream, open_stream
from oneglance.streams.errors import (
    SourceBroken,
    SourceNotFound,
    SourceUnreadable,
    StreamError,
    UsageError,
)

pytest.importorskip("mcap", reason="needs the extra mcap")

BAGS: dict[str, Callable[[Path], Path]] = {
    "rosbag2 sqlite": lambda folder: write_ros2(folder / "drive"),
    "rosbag2 mcap": lambda folder: write_ros2(folder / "drive", storage="MCAP"),
    "bare ros2 mcap": lambda folder: next(
        write_ros2(folder / "drive", storage="MCAP").glob("*.mcap")
    ).rename(folder / "bare.mcap"),
    "ros1": lambda folder: write_ros1(folder / "drive.bag"),
    "foxglove jpeg": lambda folder: write_foxglove(folder / "drive.mcap"),
    "foxglove h264": lambda folder: write_foxglove(folder / "drive.mcap", codec="libx264"),
    "foxglove h265": lambda folder: write_foxglove(folder / "drive.mcap", codec="libx265"),
}


def play(
    source: str | Path, options: ConnectOptions | None = None
) -> tuple[list[Frame], StreamError | None]:
    """Every frame, and how the source broke, if it did."""
    frames: list[Frame] = []
    try:
        with open_stream(source, options) as stream:
            frames.extend(stream)
    except StreamError as error:
        return frames, error
    return frames, None


@pytest.mark.parametrize("kind", BAGS)
def test_every_kind_of_bag_gives_its_images_with_their_headers(kind: str, tmp_path: Path) -> None:
    bag = BAGS[kind](tmp_path)
    frames, error = play(bag)
    assert error is None
    assert [frame.index for frame in frames] == list(range(10))
    assert [index_of(frame.image) for frame in frames] == list(range(10))
    assert [frame.metadata["stamp_ns"] for frame in frames] == stamps(10)
    assert {frame.metadata["frame_id"] for frame in frames} == {"front"}
    assert [frame.timestamp_s for frame in frames] == [stamp / 10**9 for stamp in stamps(10)]


ENCODINGS = [
    *("bgr8", "rgb8", "rgba8", "mono8", "mono16", "yuv422_yuy2", "8UC3", "8UC1", "8UC4", "16UC3"),
    *("bayer_rggb8", "bayer_gbrg16", "uyvy", "nv12", "nv21"),
]


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_common_encodings_of_raw_images_are_read(
    encoding: str, padding: int, tmp_path: Path
) -> None:
    bag = write_ros2(tmp_path / "drive", encoding=encoding, frames=4, padding=padding)
    frames, error = play(bag)
    assert error is None
    assert [index_of(frame.image) for frame in frames] == [0, 1, 2, 3]
    for index, frame in enumerate(frames):
        off = np.abs(frame.image.astype(int) - numbered_image(index))
        # Between a Bayer sensor's pixels two of three colours are neighbours', and it has noise.
        assert off.mean() <= 15 if "bayer" in encoding else off.max() <= 2


def test_sixteen_bits_with_the_high_byte_first_are_read(tmp_path: Path) -> None:
    bag = write_ros2(tmp_path / "drive", encoding="mono16", frames=4, padding=6, big_endian=True)
    frames, error = play(bag)
    assert error is None
    assert [index_of(frame.image) for frame in frames] == [0, 1, 2, 3]


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1", "32FC3", "64FC3", "nv24", "BGR8", ""])
def test_what_is_no_picture_in_colours_is_not_made_into_one(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bags, "_encoded", lambda image, encoding: np.repeat(image, 8, axis=2))
    bag = write_ros2(tmp_path / "drive", encoding=encoding, raw=True, frames=2)
    with pytest.raises(SourceUnreadable, match=rf"encoding '{encoding}' cannot be shown .*mono8"):
        list(open_stream(bag))


def test_an_encoding_that_we_lack_is_a_sentence_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bags, "_encoded", lambda image, encoding: image)
    bag = write_ros2(tmp_path / "drive", encoding="thermal14", frames=3)
    with pytest.raises(SourceUnreadable, match=r"no image of topic /camera/front .*thermal14"):
        list(open_stream(bag))


def test_a_stream_says_what_it_is(tmp_path: Path) -> None:
    with open_stream(write_foxglove(tmp_path / "drive.mcap")) as stream:
        assert isinstance(stream, Stream)
        assert (stream.live, stream.frame_count) == (False, 10)
        assert stream.source.endswith("drive.mcap")


def test_of_several_topics_one_is_chosen(tmp_path: Path) -> None:
    bag = write_ros2(tmp_path / "drive", topics=("/camera/front", "/camera/rear"))
    with pytest.raises(UsageError, match=r"2 camera topics.*\?topic=/camera/front.*/camera/rear"):
        open_stream(bag)
    frames, error = play(f"{bag}?topic=/camera/rear")
    assert error is None
    assert len(frames) == 10
    assert frames[0].metadata["topic"] == "/camera/rear"
    with pytest.raises(UsageError, match=r"no camera topic /up \(there are: /camera/front"):
        open_stream(f"{bag}?topic=/up")


def test_a_bag_without_images_says_so(tmp_path: Path) -> None:
    bag = write_ros2(tmp_path / "drive", topics=())
    with pytest.raises(SourceUnreadable, match="has no topic with images or video"):
        open_stream(bag)


@pytest.mark.parametrize("keep", [0.99, 0.6, 0.3])
@pytest.mark.parametrize("is_folder", [False, True])
def test_an_mcap_bag_that_was_truncated_gives_the_frames_before(
    is_folder: bool, keep: float, tmp_path: Path
) -> None:
    folder = write_ros2(tmp_path / "drive", storage="MCAP", frames=400, encoding="bgr8")
    file = next(folder.glob("*.mcap"))
    content = file.read_bytes()  # chunks of a megabyte, some 110 images each
    file.write_bytes(content[: int(len(content) * keep)])
    frames, error = play(folder if is_folder else file)
    assert len(frames) > 100
    assert [index_of(frame.image) for frame in frames[:20]] == list(range(20))
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert isinstance(error, SourceBroken)
    assert "the frames before are good" in str(error)


def test_an_mcap_bag_with_a_broken_index_gives_what_it_holds(tmp_path: Path) -> None:
    folder = write_ros2(tmp_path / "drive", storage="MCAP", frames=40)
    file = next(folder.glob("*.mcap"))
    content = bytearray(file.read_bytes())
    content[-400:-60] = bytes(byte ^ 0x5A for byte in content[-400:-60])
    file.write_bytes(content)
    for source in (file, folder):
        frames, error = play(source)
        assert len(frames) == 40
        assert isinstance(error, SourceBroken)


def test_a_recorder_that_crashed_leaves_what_can_be_played(tmp_path: Path) -> None:
    import foxglove

    # As a recorder is killed: chunks are whole, the index is missing.
    file = tmp_path / "drive.mcap"
    write_foxglove(file, frames=60)
    del foxglove
    content = file.read_bytes()
    chunk_end = content.index(b"/camera/front", len(content) // 2)
    file.write_bytes(content[: max(chunk_end, len(content) - 600)])
    frames, error = play(file)
    assert isinstance(error, SourceBroken)
    assert "the frames before are good" in str(error)
    assert [index_of(frame.image) for frame in frames[:5]] == [0, 1, 2, 3, 4]


def test_a_message_without_an_image_keeps_its_index_and_is_reported(tmp_path: Path) -> None:
    frames, error = play(write_foxglove(tmp_path / "drive.mcap", spoil=4))
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert isinstance(error, SourceBroken)
    assert "1 message(s) hold no image" in str(error)
    assert "index 4" in str(error)


def test_a_jpeg_that_was_cut_is_no_image(tmp_path: Path) -> None:
    file = write_foxglove(
        tmp_path / "a.mcap", spoil=4, spoilt=lambda jpeg: jpeg[: len(jpeg) // 2] + b"\xff\xd9"
    )
    frames, error = play(file)
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert "index 4: jpeg" in str(error)


@pytest.mark.parametrize("spoilt", ["left out", "cut", "no video"])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_what_leans_on_a_lost_or_damaged_image_is_not_passed_off_as_whole(
    codec: str, spoilt: str, tmp_path: Path
) -> None:
    if (codec, spoilt) == ("libx265", "cut"):
        pytest.skip("H.265's decoder notices no damage inside an image")
    ways: dict[str, Callable[[bytes], bytes | None]] = {
        "left out": lambda _: None,
        "cut": lambda unit: unit[: len(unit) // 2],
        "no video": lambda _: b"spoilt",
    }
    file = write_foxglove(tmp_path / "a.mcap", codec=codec, frames=20, spoil=7, spoilt=ways[spoilt])
    frames, error = play(file)
    shown = [round(frame.timestamp_s * 30 - frames[0].timestamp_s * 30) for frame in frames]
    assert shown == [*range(7), *range(10, 20)]
    said = ("2 message(s)", "index 7") if spoilt == "left out" else ("3 message(s)", "index 7")
    assert all(words in str(error) for words in said)


@pytest.mark.parametrize("damaged", ["mark", "keep"])
def test_damaged_video_is_marked_or_kept_on_request_and_reported_all_the_same(
    damaged: str, tmp_path: Path
) -> None:
    file = write_foxglove(
        tmp_path / "a.mcap", codec="libx264", frames=20, spoil=7, spoilt=lambda _: None
    )
    frames, error = play(file, ConnectOptions(damaged=damaged))
    assert [frame.index for frame in frames] == list(range(19))
    marked = [frame.index for frame in frames if frame.damaged]
    assert marked == ([7, 8] if damaged == "mark" else [])
    assert "2 frame(s) are damaged, the first at index 7; all of them were delivered" in str(error)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_video_is_played_from_its_first_key_frame(
    codec: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frames, error = play(write_foxglove(tmp_path / "drive.mcap", codec=codec, start=2, frames=12))
    assert [frame.index for frame in frames] == list(range(3, 10))  # the third is a key frame
    assert [index_of(frame.image) for frame in frames] == list(range(5, 12))
    assert error is None  # a recording may begin anywhere
    assert "3 message(s) before the first key frame gave no image" in caplog.text


@pytest.mark.parametrize("content", [b"", b"\x89MCAP0\r\n", b"not a bag at all", bytes(4000)])
@pytest.mark.parametrize("name", ["a.mcap", "a.bag"])
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # older rosbags leave it open
def test_what_is_no_bag_is_a_sentence(name: str, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(SourceUnreadable) as error:
        open_stream(file)
    assert "\n" not in str(error.value)
    assert str(file) in str(error.value)
    del error
    gc.collect()


def test_a_missing_bag_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound):
        open_stream(tmp_path / "none.mcap")


def test_closing_in_the_middle_ends_it_and_twice_does_nothing(tmp_path: Path) -> None:
    stream = open_stream(write_foxglove(tmp_path / "drive.mcap"))
    frames = iter(stream)
    next(frames)
    stream.close()
    stream.close()
    assert list(frames) == []
    with pytest.raises(UsageError, match="was played already"):
        next(iter(stream))


def test_the_shared_bags_play(shared: Path) -> None:
    for name, topic, count in (
        ("ros1.bag", "", 30),
        ("foxglove_h264.mcap", "?topic=/front/video", 30),
        ("foxglove_h264.mcap", "?topic=/rear/compressed", 3),
    ):
        frames, error = play(f"{shared / 'bags' / name}{topic}")
        assert error is None
        assert len(frames) == count
