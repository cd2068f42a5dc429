"""Finished recordings of which the server gives no length, and whose end is that it hangs up."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from http_server import http_server
from media import index_of, make_video, photograph
from oneglance.streams import ConnectOptions, SourceBroken, SourceUnreadable
from oneglance.streams.live.network import NetworkStream
from oneglance.streams.live.reconnecting import open_with_reconnect

FRAMES = 20

PATIENT = ConnectOptions(timeout_s=20, stall_s=20)


@pytest.mark.parametrize("name", ["drive.mp4", "drive.mkv", "drive.webm", "drive.flv"])
def test_a_recording_that_came_whole_has_ended(tmp_path: Path, name: str) -> None:
    codec = "libvpx" if name.endswith(".webm") else "libx264"
    faststart = {"movflags": "faststart"} if name.endswith(".mp4") else {}
    make_video(tmp_path / name, frames=FRAMES, codec=codec, container_options=faststart)
    with (
        http_server(tmp_path) as (web, _),
        NetworkStream(f"{web}/unsized/{name}", PATIENT) as stream,
    ):
        assert [index_of(frame.image) for frame in stream] == list(range(FRAMES))


@pytest.mark.parametrize("name", ["drive.mp4", "drive.mkv", "drive.flv"])
def test_one_that_came_in_part_is_broken(tmp_path: Path, name: str) -> None:
    faststart = {"movflags": "faststart"} if name.endswith(".mp4") else {}
    make_video(tmp_path / name, frames=FRAMES, container_options=faststart)
    with (
        http_server(tmp_path) as (web, _),
        NetworkStream(f"{web}/unsized/{name}/60", PATIENT) as stream,
        pytest.raises(SourceBroken),
    ):
        list(stream)


@pytest.mark.parametrize("way", ["once", "unsized"])
def test_an_index_at_the_end_that_cannot_be_reached_is_named(tmp_path: Path, way: str) -> None:
    images = [photograph(index, (640, 480)) for index in range(300)]
    file = make_video(tmp_path / "drive.mp4", images=images)
    assert file.stat().st_size > 1 << 17  # less is kept by libav until it is wanted
    with (
        http_server(tmp_path) as (web, _),
        NetworkStream(f"{web}/{way}/drive.mp4", PATIENT) as stream,
        pytest.raises(SourceUnreadable, match="whose index lies at its end"),
    ):
        list(stream)


@pytest.mark.parametrize(
    "name", ["still.jpg", "still.png", "still.tiff", "still.webp", "still.bmp"]
)
def test_a_still_image_is_one_frame_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    cv2.imwrite(str(tmp_path / name), photograph(1, (320, 240)))
    with http_server(tmp_path) as (web, _), open_with_reconnect(f"{web}/unsized/{name}") as stream:
        assert [frame.size for frame in stream] == [(320, 240)]
