"""What an RTSP server says and sends over one connection, passed on whatever pieces it comes in."""

from __future__ import annotations

import struct
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from oneglance.streams.decoding.loss_marks import LossCount, find_marks
from oneglance.streams.live.rtsp.framing import RtspFraming

SDP = b"v=0\r\nm=audio 0 RTP/AVP 8\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H265/90000\r\n"
DESCRIBED = b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: %d\r\n\r\n" % len(SDP) + SDP
SETUP = b"RTSP/1.0 200 OK\r\nCSeq: 3\r\nTransport: RTP/AVP/TCP;unicast;interleaved=2-3\r\n\r\n"
SETUP_LF = SETUP.replace(b"\r\n", b"\n")
ALIVE = b"RTSP/1.0 200 OK\r\nCSeq: 9\r\n\r\n"


def interleaved(number: int, *, channel: int = 2) -> bytes:
    packet = struct.pack(">BBHII", 0x80, 96, number, 5, 7) + b"\x02\x01$RTSP/1.0 \r\n\r\n"
    return b"$" + bytes([channel]) + len(packet).to_bytes(2, "big") + packet


def passed(framing: RtspFraming, content: bytes, cuts: list[int]) -> bytes:
    edges = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    return b"".join(framing.pass_on(content[a:b]) for a, b in pairwise(edges))


@given(cuts=st.lists(st.integers(0, 600), max_size=8), setup=st.sampled_from([SETUP, SETUP_LF]))
def test_a_healthy_stream_is_passed_on_as_it_is_whatever_pieces_it_comes_in(
    cuts: list[int], setup: bytes
) -> None:
    content = DESCRIBED + setup + interleaved(1) + interleaved(2) + ALIVE + interleaved(3)
    assert passed(RtspFraming(LossCount()), content, cuts) == content


@given(cuts=st.lists(st.integers(0, 600), max_size=8))
def test_a_missing_packet_is_replaced_by_a_mark_at_its_place(cuts: list[int]) -> None:
    losses = LossCount()
    before, after = DESCRIBED + SETUP + interleaved(1), ALIVE + interleaved(3) + interleaved(4)
    out = passed(RtspFraming(losses), before + after, cuts)
    assert out.startswith(before + ALIVE)
    assert out.endswith(interleaved(3) + interleaved(4))
    between = out[len(before + ALIVE) : -len(interleaved(3) + interleaved(4))]
    assert between[:2] == b"$\2"
    assert int.from_bytes(between[2:4], "big") == len(between) - 4
    assert len(find_marks(between, "hevc")[1]) == losses.marked == 1


def test_other_channels_are_not_looked_at() -> None:
    content = DESCRIBED + SETUP + interleaved(1) + interleaved(7, channel=3) + interleaved(2)
    losses = LossCount()
    assert RtspFraming(losses).pass_on(content) == content
    assert losses == LossCount()


def test_heads_are_passed_on_as_they_were_changed() -> None:
    framing = RtspFraming(LossCount(), lambda head: head.replace(b"CSeq", b"cseq"))
    assert framing.pass_on(SETUP + interleaved(1)) == SETUP.replace(b"CSeq", b"cseq") + (
        interleaved(1)
    )


@given(junk=st.binary(min_size=1, max_size=300))
def test_whatever_a_server_sends_is_passed_on_or_waits_for_more(junk: bytes) -> None:
    framing = RtspFraming(LossCount())
    assert junk.startswith(framing.pass_on(junk))


def test_what_never_becomes_a_message_is_passed_on_all_the_same() -> None:
    framing, sent = RtspFraming(LossCount()), b""
    for _ in range(40):
        sent += framing.pass_on(b"x" * 10_000)
    assert sent == b"x" * 400_000
