"""Sectors of zeros where a disk lost them: what they swallow is counted, and no frame moves."""

from __future__ import annotations

import random
from pathlib import Path

import av
import pytest

from drives import (
    CODINGS,
    FRAMES,
    GROUP,
    LARGE,
    RATE,
    check_lost_sectors,
    clip,
    differs,
    play,
    wrong,
)
from media import make_video
from oneglance.streams.files.matroska import CLUSTER

SECTOR, SMALL_SECTOR = 4096, 512
STARTS = (b"\0\0\1\xb3", b"\0\0\1\xb0", b"\0\0\0\1\x67")


@pytest.mark.parametrize("name", [name for name in CODINGS if "threads" not in name])
@pytest.mark.parametrize("container", ["a.mp4", "a.mkv", "a.avi"])
def test_zeros_where_a_disk_left_a_hole_cost_what_depends_on_the_frame(
    tmp_path: Path, name: str, container: str
) -> None:
    if container == "a.avi" and "h265" in name:
        pytest.skip("H.265 in AVI is nobody's format")
    path = clip(tmp_path, container, name, LARGE)
    content, whole = path.read_bytes(), play(path)
    assert (len(whole.frames), whole.message) == (FRAMES, "")
    for number, (at, size) in list(enumerate(coded(path)))[::3]:
        holed = bytearray(content)
        holed[at + size // 2 : at + size * 3 // 4] = bytes(size * 3 // 4 - size // 2)
        path.write_bytes(holed)
        found = play(path)
        assert wrong(found, whole.frames) == [], number
        assert len(found.frames) + found.damaged == found.produced == FRAMES, number


@pytest.mark.parametrize("name", [name for name in CODINGS if "threads" not in name])
def test_a_lost_sector_of_matroska_costs_what_it_held_and_what_depends_on_it(
    tmp_path: Path, name: str
) -> None:
    path = clip(tmp_path, "a.mkv", name, LARGE)
    content, whole = path.read_bytes(), play(path)
    *_, (last, size) = coded(path)
    # From the head of the first cluster on, which may be the first thing that is lost.
    for at in range(content.find(CLUSTER), last + size - SMALL_SECTOR, 2 * SMALL_SECTOR):
        path.write_bytes(content[:at] + bytes(SMALL_SECTOR) + content[at + SMALL_SECTOR :])
        found = play(path)
        assert wrong(found, whole.frames) == [], at
        assert len(found.frames) + found.damaged == found.produced, at
        assert found.produced == FRAMES or not found.frames, at  # a message says that none came
        assert found.message, at


@pytest.mark.parametrize("name", ["h264", "h264 b-frames", "h265"])
@pytest.mark.parametrize(
    ("back", "bit"),
    # Another track, another element with the length of a frame, another length.
    [(0, 0x20), (0, 0x80), (3, 0x08), (3, 0x04), (2, 0x02), (1, 0x40)],
)
def test_a_wrong_bit_in_the_head_of_a_block_loses_no_frame_without_a_word(
    tmp_path: Path, name: str, back: int, bit: int
) -> None:
    path = clip(tmp_path, "a.mkv", name, LARGE)
    content, whole = path.read_bytes(), play(path)
    for number, (at, _) in enumerate(coded(path)):
        spoilt = bytearray(content)
        spoilt[at - back] ^= bit
        path.write_bytes(spoilt)
        found = play(path)
        assert [
            f.index for f in found.frames if differs(f.image, whole.frames[f.index].image)
        ] == [], number
        assert len(found.frames) + found.damaged == found.produced == FRAMES, number
        assert found.message or not back, number


@pytest.mark.parametrize(
    ("name", "container"), [("mpeg4", "avi"), ("mpeg4 b-frames", "avi"), ("mpeg4 b-frames", "mp4")]
)
def test_a_lost_sector_costs_its_frames_their_places_and_no_others(
    tmp_path: Path, name: str, container: str
) -> None:
    path = clip(tmp_path, f"a.{container}", name, LARGE)
    content, whole = path.read_bytes(), play(path)
    assert (len(whole.frames), whole.message) == (FRAMES, "")
    (first, _), (second, _), *_, (last, size) = coded(path)
    # What comes without its very first frame has another order in MP4.
    begins = first // SECTOR * SECTOR if container == "avi" else second
    for at in range(begins, last + size - SECTOR, SECTOR):
        path.write_bytes(content[:at] + bytes(SECTOR) + content[at + SECTOR :])
        found = play(path)
        assert wrong(found, whole.frames) == [], at
        assert len(found.frames) + found.damaged == found.produced == FRAMES, at


@pytest.mark.parametrize("size", [SMALL_SECTOR, 4 * SMALL_SECTOR])
def test_a_lost_sector_of_flv_costs_what_it_held_and_what_depends_on_it(
    tmp_path: Path, size: int
) -> None:
    path = clip(tmp_path, "a.flv", "h264", LARGE)
    content, whole = path.read_bytes(), play(path)
    assert (len(whole.frames), whole.message) == (FRAMES, "")
    *_, (last, _) = coded(path)
    # To the head of the last tag: what follows is known by how long the file says that it is.
    for at in range(size, last + 1, size):
        path.write_bytes(content[:at] + bytes(size) + content[at + size :])
        found = play(path)
        assert wrong(found, whole.frames) == [], at
        assert len(found.frames) + found.damaged == found.produced == FRAMES, at
        assert found.message, at


@pytest.mark.parametrize("lost", [2, 6, 40])
@pytest.mark.parametrize("name", ["h264", "h265", "h265 b-frames"])
@pytest.mark.parametrize("container", ["a.mp4", "a.mkv", "a.flv"])
def test_a_hole_that_begins_in_the_last_bytes_of_a_frame_costs_that_frame_too(
    tmp_path: Path, container: str, name: str, lost: int
) -> None:
    path = clip(tmp_path, container, name, LARGE)
    content, whole = path.read_bytes(), play(path)
    ends = [at + size for at, size in coded(path)]
    if container == "a.flv":  # the place is that of the tag
        ends = [end + 16 for end in ends]
    for number, end in list(enumerate(ends))[:-1:3]:
        begin = end - lost
        path.write_bytes(content[:begin] + bytes(SMALL_SECTOR) + content[begin + SMALL_SECTOR :])
        found = play(path)
        assert wrong(found, whole.frames) == [], number
        assert len(found.frames) + found.damaged == found.produced == FRAMES, number


def test_a_clock_that_begins_elsewhere_is_no_lost_beginning(tmp_path: Path) -> None:
    path, later = clip(tmp_path, "a.mkv", "h264", LARGE), tmp_path / "later.mkv"
    with av.open(str(path)) as given, av.open(str(later), "w") as out:
        stream = out.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.pts is not None:
                packet.pts += 10**9  # milliseconds: a day of the week, or damage
                packet.dts = packet.pts
                packet.stream = stream
                out.mux(packet)
    content = later.read_bytes()
    assert len(play(later).frames) == FRAMES
    at = content.find(CLUSTER)
    later.write_bytes(content[:at] + bytes(SMALL_SECTOR) + content[at + SMALL_SECTOR :])
    found = play(later)
    assert "damaged" in found.message
    assert found.produced <= FRAMES
    assert found.frames[0].timestamp_s < 1


@pytest.mark.parametrize(
    ("codec", "container"),
    [("mpeg2video", "mp4"), ("mpeg2video", "avi"), ("mpeg4", "avi"), ("libx264", "avi")],
)
@pytest.mark.parametrize("hole", [4, 64, 10_000])
def test_a_hole_over_the_head_of_a_frame_moves_no_other(
    tmp_path: Path, hole: int, codec: str, container: str
) -> None:
    path = with_b_frames(tmp_path, codec, container)
    content, whole = path.read_bytes(), play(path)
    assert (len(whole.frames), whole.message) == (FRAMES, "")
    for number, (at, size) in enumerate(coded(path)):
        if codec == "libx264" and number == 0:
            continue  # nothing says what it is
        if container == "avi" and codec != "libx264" and number == 1:
            continue  # nothing came yet that shows how many B-frames are shown before it
        length = min(hole, size)
        path.write_bytes(content[:at] + bytes(length) + content[at + length :])
        found = play(path)
        assert len(found.frames) + found.damaged == found.produced == FRAMES, number
        # A key frame may begin with what the container has as well.
        assert bool(found.message) == (len(found.frames) < FRAMES), number
        assert found.message or content.startswith(STARTS, at), number
        for frame in found.frames:
            assert frame.timestamp_s == whole.frames[frame.index].timestamp_s, number
            assert not differs(frame.image, whole.frames[frame.index].image), number


@pytest.mark.parametrize("codec", ["mpeg2video", "mpeg4", "libx264"])
def test_a_sector_that_an_avi_lost_moves_no_frame_of_one_that_has_b_frames(
    tmp_path: Path, codec: str
) -> None:
    path = with_b_frames(tmp_path, codec, "avi")
    _, _, (begin, _), *_, (last, _) = coded(path)
    for size in (SMALL_SECTOR, SECTOR):
        check_lost_sectors(path, range((begin // size + 1) * size, last - SECTOR, size), size)
        path = with_b_frames(tmp_path, codec, "avi")


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("size", [40, 700])
def test_what_lies_over_the_end_of_a_frame_of_an_avi_and_what_follows_costs_both(
    tmp_path: Path, codec: str, size: int
) -> None:
    path = with_b_frames(tmp_path, codec, "avi")
    content, whole = path.read_bytes(), play(path)
    junk = random.Random(1).randbytes(size)
    for number, (at, length) in list(enumerate(coded(path)))[2:-1:3]:
        begin = at + length - 20
        path.write_bytes((content[:begin] + junk + content[begin + size :])[: len(content)])
        found = play(path)
        assert len(found.frames) + found.damaged == found.produced == FRAMES, number
        assert len(found.frames) < FRAMES - 1, number
        assert wrong(found, whole.frames) == [], number


def test_the_first_frame_of_an_avi_is_counted_when_its_own_head_is_lost(tmp_path: Path) -> None:
    path = with_b_frames(tmp_path, "libx264", "avi")
    content, whole = path.read_bytes(), play(path)
    at = coded(path)[0][0] - 8
    path.write_bytes(content[:at] + b"\xa5" * 12 + content[at + 12 :])
    found = play(path)
    assert len(found.frames) + found.damaged == found.produced == FRAMES
    assert GROUP <= len(found.frames) < FRAMES
    assert wrong(found, whole.frames) == []


def with_b_frames(folder: Path, codec: str, container: str) -> Path:
    """By an encoder with one thread, which begins its groups elsewhere."""
    return make_video(
        folder / f"a.{container}",
        codec=codec,
        images=[frame.image for frame in play(clip(folder, "b.mp4", "h264", LARGE)).frames],
        size=LARGE,
        rate=RATE,
        options={"g": str(GROUP), "bf": "2", "threads": "1"},
    )


def coded(path: Path) -> list[tuple[int, int]]:
    """Where each packet of the video begins in the file, and its size."""
    with av.open(str(path)) as opened:
        return [
            (packet.pos, packet.size)
            for packet in opened.demux(video=0)
            if packet.size and packet.pos is not None
        ]
