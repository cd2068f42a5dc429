"""The row of packets of an MPEG program stream."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneglance.streams.files.containers.program_walk import Chunk, ProgramWalk, Window

PACK = b"\0\0\1\xba\x44\0\4\0\4\1\0\0\3\xf8"
TIMES = b"\x31\0\1\0\3\x11\0\1\0\1"


def packet(content: bytes, code: int = 0xE0, head: bytes = b"\x80\0\0") -> bytes:
    return b"\0\0\1" + bytes([code]) + len(head + content).to_bytes(2, "big") + head + content


def walk(content: bytes) -> tuple[list[Chunk], bool]:
    row = ProgramWalk(Window(io.BytesIO(content)), 0x1E0)
    chunks = list(row.chunks())
    return chunks, row.is_end_lost


ROW = [packet(bytes([number]) * 40) for number in range(1, 5)]


def test_chunks_are_the_video_end_to_end_without_what_is_beside_it() -> None:
    sound, system = packet(b"s" * 30, 0xC0), packet(b"", 0xBB, b"\x80\4\xe1")
    chunks, is_lost = walk(PACK + system + ROW[0] + sound + PACK + ROW[1] + b"\0\0\1\xb9")
    assert [(chunk.at, chunk.size) for chunk in chunks] == [(0, 40), (40, 40)]
    assert not any(chunk.is_behind_hole or chunk.is_torn for chunk in chunks)
    assert not is_lost


@pytest.mark.parametrize("stuffing", [b"", b"\xff\xff", b"\x60\x20"])
def test_times_are_read_of_both_versions(stuffing: bytes) -> None:
    for head in (b"\x80\xc0\x0a" + TIMES, stuffing + TIMES):
        ((chunk,), _) = walk(packet(b"\0\0\1\x65abc", head=head))
        assert (chunk.pts, chunk.dts, chunk.size, chunk.is_ill) == (1, 0, 7, False)


@pytest.mark.parametrize(
    ("between", "is_hole"),
    [(b"", False), (bytes(20), False), (bytes(600), True), (b"rest of one", True)],
)
def test_what_is_no_packet_shows_a_hole(between: bytes, is_hole: bool) -> None:
    (first, second), _ = walk(ROW[0] + between + ROW[1])
    assert (first.is_behind_hole, second.is_behind_hole) == (False, is_hole)
    assert first.is_torn is (between == b"rest of one")


def test_a_packet_that_runs_over_the_next_is_torn() -> None:
    content = b"".join(ROW)
    chunks, _ = walk(content[:20] + content[30:])
    assert [chunk.is_torn for chunk in chunks] == [True, False, False]


@pytest.mark.parametrize(
    ("behind", "is_lost"),
    [(b"", False), (bytes(20), False), (bytes(100_000), False), (bytes(4096), True), (b"x", True)],
)
def test_room_that_was_laid_aside_is_no_loss(behind: bytes, is_lost: bool) -> None:
    assert walk(ROW[0] + behind)[1] is is_lost


@given(st.binary(max_size=300), st.integers(0, 180), st.integers(0, 40))
def test_no_bytes_are_too_odd(other: bytes, at: int, length: int) -> None:
    content = PACK.join(ROW)
    chunks, _ = walk(content[:at] + other + content[at + length :])
    assert [chunk.at for chunk in chunks] == [
        sum(before.size for before in chunks[:number]) for number in range(len(chunks))
    ]
