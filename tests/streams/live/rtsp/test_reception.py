"""What a camera that sends datagrams hears of its receiver."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneglance.streams.live.rtsp.reception import Reception, says_goodbye

SOURCE = 0xCAFE
RECEIVER, SENDER, GOODBYE = 201, 200, 203


def packet(number: int, stamp: int = 0, source: int = SOURCE) -> bytes:
    return struct.pack(">BBHII", 0x80, 96, number & 0xFFFF, stamp, source)


def block(report: bytes | None) -> tuple[int, int, int, int, int, int, int]:
    """Source, share lost, number lost, highest, jitter, sender's stamp, delay."""
    assert report is not None
    assert report[:2] == bytes((0x81, RECEIVER))
    source, lost, highest, jitter, stamp, delay = struct.unpack(">IIIIII", report[8:32])
    return source, lost >> 24, lost & 0xFFFFFF, highest, jitter, stamp, delay


def test_nothing_is_reported_before_anything_came_and_then_every_five_seconds() -> None:
    reception = Reception()
    assert reception.report(100.0) is None
    reception.packet_came(packet(1), 100.0)
    assert reception.report(104.9) is None
    assert reception.report(105.0) is not None
    assert reception.report(105.1) is None
    assert reception.report(110.0) is not None


def test_a_report_says_how_many_are_missing_in_all_and_which_share_of_late() -> None:
    reception = Reception()
    for number in range(65_530, 65_530 + 100):  # across the end of the numbers
        if number % 4:
            reception.packet_came(packet(number), 0.0)
    source, share, lost, highest, *_ = block(reception.report(9.0))
    assert (source, highest) == (SOURCE, 65_629)
    assert (share, lost) == (25 * 256 // 100, 25)
    for number in range(65_630, 65_640):
        reception.packet_came(packet(number), 10.0)
    assert block(reception.report(20.0))[1:3] == (0, 25)


def test_packets_as_even_as_their_clock_have_no_jitter() -> None:
    reception = Reception()
    for number in range(50):
        reception.packet_came(packet(number, (2**32 - 9000 + 3600 * number) % 2**32), number / 25)
    assert block(reception.report(9.0))[4] == 0
    reception.packet_came(packet(50, 171_000), 2.1)
    assert block(reception.report(15.0))[4] > 0


def test_a_report_answers_the_last_one_of_the_sender() -> None:
    reception = Reception()
    reception.packet_came(packet(1), 0.0)
    sender = struct.pack(">BBHIQIII", 0x80, SENDER, 6, SOURCE, 0x1111_2222_3333_4444, 0, 1, 12)
    reception.report_came(sender, 4.0)
    assert block(reception.report(6.5))[5:] == (0x2222_3333, round(2.5 * 65536))


def test_a_report_is_made_of_whole_words_and_names_its_receiver() -> None:
    reception = Reception()
    reception.packet_came(packet(1), 0.0)
    report = reception.report(5.0)
    assert report is not None
    lengths, at = [], 0
    while at < len(report):
        lengths.append(report[at + 1])
        at += 4 * (1 + int.from_bytes(report[at + 2 : at + 4], "big"))
    assert (lengths, at) == ([RECEIVER, 202], len(report))


@pytest.mark.parametrize("before", [b"", struct.pack(">BBHI", 0x80, RECEIVER, 1, 5)])
def test_a_goodbye_is_found_behind_other_reports(before: bytes) -> None:
    assert says_goodbye(before + struct.pack(">BBHI", 0x81, GOODBYE, 1, 5))
    assert not says_goodbye(before)


@given(st.binary(max_size=64))
def test_whatever_comes_is_no_error(content: bytes) -> None:
    reception = Reception()
    reception.packet_came(content, 0.0)
    reception.report_came(content, 0.0)
    says_goodbye(content)
    reception.report(9.0)
