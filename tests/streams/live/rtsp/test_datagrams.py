"""RTP over UDP: what comes out of order, twice, late or never."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneglance.streams.decoding.loss_marks import LossCount
from oneglance.streams.live.rtsp.datagrams import Reordering
from oneglance.streams.live.rtsp.rtp import RtpTrack


class Order:
    """A reordering with a clock of its own; marks come out as None."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.losses = LossCount()
        track = RtpTrack({96: "H265"}, self.losses)
        self.reordering = Reordering(track, clock=lambda: self.now_s)

    def put(self, *numbers: int) -> list[int | None]:
        return [number_of(packet) for each in numbers for packet in self.reordering.put(sent(each))]

    def overdue(self) -> list[int | None]:
        return [number_of(packet) for packet in self.reordering.overdue()]


def sent(number: int) -> bytes:
    return struct.pack(">BBHII", 0x80, 96, number & 0xFFFF, number // 3, 7) + b"\x02\x01payload"


def number_of(packet: bytes) -> int | None:
    return int.from_bytes(packet[2:4], "big") if packet.endswith(b"payload") else None


@given(seed=st.integers(0, 999), start=st.sampled_from([0, 7, 65500]))
def test_packets_that_overtake_each_other_come_in_order_and_nothing_is_marked(
    seed: int, start: int
) -> None:
    chance, numbers = random.Random(seed), list(range(start, start + 200))
    for at in range(1, 190, 9):
        part = numbers[at : at + 8]
        numbers[at : at + 8] = chance.sample(part, 8)
    order = Order()
    assert order.put(*numbers) == [number & 0xFFFF for number in range(start, start + 200)]
    assert order.losses.marked == 0


def test_one_that_never_comes_is_marked_once_the_others_have_waited_long_enough() -> None:
    order = Order()
    assert order.put(1, 2, 4, 5) == [1, 2]
    assert order.overdue() == []
    order.now_s = 0.09
    assert order.put(6) == []
    order.now_s = 0.2
    assert order.overdue() == [None, 4, 5, 6]
    assert order.put(3, 7) == [7]
    assert order.losses.marked == 1


def test_a_burst_waits_for_no_clock() -> None:
    order = Order()
    found = order.put(1, *range(3, 200))
    assert found == [1, None, *range(3, 200)]


@pytest.mark.parametrize("packet", [b"", b"\x80", bytes(11)])
def test_what_is_too_short_for_rtp_is_passed_over(packet: bytes) -> None:
    order = Order()
    assert list(order.reordering.put(packet)) == []
    assert order.put(1) == [1]


def test_two_that_come_twice_and_late_are_left_out() -> None:
    assert Order().put(5, 6, 6, 5, 7) == [5, 6, 7]
