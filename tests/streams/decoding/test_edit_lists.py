"""Edit lists of MP4: what they leave is played as libav plays it, and no frame vanishes unsaid."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import pytest

from edit_lists import edited
from http_server import http_server
from media import index_of, make_video
from oneglance.streams import SourceBroken, open_stream
from oneglance.streams.files.remote import RemoteVideo
from playing import play_until

FRAMES = 20
SECOND, FRAME = 1000, 40
"""In units of the film."""
MEDIA_FRAME = 512
"""In units of the track."""
EMPTY = -1


@pytest.fixture(params=["0", "2"], ids=["in order", "B-frames"])
def film(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    group = {"bf": request.param, "g": "5"}
    return make_video(tmp_path / "drive.mp4", frames=FRAMES, options=group)


def by_libav(file: Path) -> list[tuple[int, float]]:
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        unit = stream.time_base
        assert unit is not None
        images = [(f.to_ndarray(format="bgr24"), f.pts) for f in container.decode(stream)]
        start = stream.start_time or 0
        return [
            (index_of(image), round(float(((pts or 0) - start) * unit), 3)) for image, pts in images
        ]


def by_us(source: str | Path | RemoteVideo) -> list[tuple[int, float]]:
    with source if isinstance(source, RemoteVideo) else open_stream(source) as stream:
        return [(index_of(frame.image), round(frame.timestamp_s, 3)) for frame in stream]


SHOWN = {
    "no entry": [],
    "all": [(FRAMES * FRAME, 0)],
    "later": [(SECOND, EMPTY), (FRAMES * FRAME, 0)],
    "an empty one of no length": [(0, EMPTY), (FRAMES * FRAME, 0)],
    "the beginning": [(FRAMES * FRAME // 2, 0)],
    "from a key frame, and longer than the rest": [(FRAMES * FRAME, 5 * MEDIA_FRAME)],
    "from another, and longer than the rest": [(FRAMES * FRAME, 7 * MEDIA_FRAME)],
    "one frame": [(1, 0)],
}


@pytest.mark.parametrize("how", SHOWN)
def test_what_it_shows_is_played_and_the_file_is_whole(film: Path, how: str) -> None:
    file = edited(film, *SHOWN[how])
    there = by_libav(file)
    assert there
    assert by_us(file) == there


NOTHING = {
    "no length": [(0, 0)],
    "no length, from the middle": [(0, 5 * MEDIA_FRAME)],
    "empty alone": [(SECOND, EMPTY)],
    "empty, then no length": [(SECOND, EMPTY), (0, 0)],
    "behind the end": [(FRAMES * FRAME, 1000 * MEDIA_FRAME)],
}


@pytest.mark.parametrize("how", NOTHING)
def test_one_that_shows_nothing_is_left_out_and_said(
    film: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = edited(film, *NOTHING[how])
    assert by_libav(file) == []
    assert by_us(file) == [(index, index / 25) for index in range(FRAMES)]
    assert "its edit list leaves none of its 20 frames: it is played without" in caplog.text


def test_one_that_is_honoured_hides_no_truncation(film: Path) -> None:
    file = edited(film, (FRAMES * FRAME, 5 * MEDIA_FRAME))
    content = bytearray(file.read_bytes())
    index = content.index(b"stsz")
    count = int.from_bytes(content[index + 12 : index + 16], "big")
    assert count == FRAMES
    # The last three frames lie behind the end of the file, as where it was cut.
    last = index + 16 + 4 * (count - 3)
    for at in range(last, last + 12, 4):
        content[at : at + 4] = struct.pack(">I", len(content))
    file.write_bytes(content)
    with open_stream(file) as stream:
        frames, _ = play_until(SourceBroken, stream)
    assert len(frames) < FRAMES - 5


BACK_AND_FORTH = {
    "two parts": [(SECOND // 5, 0), (SECOND // 5, 10 * MEDIA_FRAME)],
    "a part twice": [(SECOND // 5, 0), (SECOND // 5, 0)],
    "the last part first": [(SECOND // 5, 10 * MEDIA_FRAME), (SECOND // 5, 0)],
}


@pytest.mark.parametrize("how", [*SHOWN, *NOTHING, *BACK_AND_FORTH])
def test_elsewhere_it_is_played_as_from_a_disk(film: Path, how: str) -> None:
    entries = (SHOWN | NOTHING | BACK_AND_FORTH)[how]
    file = edited(film, *entries, index_first=True)
    there = by_us(file)
    assert there
    with http_server(file.parent) as (web, _):
        found = {
            way: by_us(f"{web}/{way}/{file.name}") for way in ("file", "once", "unsized", "chunked")
        }
    found["object"] = by_us(RemoteVideo(file.open("rb"), file.name))
    assert found == dict.fromkeys(found, there)


@pytest.mark.parametrize("way", ["unsized", "chunked"])
def test_elsewhere_one_that_breaks_off_is_said_to(film: Path, way: str) -> None:
    edited(film, *SHOWN["from a key frame, and longer than the rest"], index_first=True)
    with (
        http_server(film.parent) as (web, _),
        open_stream(f"{web}/{way}/{film.name}/80") as stream,
    ):
        frames, _ = play_until(SourceBroken, stream)
    assert len(frames) < FRAMES - 5
