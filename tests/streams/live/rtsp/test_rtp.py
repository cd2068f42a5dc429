"""Gaps in RTP's sequence numbers, and the marks that stand for what is missing."""

from __future__ import annotations

import struct

from oneglance.streams.decoding.loss_marks import LossCount, LossMark, find_marks
from oneglance.streams.live.rtsp.rtp import RtpTrack


def packet(number: int, time: int, *, ends: bool = False, payload_type: int = 96) -> memoryview:
    head = struct.pack(">BBHII", 0x80, payload_type | ends << 7, number & 0xFFFF, time, 7)
    return memoryview(head + b"\x41payload")


def marks(*packets: memoryview, name: str = "H264") -> tuple[list[LossMark], LossCount]:
    losses = LossCount()
    track = RtpTrack({96: name}, losses)
    codec = {"H264": "h264", "H265": "hevc", "MP4V-ES": "mpeg4"}.get(name, "")
    found: list[LossMark] = []
    for one in packets:
        missing = track.missing_before(one)
        if missing is not None:
            found += find_marks(missing[12:], codec)[1]
    return found, losses


def test_a_healthy_stream_carries_no_mark_also_where_its_numbers_come_round() -> None:
    found, losses = marks(*(packet(number, number // 3) for number in range(65000, 66000)))
    assert (found, losses) == ([], LossCount())


def test_a_gap_inside_a_frame_is_marked_there() -> None:
    found, losses = marks(packet(65535, 5), packet(2, 5, ends=True), packet(3, 6))
    assert (found, losses.marked) == ([LossMark(inside=True, after=False, count=2)], 1)


def test_a_gap_behind_a_complete_frame_is_none_inside_it() -> None:
    assert marks(packet(1, 5, ends=True), packet(3, 6))[0] == [LossMark(inside=False, after=True)]
    assert marks(packet(1, 5), packet(3, 6))[0] == [LossMark(inside=True, after=True)]


def test_the_mark_comes_with_the_number_of_the_first_missing_packet_and_the_time_before() -> None:
    track = RtpTrack({96: "H265"}, LossCount())
    track.missing_before(packet(65535, 5))
    missing = track.missing_before(packet(3, 9))
    assert missing is not None
    assert struct.unpack_from(">BBHII", missing) == (0x80, 96, 0, 5, 7)


def test_packets_that_come_twice_or_too_late_are_no_gap() -> None:
    assert marks(packet(1, 5), packet(2, 5), packet(2, 5), packet(1, 5), packet(3, 5))[0] == []


def test_what_is_no_video_or_no_rtp_is_not_looked_at() -> None:
    rtcp = memoryview(b"\x80\xc8" + bytes(30))
    odd = (memoryview(b""), memoryview(b"\x80"), memoryview(bytes(20)), rtcp)
    audio = packet(900, 1, payload_type=97)
    assert marks(packet(1, 5), *odd, audio, packet(2, 5)) == ([], LossCount())


def test_of_a_coding_without_a_place_for_marks_losses_are_counted() -> None:
    assert marks(packet(1, 5), packet(3, 5), name="VP8") == ([], LossCount(unmarked=1))
