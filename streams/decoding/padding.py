"""Packets that are made here, not by a demuxer.

libav's decoders read some bytes beyond the end of a packet (``AV_INPUT_BUFFER_PADDING_SIZE``, 64),
and ask for zeros there. A packet that PyAV makes of bytes has whatever lies behind them in memory,
so a whole frame now and then came out as a damaged one.
"""

from __future__ import annotations

from typing import cast

from av import Packet
from av.video.stream import VideoStream


def packet_of(data: bytes) -> Packet[VideoStream]:
    """A packet of these bytes, with zeros behind them; without time, stream or flags.

    >>> bytes(packet_of(b"frame"))
    b'frame'
    """
    packet = cast("Packet[VideoStream]", Packet(len(data)))
    if data:
        packet.update(data)
    return packet
