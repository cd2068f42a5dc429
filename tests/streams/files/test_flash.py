"""An FLV's row of tags: what a hole in it hides, and what is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from oneglance.streams.files.flash import TagChecks
from oneglance.streams.files.layout import Wrong

HEADER = b"FLV\x01\x01\0\0\0\x09\0\0\0\0"
SIZE = 100
STEP = 11 + SIZE + 4


def tag(kind: int = 9, stated: int = 11 + SIZE) -> bytes:
    head = bytes([kind]) + SIZE.to_bytes(3, "big") + bytes(7)
    return head + b"\x17" * SIZE + stated.to_bytes(4, "big")


def place(number: int) -> int:
    return len(HEADER) + number * STEP


def checks(tmp_path: Path, content: bytes) -> TagChecks:
    file = tmp_path / "a.flv"
    file.write_bytes(content)
    return TagChecks(file)


@pytest.mark.parametrize("stated", [11 + SIZE, 10 + SIZE, SIZE, 0])
def test_a_row_of_tags_hides_nothing_whatever_its_recorder_counts(
    tmp_path: Path, stated: int
) -> None:
    row = checks(tmp_path, HEADER + tag(18, stated) + tag(8, stated) + tag(stated=stated) * 5)
    assert row.look(None, place(2)) == Wrong.NOTHING
    assert row.look(place(2), None) == Wrong.NOTHING


@pytest.mark.parametrize("at", [place(3) - 4, place(3), place(3) + 1, place(4) - 50])
def test_a_hole_is_told_between_the_tags_around_it_and_nowhere_else(
    tmp_path: Path, at: int
) -> None:
    content = bytearray(HEADER + tag() * 8)
    content[at : at + 60] = bytes(60)
    row = checks(tmp_path, bytes(content))
    hidden = [row.look(place(n), place(n + 1)) == Wrong.LAYOUT for n in range(7)]
    assert sum(hidden[1:4]) == 1
    assert not any(hidden[:1] + hidden[4:])
    assert row.look(place(1), None) == Wrong.LAYOUT
    assert row.look(place(4), None) == Wrong.NOTHING


def test_a_file_that_is_played_from_its_middle_is_looked_at_from_there(tmp_path: Path) -> None:
    content = bytearray(HEADER + tag() * 8)
    content[place(1) : place(2)] = bytes(STEP)
    row = checks(tmp_path, bytes(content))
    assert row.look(place(4), place(5)) == Wrong.NOTHING
    assert row.look(place(5), None) == Wrong.NOTHING


def test_a_last_tag_that_is_cut_off_is_no_hole(tmp_path: Path) -> None:
    row = checks(tmp_path, (HEADER + tag() * 3)[:-20])
    assert row.look(place(1), None) == Wrong.NOTHING


def test_a_file_that_went_away_shows_nothing(tmp_path: Path) -> None:
    row = checks(tmp_path, HEADER + tag() * 3)
    (tmp_path / "a.flv").unlink()
    assert row.look(None, place(1)) == Wrong.NOTHING
