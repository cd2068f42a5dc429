"""What a transport stream's own counters tell of a loss."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import av
import pytest

from drives import FRAMES, LARGE, check_counted, clip, differs, play
from oneglance.streams.files.integrity import Truncation, find_truncation
from oneglance.streams.files.transport import Loss, begins_inside, find_loss
from present import present
from transport import PACKET, VIDEO, begins_frame, is_video, packets, without

MakeVideo = Callable[..., Path]


@pytest.fixture
def film(video: MakeVideo) -> Path:
    return video("a.ts", frames=12, size=(128, 96), options={"bf": "0", "g": "6"})


def frames_at(content: bytes) -> list[int]:
    return [index * PACKET for index, part in enumerate(packets(content)) if begins_frame(part)]


def test_a_whole_stream_lost_nothing_anywhere(film: Path) -> None:
    starts = frames_at(film.read_bytes())
    with av.open(str(film)) as opened:
        assert [packet.pos for packet in opened.demux(video=0) if packet.size] == starts
    for begin, end in pairwise(starts):
        assert find_loss(film, begin, end, VIDEO) is Loss.NOTHING


def test_a_packet_lost_inside_a_frame_is_reported(film: Path) -> None:
    content = film.read_bytes()
    begin, end = frames_at(content)[3:5]
    inside = [i for i in range(begin // PACKET + 1, end // PACKET) if is_video(packets(content)[i])]
    for index in inside:
        film.write_bytes(without(content, index))
        assert find_loss(film, begin, end - PACKET, VIDEO) is Loss.INSIDE


def test_frames_lost_whole_leave_those_around_them_whole(film: Path) -> None:
    content = film.read_bytes()
    starts = frames_at(content)
    film.write_bytes(content[: starts[4]] + content[starts[6] :])
    assert find_loss(film, starts[3], starts[4], VIDEO) is Loss.AFTER


def test_streams_put_together_lost_nothing(film: Path) -> None:
    content = film.read_bytes()
    starts = frames_at(content)
    film.write_bytes(content + content)
    begin, end = starts[-1], len(content) + starts[0]
    assert find_loss(film, begin, end, VIDEO) is Loss.NOTHING


@pytest.mark.parametrize("end", [0, 188, 300, 10**9])
def test_of_what_is_no_transport_stream_nothing_is_said(tmp_path: Path, end: int) -> None:
    path = tmp_path / "a.ts"
    path.write_bytes(bytes(1000))
    assert find_loss(path, 0, end, VIDEO) is None
    assert find_loss(tmp_path / "absent.ts", 0, 188, VIDEO) is None


@pytest.mark.parametrize(("head", "tail"), [(4, 0), (0, 16)])
def test_packets_with_a_time_before_or_a_code_behind_each_are_read_as_well(
    film: Path, head: int, tail: int
) -> None:
    content = film.read_bytes()
    begin, end = frames_at(content)[3:5]
    [*inside, _] = (
        i for i in range(begin // PACKET, end // PACKET) if is_video(packets(content)[i])
    )
    step = head + PACKET + tail

    def write(parts: list[bytes]) -> None:
        film.write_bytes(b"".join(bytes(head) + part + bytes(tail) for part in parts))

    write(packets(content))
    with av.open(str(film)) as opened:
        places = [present(packet.pos) for packet in opened.demux(video=0) if packet.size]
    # libav counts what stands behind a packet to the next one.
    assert places[3:5] == [begin // PACKET * step - tail, end // PACKET * step - tail]
    for first, second in pairwise([*places, None]):
        assert find_loss(film, present(first), second, VIDEO) is Loss.NOTHING
    write(packets(without(content, inside[1])))
    assert find_loss(film, places[3], places[4] - step, VIDEO) is Loss.INSIDE
    assert find_loss(film, places[3], None, VIDEO) is Loss.INSIDE
    write(packets(content) * 2)
    assert find_loss(film, places[-1], len(packets(content)) * step + places[0], VIDEO) is (
        Loss.NOTHING
    )


@pytest.mark.parametrize("coding", ["h264", "h264 b-frames", "h265", "mpeg4"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_frame_of_which_the_first_packets_are_lost_is_counted(
    tmp_path: Path, coding: str, count: int
) -> None:
    path = clip(tmp_path, "a.ts", coding, LARGE)
    content, whole = path.read_bytes(), play(path)
    own = [index for index, part in enumerate(packets(content)) if is_video(part)]
    assert not begins_inside(path, own[0] * PACKET, VIDEO)
    row, lost = packets(content), own[:count]
    behind = b"".join(row[index] for index in range(len(row)) if index not in lost)
    for kept in (behind, content[(lost[-1] + 1) * PACKET :]):
        path.write_bytes(kept)
        found = play(path)
        assert len(found.frames) + found.damaged == found.produced == FRAMES
        assert found.message
        for frame in found.frames:
            assert not differs(frame.image, whole.frames[frame.index].image)


def test_a_first_packet_that_looks_like_a_box_of_mp4_is_none(tmp_path: Path) -> None:
    path = clip(tmp_path, "a.ts", "h264", LARGE)
    content = bytearray(path.read_bytes())
    own = [index for index, part in enumerate(packets(bytes(content))) if is_video(part)]
    content[own[1] * PACKET + 4 : own[1] * PACKET + 8] = b"skip"
    path.write_bytes(content[own[1] * PACKET :])
    assert find_truncation(path) == Truncation()


@pytest.mark.parametrize("coding", ["h264", "h264 b-frames", "h265", "mpeg4"])
@pytest.mark.parametrize("filling", ["zeros", "others"])
def test_behind_a_hole_longer_than_libav_looks_for_a_packet_it_goes_on(
    tmp_path: Path, coding: str, filling: str
) -> None:
    path = clip(tmp_path, "a.ts", coding, LARGE, loops=8)
    content, whole = path.read_bytes(), play(path)
    count = 8 * FRAMES
    assert (len(whole.frames), whole.message) == (count, "")
    begin, length = len(content) // 3, 3 << 15
    other = bytes(length) if filling == "zeros" else random.Random(1).randbytes(length)
    path.write_bytes(content[:begin] + other + content[begin + length :])
    found = play(path)
    check_counted(found, whole)
    assert found.frames[-1].index == count - 1


@pytest.mark.parametrize("at_frame", [True, False])
def test_a_hole_up_to_the_end_is_an_end_that_is_missing(tmp_path: Path, at_frame: bool) -> None:
    path = clip(tmp_path, "a.ts", "h264", LARGE)
    content, whole = path.read_bytes(), play(path)
    begin = frames_at(content)[FRAMES // 2] + (0 if at_frame else 2 * PACKET)
    path.write_bytes(content[:begin] + bytes(1 << 18))
    found = play(path)
    assert len(found.frames) == FRAMES // 2
    assert all(not differs(each.image, whole.frames[each.index].image) for each in found.frames)
    assert "what follows in the file is missing or damaged" in found.message
