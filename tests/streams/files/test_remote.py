"""A video in a file object is played as its file is."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from media import cut
from oneglance.streams import SourceBroken, SourceUnreadable, Stream, open_stream
from oneglance.streams.files.remote import RemoteVideo

MakeVideo = Callable[..., Path]


class Failing(io.BytesIO):
    """An object whose server hangs up after so many bytes."""

    left = 40_000

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self.left -= len(found)
        if self.left < 0:
            raise ConnectionResetError("the server hung up")
        return found


def test_frames_and_times_are_those_of_the_file(video: MakeVideo) -> None:
    clip = video("a.mp4", frames=12)
    with open_stream(clip) as file, RemoteVideo(clip.open("rb"), "object") as remote:
        assert isinstance(remote, Stream)
        assert (remote.source, remote.live) == ("object", False)
        assert (remote.frame_rate, remote.frame_count) == (file.frame_rate, file.frame_count)
        for there, here in zip(remote, file, strict=True):
            assert (there.index, there.timestamp_s) == (here.index, here.timestamp_s)
            assert np.array_equal(there.image, here.image)


def test_the_object_is_closed_at_the_end_and_when_nobody_iterates(video: MakeVideo) -> None:
    clip = video("a.mp4", frames=3)
    played, closed, left = clip.open("rb"), clip.open("rb"), clip.open("rb")
    assert len(list(RemoteVideo(played, "object"))) == 3
    RemoteVideo(closed, "object").close()
    frames = iter(RemoteVideo(left, "object"))
    next(frames)
    frames.close()
    assert played.closed
    assert closed.closed
    assert left.closed


def test_one_that_is_cut_off_says_so_as_a_file_does(video: MakeVideo) -> None:
    clip = cut(video("a.mp4", frames=50, container_options={"movflags": "faststart"}), keep=0.6)
    with pytest.raises(SourceBroken, match=r"object broke after \d+ of 50.*bytes are missing"):
        list(RemoteVideo(clip.open("rb"), "object"))


def test_what_reading_raised_is_raised(video: MakeVideo) -> None:
    clip = video("a.mkv", frames=75, size=(128, 96))
    content = clip.read_bytes()
    assert len(content) > 2 * Failing.left
    with pytest.raises(ConnectionResetError):
        list(RemoteVideo(Failing(content), "object"))


@pytest.mark.parametrize("content", [b"", b"hello\n" * 99, bytes(5000)])
def test_what_is_no_video_is_an_error_that_names_it(content: bytes) -> None:
    with pytest.raises(SourceUnreadable, match="object"):
        RemoteVideo(io.BytesIO(content), "object")


def test_a_playlist_in_an_object_opens_no_file_of_this_machine(
    video: MakeVideo, tmp_path: Path
) -> None:
    clip = video("a.ts", frames=5)
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.2,\n{clip}\n#EXT-X-ENDLIST\n"
    content: BinaryIO = io.BytesIO(playlist.encode())
    with pytest.raises(SourceUnreadable):
        list(RemoteVideo(content, "object"))
