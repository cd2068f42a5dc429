"""Finished recordings of which the server gives no length: it hangs up, or sends a last chunk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from http_server import http_server
from media import index_of, make_video, photograph
from oneglance.streams import (
    ConnectOptions,
    Frame,
    SourceBroken,
    SourceUnreadable,
    StreamError,
    open_stream,
)
from oneglance.streams.live.backoff import Backoff
from oneglance.streams.live.network import NetworkStream
from oneglance.streams.live.reconnecting import open_with_reconnect
from playing import play_until
from scripted_camera import Connection, scripted_camera

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


CODECS = {".webm": "libvpx", ".mpg": "mpeg2video"}
STREAMED = ["drive.ts", "drive.mpg"]
"""Containers that do not say how long they are."""


def made(folder: Path, name: str) -> Path:
    options = {"movflags": "frag_keyframe+empty_moov"} if name == "drive.mov" else {}
    codec = CODECS.get(Path(name).suffix, "libx264")
    group = {"g": "4", "bf": "0"}
    return make_video(
        folder / name, frames=FRAMES, codec=codec, options=group, container_options=options
    )


def times(frames: list[Frame]) -> list[int]:
    return [round(frame.timestamp_s * 25) for frame in frames]


@pytest.mark.parametrize("name", [*STREAMED, "drive.mkv", "drive.webm", "drive.mov", "drive.flv"])
def test_a_recording_with_a_last_chunk_has_ended_and_one_without_is_broken(
    tmp_path: Path, name: str
) -> None:
    made(tmp_path, name)
    with http_server(tmp_path) as (web, _):
        with NetworkStream(f"{web}/chunked/{name}", PATIENT) as stream:
            stream.record()
            frames = list(stream)
        assert [index_of(frame.image) for frame in frames] == list(range(FRAMES))
        assert times(frames) == list(range(FRAMES))
        with NetworkStream(f"{web}/chunked/{name}/60", PATIENT) as stream:
            stream.record()
            frames, message = play_until(SourceBroken, stream)
    assert times(frames) == list(range(len(frames)))
    assert 0 < len(frames) < FRAMES
    assert "broke off before the end of its answer" in message


@pytest.mark.parametrize("name", STREAMED)
def test_of_one_that_ends_by_hanging_up_nobody_knows_whether_it_is_whole(
    tmp_path: Path, name: str
) -> None:
    made(tmp_path, name)
    with (
        http_server(tmp_path) as (web, _),
        NetworkStream(f"{web}/unsized/{name}", PATIENT) as stream,
    ):
        stream.record()
        frames, message = play_until(SourceBroken, stream)
    assert times(frames) == list(range(FRAMES))
    assert "hung up, which may be the end" in message


@pytest.mark.parametrize("name", STREAMED)
def test_one_that_breaks_off_at_the_same_place_each_time_is_broken(
    tmp_path: Path, name: str
) -> None:
    made(tmp_path, name)
    quick = ConnectOptions(timeout_s=20, stall_s=20, backoff=Backoff(first_s=0.05))
    with http_server(tmp_path) as (web, _):
        with open_with_reconnect(f"{web}/chunked/{name}", quick) as whole:
            assert len(list(whole)) == FRAMES
        with open_with_reconnect(f"{web}/chunked/{name}/60", quick) as cut:
            frames, message = play_until(SourceBroken, cut)
    assert 0 < len(frames) < FRAMES
    assert f"ends too early, after {len(frames)} frames" in message


def images_in_a_row(file: Path) -> Path:
    """Larger than what libav looks at first, so that it takes them for one image."""
    images = [cv2.imencode(".jpg", photograph(index, (640, 480)))[1] for index in range(FRAMES)]
    file.write_bytes(b"".join(image.tobytes() for image in images))
    return file


def one_small_frame(file: Path) -> Path:
    """Less than what libav looks at first."""
    make_video(file, images=[np.full((48, 64, 3), 99, np.uint8)])
    assert file.stat().st_size < 1 << 11
    return file


@pytest.mark.parametrize("way", ["unsized", "chunked"])
@pytest.mark.parametrize(
    ("make", "name", "count"),
    [(images_in_a_row, "images", FRAMES), (one_small_frame, "drive.ts", 1)],
)
def test_images_in_a_row_and_a_single_frame_end(
    tmp_path: Path, make: Callable[[Path], Path], name: str, count: int, way: str
) -> None:
    make(tmp_path / name)
    quick = ConnectOptions(timeout_s=20, stall_s=20, backoff=Backoff(first_s=0.05))
    with http_server(tmp_path) as (web, _):
        with open_with_reconnect(f"{web}/{way}/{name}", quick) as stream:
            assert [frame.index for frame in stream] == list(range(count))
        with NetworkStream(f"{web}/chunked/{name}", PATIENT) as recorded:
            recorded.record()
            assert times(list(recorded)) == list(range(count))


def test_a_playlist_in_place_of_a_recording_leads_into_no_file_of_ours(tmp_path: Path) -> None:
    film = make_video(tmp_path / "ours.ts", frames=FRAMES)
    addressed = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:0.8,\n{film}\n#EXT-X-ENDLIST\n"

    def play(connection: Connection) -> None:
        connection.raw(addressed.encode(), header=b"HTTP/1.1 200 OK\r\n\r\n")

    with scripted_camera(play) as camera, pytest.raises(StreamError):
        NetworkStream(camera.url, PATIENT, reads_here=True)


@pytest.mark.parametrize("plays", ["0", "1"])
@pytest.mark.parametrize("way", ["unsized", "chunked"])
def test_an_animation_has_an_end_and_shows_whether_it_came(
    tmp_path: Path, way: str, plays: str
) -> None:
    file = tmp_path / "drawn.apng"
    repeated = {"plays": plays}  # 0: for ever
    make_video(file, frames=FRAMES, codec="apng", pix_fmt="rgb24", container_options=repeated)
    with http_server(tmp_path) as (web, asked):
        with open_with_reconnect(f"{web}/{way}/drawn.apng", PATIENT) as stream:
            assert [frame.index for frame in stream] == list(range(FRAMES))
        assert len(asked) == 2, "it is looked at, and fetched whole"
        with open_with_reconnect(f"{web}/{way}/drawn.apng/60", PATIENT) as cut:
            frames, _ = play_until(SourceBroken, cut)
    assert 0 < len(frames) < FRAMES


@pytest.mark.parametrize("name", ["drive.ts", "drive"])
@pytest.mark.parametrize("frames", [1, 3])
def test_a_transport_stream_of_a_few_packets_is_known_for_one(
    tmp_path: Path, name: str, frames: int
) -> None:
    images = [np.full((16, 16, 3), 99, np.uint8)] * frames
    made = make_video(tmp_path / "drive.ts", images=images, codec="mpeg2video", size=(16, 16))
    assert made.stat().st_size < 10 * 188
    file = made.rename(tmp_path / name)
    with open_stream(file) as here:
        assert times(list(here)) == list(range(frames))
    quick = ConnectOptions(timeout_s=20, stall_s=20, backoff=Backoff(first_s=0.05))
    with http_server(tmp_path) as (web, _):
        with open_with_reconnect(f"{web}/file/{name}", quick) as stream:
            assert [frame.index for frame in stream] == list(range(frames))
        with open_with_reconnect(f"{web}/chunked/{name}", quick) as stream:
            assert len(list(stream)) == frames
