"""Boxes of ISO media: where each should end, whatever was cut off."""

from __future__ import annotations

import io

import pytest

from oneglance.streams.files.boxes import top_level_boxes


def box(name: bytes, content: bytes = b"", *, length: int | None = None) -> bytes:
    return (8 + len(content) if length is None else length).to_bytes(4, "big") + name + content


def found(data: bytes) -> list[tuple[bytes, int | None]]:
    return list(top_level_boxes(io.BytesIO(data), len(data)))


def test_boxes_come_one_after_the_other() -> None:
    assert found(box(b"ftyp", b"isom") + box(b"free") + box(b"mdat", b"12345")) == [
        (b"ftyp", 12),
        (b"free", 20),
        (b"mdat", 33),
    ]


def test_a_box_that_was_truncated_should_end_beyond_the_file() -> None:
    assert found(box(b"mdat", b"123", length=100)) == [(b"mdat", 100)]


def test_a_long_box_has_its_length_behind_its_name() -> None:
    long = box(b"mdat", (2**33).to_bytes(8, "big"), length=1)
    assert found(long) == [(b"mdat", 2**33)]


def test_a_last_box_may_reach_to_the_end_however_long_that_is() -> None:
    assert found(box(b"ftyp") + box(b"mdat", b"123", length=0)) == [(b"ftyp", 8), (b"mdat", None)]


@pytest.mark.parametrize("length", range(2, 8))
def test_nothing_comes_after_what_cannot_be_a_box(length: int) -> None:
    assert found(box(b"ftyp") + box(b"mdat", length=length) + box(b"free")) == [(b"ftyp", 8)]


@pytest.mark.parametrize("data", [b"", b"\0\0\0\x08mda"])
def test_less_than_a_header_is_no_box(data: bytes) -> None:
    assert found(data) == []
