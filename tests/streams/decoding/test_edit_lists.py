"""Edit lists of MP4: what they leave is played as libav plays it, and no frame vanishes unsaid."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from media import index_of, make_video
from oneglance.streams import SourceBroken, open_stream
from playing import play_until

FRAMES = 20
SECOND, FRAME = 1000, 40
"""In units of the film."""
MEDIA_FRAME = 512
"""In units of the track."""
EMPTY, AT_ONCE = -1, 65536
Entry = tuple[int, int]
"""How long, and from when in the track."""


@pytest.fixture(params=["0", "2"], ids=["in order", "B-frames"])
def film(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    group = {"bf": request.param, "g": "5"}
    return make_video(tmp_path / "drive.mp4", frames=FRAMES, options=group)


def boxes(content: bytearray, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    while at + 8 <= end:
        length = int.from_bytes(content[at : at + 4], "big")
        yield bytes(content[at + 4 : at + 8]), at, length
        at += length


def edited(file: Path, *entries: Entry) -> Path:
    """``file`` with another edit list; times are counted from the first frame's."""
    content = bytearray(file.read_bytes())
    at, end, parents = 0, len(content), []
    for wanted in (b"moov", b"trak", b"edts"):
        at, length = next(
            (begin, length) for name, begin, length in boxes(content, at, end) if name == wanted
        )
        parents.append(at)
        at, end = at + 8, at + length
    first = int.from_bytes(content[at + 20 : at + 24], "big")
    body = struct.pack(">II", 0, len(entries))
    for length, time in entries:
        body += struct.pack(">Iii", length, time if time < 0 else first + time, AT_ONCE)
    new = struct.pack(">I4s", 8 + len(body), b"elst") + body
    more = len(new) - (end - at)
    content[at:end] = new
    for parent in parents:
        length = int.from_bytes(content[parent : parent + 4], "big") + more
        content[parent : parent + 4] = struct.pack(">I", length)
    file.write_bytes(content)
    return file


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


def by_us(file: Path) -> list[tuple[int, float]]:
    with open_stream(file) as stream:
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
