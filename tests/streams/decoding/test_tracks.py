from __future__ import annotations

from pathlib import Path

import pytest

from media import make_tracks, make_video
from oneglance.streams import SourceUnreadable, UsageError
from oneglance.streams.files.video import VideoFile
from oneglance.streams.opening import open_stream

REAR, FRONT = (64, 48), (96, 64)


def size(path: Path, number: int | None = None) -> tuple[int, int]:
    with VideoFile(path, video=number) as stream:
        return next(iter(stream)).size


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts", ".mov"])
@pytest.mark.parametrize("sizes", [[REAR, FRONT], [FRONT, REAR], [REAR, FRONT, REAR]])
def test_the_largest_video_is_played_and_each_by_its_number(
    tmp_path: Path, suffix: str, sizes: list[tuple[int, int]]
) -> None:
    path = make_tracks(tmp_path / f"drive{suffix}", sizes=sizes)
    assert size(path) == FRONT
    assert [size(path, number) for number in range(len(sizes))] == sizes


def test_of_videos_that_are_as_large_the_first_is_played(tmp_path: Path) -> None:
    path = make_tracks(tmp_path / "drive.mkv", sizes=[FRONT, FRONT], titles=["left", "right"])
    with VideoFile(path) as stream:
        assert stream._stream.index == 0


def test_the_other_videos_are_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = make_tracks(tmp_path / "drive.mkv", sizes=[REAR, FRONT], titles=["rear", "front"])
    with open_stream(path) as stream:
        assert len(list(stream)) == 3
    [message] = caplog.messages
    assert message == (
        f"{path} holds 2 videos (0: 64x48 h264 'rear', 1: 96x64 h264 'front'): number 1 is played; "
        "choose another with ?video=N behind its name, or --stream N"
    )


def test_nothing_is_said_of_one_video_or_of_a_choice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path, number in (
        (make_video(tmp_path / "one.mp4", frames=2, audio_s=0.1), None),
        (make_tracks(tmp_path / "two.mkv", sizes=[REAR, FRONT]), 0),
    ):
        with open_stream(path, video=number) as stream:
            next(iter(stream))
    assert caplog.messages == []


@pytest.mark.parametrize("number", [2, 99, -1])
def test_a_number_that_is_not_there_is_reported_with_those_that_are(
    tmp_path: Path, number: int
) -> None:
    path = make_tracks(tmp_path / "drive.mkv", sizes=[REAR, FRONT])
    with pytest.raises(UsageError) as caught:
        VideoFile(path, video=number)
    assert str(caught.value) == (
        f"{path} has no video of number {number} (videos: 0: 64x48 h264, 1: 96x64 h264)"
    )


def test_tiles_of_one_image_are_not_taken_for_videos(shared: Path) -> None:
    path = shared / "faults" / "streams" / "images" / "grid.avif"
    with pytest.raises(SourceUnreadable, match="is one image made of 4 tiles"):
        VideoFile(path)
