"""What lies between the frames of a NUT shows that some are missing."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from drives import FRAMES, LARGE, check_lost_sectors, clip, play
from media import make_video


@pytest.mark.parametrize("coding", ["h264", "mpeg4", "mpeg4 b-frames"])
@pytest.mark.parametrize("size", [512, 4096])
def test_a_lost_sector_in_the_middle_is_counted_and_no_frame_moves(
    tmp_path: Path, coding: str, size: int
) -> None:
    path = clip(tmp_path, "a.nut", coding, LARGE)
    with av.open(str(path)) as container:
        begin, *_, end = (packet.pos or 0 for packet in container.demux(video=0) if packet.size)
    row = range(begin // size * size + size, end - size, size)
    check_lost_sectors(path, row, size)


def test_frames_behind_the_last_syncpoint_are_counted_by_the_index(tmp_path: Path) -> None:
    path = clip(tmp_path, "a.nut", "h264", LARGE)
    content, whole = path.read_bytes(), play(path)
    with av.open(str(path)) as container:
        places = [packet.pos or 0 for packet in container.demux(video=0) if packet.size]
    at = places[-4] - 20  # with the head of a frame
    path.write_bytes(content[:at] + bytes(100) + content[at + 100 :])
    found = play(path)
    assert [frame.index for frame in found.frames] == list(range(FRAMES - 5))
    assert len(found.frames) + found.damaged == found.produced == len(whole.frames)
    assert found.message


def test_a_frame_that_swallows_all_that_follows_is_no_end(tmp_path: Path) -> None:
    path = clip(tmp_path, "a.nut", "mpeg4", LARGE)
    content = path.read_bytes()
    with av.open(str(path)) as container:
        places = [packet.pos or 0 for packet in container.demux(video=0) if packet.size]
    head = places[5] - 2  # a code, and the frame's length
    assert content[head + 1] < 0x80
    path.write_bytes(content[: head + 1] + b"\x84\x80" + content[head + 2 :])
    found = play(path)
    assert found.message
    assert len(found.frames) + found.damaged == found.produced


def test_a_recording_that_pauses_lost_nothing_nor_one_with_sound(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "a.nut",
        frames=12,
        times_s=[Fraction(number, 25) + (number >= 6) * 2 for number in range(12)],
        audio_s=3.0,
    )
    found = play(path)
    assert (len(found.frames), found.damaged, found.message) == (12, 0, "")
