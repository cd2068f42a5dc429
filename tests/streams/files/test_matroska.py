from __future__ import annotations

from pathlib import Path

import av
import pytest

from media import make_video
from oneglance.streams.files.layout import Wrong
from oneglance.streams.files.matroska import CLUSTER, ClusterChecks, element_at
from present import present


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return make_video(tmp_path / "a.mkv", frames=40, size=(128, 96), options={"g": "10"})


def places(film: Path) -> list[int]:
    with av.open(str(film)) as opened:
        return [present(packet.pos) for packet in opened.demux(video=0) if packet.size]


def changed(film: Path, at: int, content: bytes) -> ClusterChecks:
    before = film.read_bytes()
    film.write_bytes(before[:at] + content + before[at + len(content) :])
    return ClusterChecks(film)


def test_of_a_whole_file_nothing_is_said(film: Path) -> None:
    checks, last = ClusterChecks(film), None
    for place in places(film):
        assert checks.look(last, place) is Wrong.NOTHING
        last = place
    assert checks.look(last, None) is Wrong.NOTHING
    assert checks.look(None, None) is Wrong.NOTHING


def test_a_wrong_byte_is_wrong_in_its_own_cluster(film: Path) -> None:
    found = places(film)
    checks = changed(film, found[12] + 30, b"\xaa\xbb\xcc")
    wrong = [number for number, place in enumerate(found) if checks.look(place, place)]
    assert 12 in wrong
    assert 0 not in wrong
    assert 39 not in wrong
    assert all(checks.look(found[number], found[number]) is Wrong.BYTES for number in wrong)


def test_a_block_or_cluster_without_its_head_is_a_broken_layout(film: Path) -> None:
    found = places(film)
    checks = changed(film, found[12] - 8, bytes(16))
    assert Wrong.LAYOUT in checks.look(found[11], found[13])
    assert checks.look(found[38], None) is Wrong.NOTHING


def test_where_a_cluster_s_own_head_is_gone_the_next_one_is_found(film: Path) -> None:
    found = places(film)
    second = film.read_bytes().find(CLUSTER, found[0])
    checks = changed(film, second, bytes(12))
    assert Wrong.LAYOUT in checks.look(found[0], found[-1])
    assert checks.look(found[-1], None) is Wrong.NOTHING


@pytest.mark.parametrize("content", [b"", b"\x1a", b"\x1a\x45\xdf\xa3", bytes(5000), b"RIFF" * 99])
def test_of_what_is_no_matroska_nothing_is_said(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.mkv"
    file.write_bytes(content)
    assert ClusterChecks(file).look(None, 3) is Wrong.NOTHING
    assert ClusterChecks(tmp_path / "not there").look(None, None) is Wrong.NOTHING
    with file.open("rb") as opened:
        element_at(opened, 0)
