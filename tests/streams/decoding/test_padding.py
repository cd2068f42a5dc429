"""What lies behind the bytes of a packet that is made here."""

from __future__ import annotations

import ctypes

import pytest

from oneglance.streams.decoding.padding import packet_of

PADDING = 64
"""Bytes behind a packet that libav's decoders may read."""


@pytest.mark.parametrize("size", [1, 100, 2713, 100_000])
def test_libav_finds_zeros_behind_the_bytes_of_a_packet(size: int) -> None:
    for _ in range(50):
        junk = [bytes([0xFF]) * (size + number) for number in range(20)]
        del junk  # what the allocator gives next is not zero
        data = bytes(number % 256 for number in range(size))
        packet = packet_of(data)
        assert bytes(packet) == data
        assert not any(ctypes.string_at(packet.buffer_ptr + packet.buffer_size, PADDING))


def test_a_packet_of_nothing_is_empty() -> None:
    assert packet_of(b"").size == 0
