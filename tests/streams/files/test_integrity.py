"""Recordings that end too early, in containers that libav plays to their end without a word."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import av
import pytest

from drives import FRAMES, GROUP, LARGE, clip, differs, play, wrong
from media import make_video
from oneglance.streams.files.integrity import find_truncation, truncation_of
from oneglance.streams.files.transport import _is_all_there
from present import present

STEPS = {"a.ts": 188, "a.m2ts": 192, "a.mpg": 2048}
"""Bytes of what they are made of: a file that is cut between two shows nothing."""


@pytest.mark.parametrize(
    ("name", "coding"),
    [
        *itertools.product(["a.ts", "a.m2ts", "a.mpg"], ["h264", "h265", "mpeg4"]),
        ("a.asf", "h264"),
        ("a.asf", "mpeg4"),
    ],
)
def test_what_is_cut_says_so_and_its_last_frame_is_not_passed_off_as_whole(
    tmp_path: Path, name: str, coding: str
) -> None:
    path = clip(tmp_path, name, coding)
    content, whole = path.read_bytes(), play(path)
    assert (len(whole.frames), whole.message) == (FRAMES, "")
    for end in range(len(content) // 4, len(content), len(content) // 23):
        if end % STEPS.get(name, end + 1) == 0:
            continue
        path.write_bytes(content[:end])
        found = play(path)
        assert "truncated" in found.message, end
        assert [
            f.index for f in found.frames if differs(f.image, whole.frames[f.index].image)
        ] == []
        assert len(found.frames) + found.damaged == found.produced <= FRAMES, end
        assert find_truncation(path).is_least is (name != "a.asf")


@pytest.mark.parametrize("coding", ["h264", "h265", "mpeg4"])
@pytest.mark.parametrize("name", ["a.ts", "a.m2ts"])
def test_a_frame_that_is_cut_between_two_packets_is_not_whole_and_one_that_fills_its_own_is(
    tmp_path: Path, name: str, coding: str
) -> None:
    path, step = clip(tmp_path, name, coding, LARGE), STEPS[name]
    content, whole = path.read_bytes(), play(path)
    with av.open(str(path)) as opened:
        begins = [present(packet.pos) for packet in opened.demux(video=0) if packet.size]
        pid = opened.streams.video[0].id
    assert _is_all_there(path, pid)
    for end in range(begins[GROUP + 1] // step * step, begins[-1], step):
        path.write_bytes(content[:end])
        found = play(path)
        assert [
            f.index for f in found.frames if differs(f.image, whole.frames[f.index].image)
        ] == [], end
        assert len(found.frames) + found.damaged == found.produced < FRAMES, end
        _, first, second, _ = content[end + step - 188 : end + step - 184]
        is_inside = (first & 0x1F) << 8 | second == pid and not first & 0x40
        # Of the others a few last bits may be missing without a difference.
        assert found.message or not is_inside or coding != "h265", end


def test_an_ogg_that_is_cut_says_so(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.ogg", codec="libvpx", frames=12, options={"g": "6"})
    content = path.read_bytes()
    assert len(play(path).frames) == 12
    pages = [at for at in range(len(content)) if content.startswith(b"OggS", at)]
    for end in [*range(len(content) // 2, len(content), len(content) // 20), *pages[4:]]:
        path.write_bytes(content[:end])
        assert "truncated" in play(path).message, end


@pytest.mark.parametrize("coding", ["h264", "h265", "mpeg4"])
def test_a_nut_that_is_cut_says_so_and_its_last_frame_is_not_passed_off_as_whole(
    tmp_path: Path, coding: str
) -> None:
    path = clip(tmp_path, "a.nut", coding)
    content, whole = path.read_bytes(), play(path)
    assert (len(whole.frames), whole.message) == (FRAMES, "")
    assert find_truncation(path).missing_bytes == 0
    with av.open(str(path)) as opened:
        begins = [present(packet.pos) for packet in opened.demux(video=0) if packet.size]
    # Also exactly between two frames, which nothing but the missing index shows.
    for end in [*begins[2:], *range(len(content) // 4, begins[-1], len(content) // 23)]:
        path.write_bytes(content[:end])
        found = play(path)
        assert "(at least 24 bytes are missing" in found.message, end
        assert [
            f.index for f in found.frames if differs(f.image, whole.frames[f.index].image)
        ] == []
        assert len(found.frames) + found.damaged == found.produced < FRAMES, end
    path.write_bytes(content[:-5])  # of the index alone
    assert (len(play(path).frames), play(path).message) == (FRAMES, "")


@pytest.mark.parametrize("end", [1, 20, 187, 188, 300, 1500, 1503, 1504])
@pytest.mark.parametrize("start", [b"\x47", b"OggS", b"\0\0\1\xba"])
def test_a_start_alone_says_nothing_wrong(start: bytes, end: int) -> None:
    content = (start + bytes(2000))[:end]
    truncation_of(io.BytesIO(content), len(content))


@pytest.mark.parametrize(
    ("container", "coding"),
    [
        *itertools.product(["a.mkv", "a.nut"], ["h264 b-frames", "h265 b-frames"]),
        # AVI has no times: of this coding the frames' own are read.
        *itertools.product(["a.mkv", "a.avi"], ["mpeg4 b-frames"]),
    ],
)
def test_where_a_cut_takes_b_frames_away_the_frame_that_they_lead_keeps_its_place(
    tmp_path: Path, container: str, coding: str
) -> None:
    path = clip(tmp_path, container, coding)
    content, whole = path.read_bytes(), play(path)
    assert (len(whole.frames), whole.message) == (FRAMES, "")
    with av.open(str(path)) as opened:
        begins = [present(packet.pos) for packet in opened.demux(video=0) if packet.size]
    # How many are decoded before a frame is shown is known from the second P-frame on.
    for begin in begins[5:]:
        path.write_bytes(content[:begin])
        found = play(path)
        assert wrong(found, whole.frames) == [], begin
        assert len(found.frames) + found.damaged == found.produced <= FRAMES, begin
        assert "bytes are missing" in found.message, begin


def test_a_transport_stream_in_a_file_that_was_larger_is_not_called_cut(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.ts", frames=5)
    content = path.read_bytes()
    path.write_bytes(content + bytes(4096 - len(content) % 4096))
    assert find_truncation(path).missing_bytes == 0
    assert play(path).message == ""
