"""Where RTP packets were lost, by their sequence numbers (RFC 3550, 5.1).

libav's reader goes on after a gap without a word, its decoders conceal what is missing, and that
of H.265 does not even say so. So a lost packet is replaced by one that carries a mark.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from oneglance.streams.decoding.loss_marks import LossCount, LossMark, can_mark, coded_mark

_HEADER = struct.Struct(">BBHII")

_LONGEST_GAP = 3000
"""Packets from which on numbers start anew and none is missing (RFC 3550, A.1)."""

CODECS = {"H264": "h264", "H265": "hevc", "HEVC": "hevc", "MP4V-ES": "mpeg4"}
"""From the names of the payloads that can carry marks to libav's."""


@dataclass(slots=True)
class _Last:
    number: int
    time: int
    ends_frame: bool


class RtpTrack:
    """The packets of one RTP stream, in the order in which they come."""

    def __init__(self, codecs: dict[int, str], losses: LossCount) -> None:
        """``codecs``: of which video each payload type is, by its payload's name. ``losses`` is
        kept up to date."""
        self._codecs, self._losses = codecs, losses
        self._last: _Last | None = None

    def missing_before(self, packet: memoryview) -> bytes | None:
        """A packet that stands for those that are missing before this one, if any are."""
        if len(packet) < _HEADER.size or packet[0] >> 6 != 2 or 192 <= packet[1] <= 223:
            return None  # no RTP, or RTCP
        _, second, number, time, source = _HEADER.unpack_from(packet)
        name = self._codecs.get(second & 127)
        if name is None:
            return None
        last, self._last = self._last, _Last(number, time, bool(second & 128))
        gap = 0 if last is None else (number - last.number - 1) & 0xFFFF
        if last is None or gap == 0:
            return None
        if gap >= 0x10000 - _LONGEST_GAP:  # one that comes twice or too late
            self._last = last
            return None
        codec = CODECS.get(name, "")
        if not can_mark(codec):
            self._losses.unmarked += 1
            return None
        self._losses.marked += 1
        same = time == last.time
        mark = LossMark(inside=same or not last.ends_frame, after=not same, count=gap)
        # With the time of what came before, it becomes part of that frame.
        header = _HEADER.pack(0x80, second & 127, (last.number + 1) & 0xFFFF, last.time, source)
        return header + coded_mark(mark, codec)
