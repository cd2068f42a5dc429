from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import pytest

from media import cut, index_of, make_tracks, make_video, numbered_image
from oneglance.models import Detector
from oneglance.perception.pipeline import Pipeline
from oneglance.streams import SourceBroken, SourceUnreadable, Stream, open_stream
from oneglance.streams.frame import Frame
from playing import play_until


def clip(path: Path, first: int, frames: int = 4, **how: object) -> Path:
    images = [numbered_image(first + i) for i in range(frames)]
    return make_video(path, images=images, options={"bf": "0"}, **how)  # type: ignore[arg-type]


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    folder = tmp_path / "drive"
    folder.mkdir()
    for number, first in ((1, 0), (2, 4), (10, 8)):
        clip(folder / f"clip{number}.mp4", first)
    return folder


@pytest.mark.parametrize("pattern", ["", "*.mp4"])
def test_the_clips_of_a_folder_are_one_recording(drive: Path, pattern: str) -> None:
    with open_stream(drive / pattern if pattern else drive) as stream:
        assert isinstance(stream, Stream)
        assert [stream.live, stream.frame_rate] == [False, 25]
        frames = list(stream)
    assert [index_of(frame.image) for frame in frames] == list(range(12))
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.timestamp_s for frame in frames] == pytest.approx([i / 25 for i in range(12)])
    assert [Path(frame.source).name for frame in frames[3:5]] == ["clip1.mp4", "clip2.mp4"]


def test_a_clip_that_is_not_whole_is_reported_and_costs_no_other(drive: Path) -> None:
    broken = cut(
        clip(drive / "clip2.mp4", 4, container_options={"movflags": "faststart"}), keep=0.7
    )
    (drive / "clip3.mp4").write_bytes(b"no video" * 99)
    frames, message = play_until(SourceBroken, open_stream(drive))
    kinds = [index_of(frame.image) for frame in frames]
    assert kinds[:4] == [0, 1, 2, 3]
    assert kinds[-4:] == [8, 9, 10, 11]
    assert message.startswith(
        f"2 of 4 files of {drive} could not be played completely ({broken} broke"
    )
    assert "clip3.mp4" in message
    assert all(before.index < after.index for before, after in pairwise(frames))
    assert all(before.timestamp_s < after.timestamp_s for before, after in pairwise(frames))


def test_a_folder_in_which_nothing_plays_is_no_finished_recording(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mkv"):
        (tmp_path / name).write_bytes(b"\0no video" * 99)
    frames, message = play_until(SourceUnreadable, open_stream(tmp_path))
    assert frames == []
    assert message.startswith(f"none of the 2 files of {tmp_path} can be played")


def test_images_and_moving_images_among_clips_play_in_their_order(drive: Path) -> None:
    (drive / "clip0.png").write_bytes(cv2.imencode(".png", numbered_image(20))[1].tobytes())
    with open_stream(drive) as stream:
        frames = list(stream)
    assert [index_of(frame.image) for frame in frames[:3]] == [20, 0, 1]
    assert [frame.timestamp_s for frame in frames[:3]] == pytest.approx([0, 0.1, 0.14])


def test_other_videos_in_the_clips_are_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        make_tracks(tmp_path / f"{number}.mkv", sizes=[(64, 48), (96, 64)])
    with open_stream(tmp_path) as stream:
        assert {frame.size for frame in stream} == {(96, 64)}
    assert len([message for message in caplog.messages if "holds 2 videos" in message]) == 1


def test_closing_ends_it_at_the_next_frame(drive: Path) -> None:
    stream = open_stream(drive)
    seen: list[Frame] = []
    for frame in stream:
        seen.append(frame)
        if len(seen) == 5:
            stream.close()
    assert len(seen) == 5


def test_a_pipeline_sees_every_frame_of_every_clip(drive: Path, model: Path) -> None:
    pipeline = Pipeline(drive, Detector.load(model, threads=1))
    assert [result.frame.index for result in pipeline] == list(range(12))
