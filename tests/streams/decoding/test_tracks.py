from __future__ import annotations

from pathlib import Path

import av
import pytest

from media import make_tracks, make_video, numbered_image
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


def with_cover(path: Path, *, cover_first: bool) -> Path:
    """A video of 6 frames and a larger image, copied into the container as a track of its own."""
    with av.open(str(path), "w") as container:
        if cover_first:
            cover = container.add_stream("mjpeg", rate=25)
        video = container.add_stream("libx264", rate=25)
        if not cover_first:
            cover = container.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = *FRONT, "yuvj420p"
        video.width, video.height, video.pix_fmt = *REAR, "yuv420p"
        container.mux(cover.encode(av.VideoFrame.from_ndarray(numbered_image(9, FRONT), "bgr24")))
        for index in range(6):
            frame = av.VideoFrame.from_ndarray(numbered_image(index, REAR), "bgr24")
            container.mux(video.encode(frame))
        for track in (cover, video):
            container.mux(track.encode(None))
    return path


@pytest.mark.parametrize("cover_first", [True, False])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_cover_that_is_a_track_of_its_own_is_no_video(
    tmp_path: Path, suffix: str, cover_first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    path = with_cover(tmp_path / f"drive{suffix}", cover_first=cover_first)
    with open_stream(path) as stream:
        frames = list(stream)
    assert [frame.size for frame in frames] == [REAR] * 6
    assert caplog.messages == []
    with pytest.raises(UsageError, match=r"has no video of number 1 \(videos: 0: 64x48 h264\)"):
        VideoFile(path, video=1)


def test_motion_jpeg_beside_another_video_is_a_video(tmp_path: Path) -> None:
    path = tmp_path / "drive.mkv"
    with av.open(str(path), "w") as container:
        small = container.add_stream("libx264", rate=25)
        large = container.add_stream("mjpeg", rate=25)
        small.width, small.height, small.pix_fmt = *REAR, "yuv420p"
        large.width, large.height, large.pix_fmt = *FRONT, "yuvj420p"
        for index in range(2):
            for track, of in ((small, REAR), (large, FRONT)):
                frame = av.VideoFrame.from_ndarray(numbered_image(index, of), "bgr24")
                container.mux(track.encode(frame))
        for track in (small, large):
            container.mux(track.encode(None))
    assert size(path) == FRONT
