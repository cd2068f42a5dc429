"""What is no video, has none, or may not be read."""

from __future__ import annotations

import os
from pathlib import Path

import av
import pytest

from media import make_video
from nobody import as_nobody, public_folder
from oneglance.streams import (
    SourceNotFound,
    SourceUnreadable,
    StreamError,
    open_stream,
)


def refused(path: Path | str, kind: type[StreamError]) -> str:
    """What is said when ``path`` cannot be opened."""
    with pytest.raises(kind) as caught:
        open_stream(path)
    assert type(caught.value) is kind
    return str(caught.value)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "drive.mp4"
    assert refused(path, SourceNotFound) == f"no file or folder {path}"


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.mov", "a"])
def test_an_empty_file_is_reported(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.touch()
    assert refused(path, SourceUnreadable) == f"{path} is empty (0 bytes)"


@pytest.mark.parametrize(
    "text",
    ["Not Found", "<!DOCTYPE html>\n<html><body>Please log in.</body></html>\n" * 50, "täglich\n"],
    ids=["word", "page", "umlaut"],
)
@pytest.mark.parametrize("name", ["a.mp4", "a.txt", "a"])
def test_a_text_file_named_like_a_video_is_reported(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert refused(path, SourceUnreadable) == f"{path} holds text, not video"


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
@pytest.mark.parametrize("content", [b"\0" * 5000, bytes(range(256)) * 20], ids=["zeros", "bytes"])
def test_a_file_of_other_bytes_is_reported(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert f"{path} is no video that can be played" in refused(path, SourceUnreadable)


def test_a_folder_named_like_a_video_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "drive.mp4"
    path.mkdir()
    assert refused(path, SourceUnreadable).startswith(f"folder {path} has no image in it")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")
def test_a_pipe_named_like_a_video_does_not_block_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    os.mkfifo(path)
    message = refused(path, SourceUnreadable)
    assert message == f"{path} is a pipe or a device: only files can be played"


@pytest.mark.parametrize("closed", ["file", "folder"])
def test_a_video_without_permission_is_reported(closed: str) -> None:
    with public_folder() as folder:
        path = folder / "below" / "a.mp4"
        path.parent.mkdir()
        make_video(path, frames=2)
        (path if closed == "file" else path.parent).chmod(0)
        with as_nobody():
            message = refused(path, SourceUnreadable)
    assert message == f"cannot open {path}: permission denied"


@pytest.mark.parametrize("uri", ["below", "below/*.png", "below/a.png"])
def test_images_without_permission_are_reported(uri: str) -> None:
    with public_folder() as folder:
        (folder / "below").mkdir()
        (folder / "below" / "a.png").write_bytes(b"whatever")
        (folder / "below").chmod(0o444 if "*" in uri else 0)  # names may be read, files not
        with as_nobody():
            assert "permission denied" in refused(f"{folder}/{uri}", SourceUnreadable)


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.avi"])
def test_a_video_without_frames_is_no_finished_video(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    assert path.stat().st_size > 0
    with pytest.raises(SourceUnreadable) as caught:
        list(open_stream(path))
    assert str(caught.value) == f"{path} has no frames"


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_sound_alone_is_no_video(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.sample_rate = 16000
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert refused(path, SourceUnreadable) == f"{path} has no video in it, only audio"
