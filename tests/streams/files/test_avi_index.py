from __future__ import annotations

from pathlib import Path

import av
import pytest

from drives import FRAMES, LARGE, check_counted, clip, play
from media import make_video
from oneglance.streams.files.avi_index import AviIndex
from present import present


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return make_video(tmp_path / "a.avi", codec="mpeg4", frames=12, audio_s=0.3)


def places(film: Path) -> dict[int, int]:
    """Where each frame lies, and its place among those that the recorder left empty."""
    with av.open(str(film)) as opened:
        packets = [packet for packet in opened.demux(video=0) if packet.size]
        return {present(packet.pos): present(packet.dts) for packet in packets}


def test_every_frame_is_found_at_its_place(film: Path) -> None:
    found = places(film)
    index = AviIndex(film, 0)
    assert {place: index.number(place) for place in found} == found
    assert index.number(min(found) + 1) is None
    numbers = list(found.values())
    assert index.lost_between(numbers[3], numbers[7]) == 3
    assert index.lost_between(numbers[9], None) == 2


def test_it_is_found_though_the_list_of_frames_has_lost_its_head(film: Path) -> None:
    found, content = places(film), film.read_bytes()
    at = content.index(b"movi")
    film.write_bytes(content[:at] + bytes(12) + content[at + 12 :])
    index = AviIndex(film, 0)
    assert {place: index.number(place) for place in found} == found


def test_without_an_index_nothing_is_known(film: Path, tmp_path: Path) -> None:
    found, content = places(film), film.read_bytes()
    film.write_bytes(content[: content.index(b"idx1") + 3])
    assert AviIndex(film, 0).number(list(found)[3]) is None
    assert AviIndex(film, 0).lost_between(-1, None) == 0
    assert AviIndex(tmp_path / "not there", 0).number(0) is None
    film.write_bytes(b"idx1" * 1000)
    assert AviIndex(film, 0).number(list(found)[3]) is None


def test_an_index_of_another_file_is_not_believed(film: Path) -> None:
    found, content = places(film), film.read_bytes()
    at = content.index(b"movi") + 4
    film.write_bytes(content[:at] + b"JUNK\x05\0\0\0spare\0" + content[at:])
    assert AviIndex(film, 0).number(list(found)[3]) is None


def test_it_says_which_frames_are_key_frames(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "a.avi", frames=12, options={"g": "5", "bf": "0", "sc_threshold": "0"}
    )
    index = AviIndex(path, 0)
    assert [number for number in range(12) if index.is_key(number)] == [0, 5, 10]
    assert index.is_key(12) is None


def test_what_lies_behind_a_frame_is_a_chunk_or_a_hole(film: Path) -> None:
    index, content = AviIndex(film, 0), film.read_bytes()
    with av.open(str(film)) as opened:
        found = [(present(each.pos), each.size) for each in opened.demux(video=0) if each.size]
    assert not any(index.is_hole_behind(*each) for each in found)
    for hole in (bytes(4), b"\x9a\x01\xc3\x77"):
        at, size = found[3]
        begin = at + size + size % 2
        film.write_bytes(content[:begin] + hole + content[begin + 4 :])
        assert [number for number, each in enumerate(found) if index.is_hole_behind(*each)] == [3]
    film.write_bytes(content[: found[3][0] + found[3][1]])
    assert not index.is_hole_behind(*found[3])  # it is truncated there, which is no hole


def test_a_hole_may_lie_behind_a_chunk_that_follows_a_frame(film: Path) -> None:
    with av.open(str(film)) as opened:
        found = [(present(each.pos), each.size) for each in opened.demux(video=0) if each.size]
    content, index = film.read_bytes(), AviIndex(film, 0)
    assert not index.is_hole_behind(*found[3], within=99)
    place, size = found[4]
    end = place + size + size % 2
    film.write_bytes(content[:end] + bytes(9) + content[end + 9 :])
    assert index.is_hole_behind(*found[3], within=99)
    assert not index.is_hole_behind(*found[3])


def test_behind_a_hole_of_most_frames_none_moves(tmp_path: Path) -> None:
    path = clip(tmp_path, "a.avi", "h264 b-frames", LARGE, loops=4)
    content, whole, count = path.read_bytes(), play(path), 4 * FRAMES
    assert (len(whole.frames), whole.message) == (count, "")
    begin, length = len(content) // 6, len(content) * 2 // 3
    path.write_bytes(content[:begin] + bytes(length) + content[begin + length :])
    found = play(path)
    check_counted(found, whole)
    assert found.frames[-1].index == count - 1
