"""Bags of every kind that end in the middle, or whose index is missing or damaged."""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bags import stamps, write_foxglove, write_ros1, write_ros2, write_split
from media import index_of
from oneglance.streams import Frame, open_stream
from oneglance.streams.errors import OneglanceError, SourceBroken, SourceUnreadable, StreamError

pytest.importorskip("mcap", reason="needs the extra mcap")

FRAMES = 5

KINDS: dict[str, Callable[[Path], Path]] = {
    "rosbag2 sqlite": lambda folder: write_ros2(folder / "drive", frames=FRAMES),
    "rosbag2 sqlite, raw images": lambda folder: write_ros2(
        folder / "drive", frames=FRAMES, encoding="bgr8"
    ),
    "rosbag2 sqlite, compressed messages": lambda folder: write_ros2(
        folder / "drive", frames=FRAMES, compression="MESSAGE"
    ),
    "rosbag2 sqlite, a compressed file": lambda folder: write_ros2(
        folder / "drive", frames=FRAMES, compression="FILE"
    ),
    "rosbag2 mcap": lambda folder: write_ros2(folder / "drive", frames=FRAMES, storage="MCAP"),
    "ros1": lambda folder: write_ros1(folder / "drive.bag", frames=FRAMES),
    "ros1 bz2": lambda folder: write_ros1(folder / "drive.bag", frames=FRAMES, compression="BZ2"),
    "ros1 lz4": lambda folder: write_ros1(folder / "drive.bag", frames=FRAMES, compression="LZ4"),
    "foxglove jpeg": lambda folder: write_foxglove(folder / "drive.mcap", frames=FRAMES),
    "foxglove h264": lambda folder: write_foxglove(
        folder / "drive.mcap", frames=FRAMES, codec="libx264"
    ),
}

GIVES_NOTHING_BEFORE_ITS_BLOCK_ENDS = ("bz2", "compressed file", "foxglove")


def play(source: Path | str) -> tuple[list[Frame], OneglanceError | None]:
    """Every frame, and how the source broke, if it did; any other error is a test's failure."""
    frames: list[Frame] = []
    broke: OneglanceError | None = None
    try:
        with open_stream(source) as stream:
            frames.extend(stream)
    except OneglanceError as error:
        broke = error
    assert "\n" not in str(broke)
    return frames, broke


def are_the_first_of(whole: list[Frame], frames: list[Frame]) -> bool:
    """Whether ``frames`` are what ``whole`` begins with."""
    return len(frames) <= len(whole) and all(
        (frame.index, frame.metadata, frame.timestamp_s)
        == (other.index, other.metadata, other.timestamp_s)
        and np.array_equal(frame.image, other.image)
        for frame, other in zip(frames, whole, strict=False)
    )


def bag_file(bag: Path) -> Path:
    """The file of a bag that is a file or a folder of one."""
    files = [bag] if bag.is_file() else [f for f in bag.iterdir() if f.suffix != ".yaml"]
    (file,) = files
    return file


def content_of(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("kind", KINDS)
def test_wherever_a_bag_is_cut_its_frames_before_are_given_and_the_rest_is_named(
    kind: str, tmp_path: Path
) -> None:
    bag = KINDS[kind](tmp_path)
    whole, error = play(bag)
    assert (len(whole), error) == (FRAMES, None)
    file = bag_file(bag)
    length, most, before = file.stat().st_size, 0, FRAMES
    for cut in range(length - 1, -1, -max(length // 120, 1)):
        os.truncate(file, cut)  # each time a little more of it
        frames, error = play(bag)
        assert isinstance(error, StreamError), (cut, error)
        assert str(bag) in str(error)
        assert are_the_first_of(whole, frames), cut
        assert len(frames) <= before, cut
        before, most = len(frames), max(most, len(frames))
        if frames:
            assert isinstance(error, SourceBroken)
            assert "the frames before are good" in str(error)
    assert most >= FRAMES - 1 or any(kind.find(s) > 0 for s in GIVES_NOTHING_BEFORE_ITS_BLOCK_ENDS)
    assert before == 0


@pytest.mark.parametrize("kind", ["rosbag2 sqlite", "rosbag2 mcap", "ros1", "ros1 lz4"])
def test_what_was_recorded_before_the_middle_of_a_long_bag_is_given(
    kind: str, tmp_path: Path
) -> None:
    writers: dict[str, Callable[[], Path]] = {
        "rosbag2 sqlite": lambda: write_ros2(tmp_path / "drive", frames=300),
        "rosbag2 mcap": lambda: write_ros2(tmp_path / "drive", frames=300, storage="MCAP"),
        "ros1": lambda: write_ros1(tmp_path / "drive.bag", frames=300),
        "ros1 lz4": lambda: write_ros1(tmp_path / "drive.bag", frames=300, compression="LZ4"),
    }
    bag = writers[kind]()
    file = bag_file(bag)
    os.truncate(file, file.stat().st_size // 2)
    frames, error = play(bag)
    assert isinstance(error, SourceBroken)
    assert 100 < len(frames) < 160
    assert [frame.metadata["stamp_ns"] for frame in frames] == stamps(len(frames))


@pytest.mark.parametrize("kind", KINDS)
def test_wherever_bytes_of_a_bag_are_wrong_nothing_worse_than_a_sentence_comes(
    kind: str, tmp_path: Path
) -> None:
    bag = KINDS[kind](tmp_path)
    file = bag_file(bag)
    content = file.read_bytes()
    for place in range(0, len(content), max(len(content) // 60, 1)):
        for wrong in (b"\x00" * 24, b"\xff" * 24):
            file.write_bytes(content[:place] + wrong + content[place + 24 :])
            frames, error = play(bag)
            assert [frame.index for frame in frames] == sorted(frame.index for frame in frames)
            assert frames or error is not None


def test_a_ros1_bag_that_is_still_open_or_was_never_finished_is_played(tmp_path: Path) -> None:
    file = write_ros1(tmp_path / "drive.bag", frames=FRAMES)
    content = file.read_bytes()
    # As a recorder leaves it: the header says where no index is, and there is none.
    at = content.index(b"index_pos=") + len(b"index_pos=")
    (index,) = struct.unpack("<Q", content[at : at + 8])
    active = file.with_name("drive.bag.active")
    active.write_bytes(content[:at] + bytes(8) + content[at + 8 : index])
    frames, error = play(active)
    assert [index_of(frame.image) for frame in frames] == list(range(FRAMES))
    assert "broke after 5 frames: it has no index: the recording was never finished" in str(error)
    frames, error = play(active.rename(tmp_path / "renamed.bag"))
    assert len(frames) == FRAMES
    assert "'rosbag reindex'" in str(error)


@pytest.mark.parametrize("storage", ["SQLITE3", "MCAP"])
def test_a_rosbag2_folder_without_metadata_is_read_from_its_files(
    storage: str, tmp_path: Path
) -> None:
    bag = write_ros2(tmp_path / "drive", frames=FRAMES, storage=storage)
    metadata = (bag / "metadata.yaml").read_text()
    broken = {"missing": None, "empty": "", "cut": metadata[:200], "no yaml": "rosbag2: ["}
    for how, text in broken.items():
        (bag / "metadata.yaml").unlink(missing_ok=True)
        if text is not None:
            (bag / "metadata.yaml").write_text(text)
        before = content_of(bag)
        frames, error = play(bag)
        assert [index_of(frame.image) for frame in frames] == list(range(FRAMES)), how
        assert isinstance(error, SourceBroken), how
        assert "metadata.yaml" in str(error) or "reindex" in str(error), how
        assert content_of(bag) == before


def test_a_storage_file_alone_is_a_bag(tmp_path: Path) -> None:
    file = next(write_ros2(tmp_path / "drive", frames=FRAMES).glob("*.db3"))
    frames, error = play(file.rename(tmp_path / "alone.db3"))
    assert (len(frames), error) == (FRAMES, None)


@pytest.mark.parametrize(("part", "count"), [(0, 0), (1, 4), (2, 8)])
def test_of_a_split_bag_the_files_before_a_missing_one_are_given(
    part: int, count: int, tmp_path: Path
) -> None:
    bag = write_split(tmp_path / "drive")
    frames, error = play(bag)
    assert ([index_of(frame.image) for frame in frames], error) == (list(range(12)), None)
    (bag / f"drive_{part}.db3").unlink()
    frames, error = play(bag)
    assert [index_of(frame.image) for frame in frames] == list(range(count))
    assert isinstance(error, SourceBroken if count else SourceUnreadable)
    assert f"drive_{part}.db3" in str(error)


def test_of_a_split_bag_the_file_that_is_cut_ends_it(tmp_path: Path) -> None:
    bag = write_split(tmp_path / "drive", frames=20)
    file = bag / "drive_1.db3"
    os.truncate(file, file.stat().st_size * 3 // 4)
    frames, error = play(bag)
    assert 22 <= len(frames) < 40
    assert [frame.metadata["stamp_ns"] for frame in frames] == stamps(len(frames))
    assert isinstance(error, SourceBroken)


def test_a_folder_of_several_recordings_is_no_bag(tmp_path: Path) -> None:
    for name in ("monday.mcap", "tuesday.mcap"):
        write_foxglove(tmp_path / name)
    _, error = play(tmp_path)
    assert "broke" not in str(error)
    assert error is not None


def test_what_a_crashed_recorder_left_in_a_write_ahead_log_is_played(tmp_path: Path) -> None:
    bag = write_ros2(tmp_path / "drive", frames=12)
    file, crashed = bag_file(bag), tmp_path / "crashed"
    crashed.mkdir()
    with sqlite3.connect(file) as recorder:
        rows = recorder.execute("SELECT * FROM messages WHERE id > 4 ORDER BY id").fetchall()
        recorder.execute("DELETE FROM messages WHERE id > 4")
        recorder.commit()
        recorder.execute("PRAGMA journal_mode=WAL")
        recorder.execute("PRAGMA wal_autocheckpoint=0")
        for row in rows[:5]:
            recorder.execute("INSERT INTO messages VALUES(?, ?, ?, ?)", row)
            recorder.commit()
        recorder.execute("INSERT INTO messages VALUES(?, ?, ?, ?)", rows[5])
        for name in (file.name, f"{file.name}-wal"):  # as they lie there when it is killed
            shutil.copy(bag / name, crashed / name)
        recorder.rollback()
    recorder.close()
    before = content_of(crashed)
    frames, error = play(crashed)
    assert [index_of(frame.image) for frame in frames] == list(range(9))
    assert "metadata.yaml is missing" in str(error) or "drive.db3-wal was left over" in str(error)
    assert content_of(crashed) == before
    log = crashed / f"{file.name}-wal"
    for cut in range(log.stat().st_size - 1, 0, -701):
        os.truncate(log, cut)
        frames, error = play(crashed)
        assert [index_of(frame.image) for frame in frames] == list(range(len(frames)))
        assert len(frames) >= 4
        assert error is not None
    log.write_bytes(before[log.name][:-3000] + b"\xa5" * 100 + before[log.name][-2900:])
    frames, error = play(crashed)
    assert len(frames) == 8  # the last transaction is not what its check sum says


def test_a_transaction_that_was_never_finished_is_left_out(tmp_path: Path) -> None:
    bag = write_ros2(tmp_path / "drive", frames=40, encoding="bgr8")
    file, crashed = bag_file(bag), tmp_path / "crashed"
    crashed.mkdir()
    recorder = sqlite3.connect(file)
    rows = recorder.execute("SELECT * FROM messages WHERE id > 8 ORDER BY id").fetchall()
    recorder.execute("DELETE FROM messages WHERE id > 8")
    recorder.commit()
    recorder.execute("VACUUM")
    recorder.execute("PRAGMA cache_size=2")  # so that pages are written before the end
    recorder.executemany("INSERT INTO messages VALUES(?, ?, ?, ?)", rows)
    names = (file.name, f"{file.name}-journal")
    for name in names:
        shutil.copy(bag / name, crashed / name)
    recorder.rollback()
    recorder.close()
    assert (crashed / file.name).stat().st_size > 40 * 64 * 48 * 2
    before = content_of(crashed)
    frames, error = play(crashed / file.name)
    assert [index_of(frame.image) for frame in frames] == list(range(8))
    assert "drive.db3-journal was left over" in str(error) or "message 9" in str(error)
    assert content_of(crashed) == before


def test_an_mcap_file_that_was_written_without_an_index_is_whole(tmp_path: Path) -> None:
    from mcap.reader import make_reader
    from mcap.writer import IndexType, Writer

    indexed, file = write_foxglove(tmp_path / "indexed.mcap", frames=FRAMES), tmp_path / "a.mcap"
    for use_chunking in (True, False):
        with indexed.open("rb") as source, file.open("wb") as out:
            writer: Any = Writer(
                out,
                index_types=IndexType.NONE,
                use_chunking=use_chunking,
                use_statistics=False,
                use_summary_offsets=False,
                repeat_channels=False,
                repeat_schemas=False,
            )
            writer.start()
            ids: dict[str, int] = {}
            for schema, channel, message in make_reader(source).iter_messages():
                assert schema is not None
                if channel.topic not in ids:
                    number = writer.register_schema(schema.name, schema.encoding, schema.data)
                    ids[channel.topic] = writer.register_channel(
                        channel.topic, channel.message_encoding, number
                    )
                writer.add_message(
                    ids[channel.topic], message.log_time, message.data, message.publish_time
                )
            writer.finish()
        frames, error = play(file)
        assert [frame.metadata["stamp_ns"] for frame in frames] == stamps(FRAMES)
        assert error is None
        os.truncate(file, file.stat().st_size // 2)
        frames, error = play(file)
        assert error is not None
        assert len(frames) == (0 if use_chunking else 2)
