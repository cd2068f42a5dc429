"""Times of MPEG-4 frames out of their own headers, of real encodes and of bits set by hand."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest

from oneglance.streams.decoding.times.vop_times import OwnTimes, VopTimes


def bits(*fields: tuple[int, int]) -> bytes:
    """(value, width) after another, from the highest bit on."""
    text = "".join(f"{value:0{width}b}" for value, width in fields)
    return int(text.ljust((len(text) + 7) // 8 * 8, "0"), 2).to_bytes((len(text) + 7) // 8, "big")


def layer(resolution: int, *, aspect: int = 1) -> bytes:
    square = () if aspect != 15 else ((3, 8), (4, 8))
    head = ((0, 1), (1, 8), (0, 1), (aspect, 4), *square, (0, 1), (0, 2), (1, 1))
    return b"\0\0\1\x20" + bits(*head, (resolution, 16), (1, 1), (0, 1), (0, 6))


INTRA, P, B = 0, 1, 2


def vop(kind: int, seconds: int, ticks: int, *, coded: bool = True, width: int = 5) -> bytes:
    ahead = tuple((1, 1) for _ in range(seconds))
    fields = ((kind, 2), *ahead, (0, 1), (1, 1), (ticks, width), (1, 1), (int(coded), 1), (0, 8))
    return b"\0\0\1\xb6" + bits(*fields)


def test_times_of_b_frames_count_from_the_second_before() -> None:
    times = VopTimes(layer(25))
    assert times.times_s(memoryview(vop(INTRA, 0, 0))) == [0]
    assert times.times_s(memoryview(vop(P, 1, 2))) == [1 + Fraction(2, 25)]
    assert times.times_s(memoryview(vop(B, 0, 24))) == [Fraction(24, 25)]
    assert times.times_s(memoryview(vop(B, 1, 1))) == [1 + Fraction(1, 25)]


def test_two_frames_of_a_packet_have_a_time_each_and_a_place_holder_none() -> None:
    times = VopTimes(layer(25, aspect=15))
    packed = vop(P, 0, 3) + vop(B, 0, 1)
    assert times.times_s(memoryview(packed)) == [Fraction(3, 25), Fraction(1, 25)]
    assert times.times_s(memoryview(vop(P, 0, 3, coded=False))) == []


def test_truncated_and_foreign_bytes_say_nothing() -> None:
    times = VopTimes(None)
    assert times.times_s(memoryview(vop(INTRA, 0, 0))) == []  # nothing says how long a tick is
    assert VopTimes(layer(25)).times_s(memoryview(b"\0\0\1\xb6")) == []
    assert VopTimes(layer(25)).times_s(memoryview(b"\0\0\1\xb6\xff")) == []
    assert VopTimes(layer(25)[:9]).times_s(memoryview(b"no start code")) == []


def test_a_container_that_disagrees_is_believed() -> None:
    own = OwnTimes(layer(25), Fraction(1, 25))
    assert own.slots(memoryview(vop(INTRA, 0, 0)), 0) == [0]
    assert own.slots(memoryview(vop(P, 0, 2)), 1) == [2]
    assert own.slots(memoryview(vop(P, 0, 2, coded=False)), 2) == []
    assert own.slots(memoryview(vop(P, 9, 0)), 3) is None
    assert OwnTimes(b"", Fraction(1, 25)).slots(memoryview(vop(INTRA, 0, 0)), 0) is None


@pytest.mark.parametrize("waiting", ["0", "2"])
def test_the_headers_of_a_real_encode_say_when_its_frames_are_shown(
    video: Callable[..., Path], waiting: str
) -> None:
    path = video("a.mp4", codec="mpeg4", frames=60, options={"bf": waiting, "g": "12"})
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = VopTimes(stream.codec_context.extradata)
        found = [
            (times.times_s(memoryview(packet)), packet.pts * packet.time_base)
            for packet in container.demux(stream)
            if packet.pts is not None and packet.time_base is not None
        ]
    origin = found[0][1] - found[0][0][0]
    assert [[time + origin for time in own] for own, _ in found] == [[pts] for _, pts in found]
