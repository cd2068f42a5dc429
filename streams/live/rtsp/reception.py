"""What a receiver of RTP says to its sender now and then (RFC 3550, 6.4.2).

Cameras that hear nothing of those they send datagrams to take them for gone. Pure: bytes in, bytes
out.
"""

from __future__ import annotations

import secrets
import struct

_HEADER = struct.Struct(">BBHII")
_RATE = 90_000
"""Ticks a second of every video's RTP clock."""

_EVERY_S = 5.0
_SENDER, _RECEIVER, _DESCRIPTION, _GOODBYE = 200, 201, 202, 203
_NAME = b"oneglance"
_LAPS = 1 << 16


def says_goodbye(content: bytes) -> bool:
    """Whether a sender takes its leave in this RTCP."""
    return any(kind == _GOODBYE for kind, _ in _parts(content))


class Reception:
    """How one stream of RTP is received so far. Times are of a monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._own = secrets.randbits(32)
        self._source: int | None = None
        self._first = self._highest = self._came = 0
        self._before = (0, 0)  # expected and received by the report before
        self._jitter = 0.0
        self._transit: float | None = None
        self._sender: tuple[int, float] | None = None  # its time stamp, and when that came
        self._next_s: float | None = None

    def greetings(self) -> tuple[bytes, bytes]:
        """An empty packet of RTP and one of RTCP."""
        return _HEADER.pack(0x80, 0, 0, 0, 0), struct.pack(">BBHI", 0x80, _RECEIVER, 1, self._own)

    def packet_came(self, packet: bytes, now_s: float) -> None:
        """A packet of RTP came."""
        if len(packet) < _HEADER.size or packet[0] >> 6 != 2:
            return
        _, _, number, stamp, source = _HEADER.unpack_from(packet)
        if source != self._source:
            self._source, self._first, self._highest, self._came = source, number, number, 0
            self._before, self._jitter, self._transit = (0, 0), 0.0, None
        self._came += 1
        ahead = (number - self._highest) % _LAPS
        self._highest += ahead if ahead < _LAPS // 2 else 0
        transit = now_s * _RATE - stamp
        if self._transit is not None:
            apart = abs(transit - self._transit) % (1 << 32)
            self._jitter += (min(apart, (1 << 32) - apart) - self._jitter) / 16
        self._transit = transit
        if self._next_s is None:
            self._next_s = now_s + _EVERY_S

    def report_came(self, content: bytes, now_s: float) -> None:
        """A packet of RTCP came."""
        for kind, part in _parts(content):
            if kind == _SENDER and len(part) >= 16:
                self._sender = (int.from_bytes(part[6:10], "big"), now_s)

    def report(self, now_s: float) -> bytes | None:
        """What is to be sent now; None: nothing yet."""
        if self._source is None or self._next_s is None or now_s < self._next_s:
            return None
        self._next_s = now_s + _EVERY_S
        expected = self._highest - self._first + 1
        lately, got = expected - self._before[0], self._came - self._before[1]
        self._before = (expected, self._came)
        share = min(255, max(0, (lately - got) * 256 // max(1, lately)))
        missing = min((1 << 23) - 1, max(0, expected - self._came))
        stamp, came_s = self._sender or (0, now_s)
        block = struct.pack(
            ">IIIIII",
            self._source,
            share << 24 | missing,
            self._highest & 0xFFFFFFFF,
            min(round(self._jitter), 0xFFFFFFFF),
            stamp,
            min(round((now_s - came_s) * 65536), 0xFFFFFFFF),
        )
        head = struct.pack(">BBHI", 0x81, _RECEIVER, 1 + len(block) // 4, self._own)
        return head + block + self._description()

    def _description(self) -> bytes:
        """Its name in the session, which every report carries (6.5.1)."""
        item = b"\1" + bytes((len(_NAME),)) + _NAME
        item += bytes(4 - len(item) % 4)
        head = struct.pack(">BBHI", 0x81, _DESCRIPTION, 1 + len(item) // 4, self._own)
        return head + item


def _parts(content: bytes) -> list[tuple[int, bytes]]:
    """The packets that travel together in one of RTCP: their kinds, and what follows their first
    word."""
    found, at = [], 0
    while at + 4 <= len(content) and content[at] >> 6 == 2:
        end = at + 4 * (1 + int.from_bytes(content[at + 2 : at + 4], "big"))
        found.append((content[at + 1], content[at + 4 : end]))
        at = end
    return found
