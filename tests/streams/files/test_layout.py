from __future__ import annotations

from pathlib import Path

import pytest

from oneglance.streams.files.layout import FragmentChecks, Wrong


def box(name: bytes, content: bytes = b"") -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + name + content


def fragment(number: int) -> bytes:
    header = box(b"mfhd", bytes(4) + number.to_bytes(4, "big"))
    return box(b"moof", header) + box(b"mdat", bytes(20))


HEAD = box(b"ftyp", b"isom") + box(b"moov")


def look(folder: Path, *parts: bytes, end: int | None = None) -> Wrong:
    file = folder / "a.mp4"
    file.write_bytes(HEAD + b"".join(parts))
    return FragmentChecks(file).look(len(HEAD) + 1, end)


def test_fragments_in_a_row_are_whole(tmp_path: Path) -> None:
    assert look(tmp_path, *map(fragment, (1, 2, 3))) is Wrong.NOTHING
    assert look(tmp_path, *map(fragment, (7, 7, 1, 2))) is Wrong.NOTHING  # put together
    assert look(tmp_path) is Wrong.NOTHING
    assert look(tmp_path, box(b"mdat", b"moof")) is Wrong.NOTHING


def test_a_number_left_out_is_noticed_where_it_is(tmp_path: Path) -> None:
    parts = [*map(fragment, (1, 2, 4, 5))]
    assert look(tmp_path, *parts) is Wrong.LAYOUT
    until = len(HEAD) + 2 * len(parts[0]) - 4
    assert look(tmp_path, *parts, end=until) is Wrong.NOTHING
    assert look(tmp_path, *parts, end=until + len(parts[0])) is Wrong.LAYOUT


@pytest.mark.parametrize("hole", [bytes(8), b"\0\0\0\x04moof", b"\xff\xff\xff\xffmoof"])
def test_a_hole_is_noticed_and_what_follows_is_found(tmp_path: Path, hole: bytes) -> None:
    assert look(tmp_path, fragment(1), hole + fragment(2)[8:], fragment(3)) is Wrong.LAYOUT
    assert look(tmp_path, fragment(1), hole + fragment(2)[8:]) is Wrong.LAYOUT


def test_zeros_at_the_end_are_no_hole(tmp_path: Path) -> None:
    assert look(tmp_path, fragment(1), fragment(2), bytes(5000)) is Wrong.NOTHING
