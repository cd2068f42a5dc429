"""RTP over UDP on its way through here: datagrams put in order, and marked where some are missing.

A camera sends to a pair of ports of ours, RTP to the even one and RTCP to the odd one (RFC 3550,
11). libav gets all of it between the messages of its connection (RFC 2326, 10.12): two ports of
its own could overflow unseen, and of them it reads RTCP first, so that a farewell would overtake
the last packets.
"""

from __future__ import annotations

import contextlib
import errno
import re
import socket
import time
from collections.abc import Callable, Iterator

from oneglance.streams.live.rtsp.reception import Reception, says_goodbye
from oneglance.streams.live.rtsp.rtp import RtpTrack

_HELD_S = 0.1
"""Longest that others wait for a datagram that may have been overtaken."""
_HELD_PACKETS = 64

_BACKWARDS = 1 << 15
_BUFFER = 1 << 20
_LARGEST = 1 << 16
_DATAGRAMS = 1 << 12
"""Read in one go before others are looked after: more than the system keeps."""
_TRIES = 64

_LINES = re.IGNORECASE | re.MULTILINE
_INTERLEAVED = re.compile(rb"RTP/AVP/TCP([^\r\n]*?);interleaved=(\d+)-\d+", re.IGNORECASE)
_TRANSPORT = re.compile(rb"^transport:[^\r\n]*(?:client|server)_port=[^\r\n]*", _LINES)
_SERVER_PORT = re.compile(rb"server_port=(\d+)(?:-(\d+))?", re.IGNORECASE)
_SOURCE = re.compile(rb";[ \t]*source=([^;,\s]+)", re.IGNORECASE)


class Reordering:
    """RTP packets in the order of their numbers; those that never come are marked."""

    def __init__(self, track: RtpTrack, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._track, self._clock = track, clock
        self._next: int | None = None
        self._held: dict[int, bytes] = {}
        self.until_s: float | None = None
        """When what waits is to be given out, by ``overdue``."""

    def put(self, packet: bytes) -> Iterator[bytes]:
        """What may be passed on by now, in order."""
        if len(packet) < 12:
            return
        number = int.from_bytes(packet[2:4], "big")
        ahead = 0 if self._next is None else (number - self._next) & 0xFFFF
        if ahead >= _BACKWARDS:
            return  # twice, or too late
        self._held[number] = packet
        if ahead == 0:
            self._next = number
        elif self.until_s is None:
            self.until_s = self._clock() + _HELD_S
        if len(self._held) > _HELD_PACKETS:
            self._skip()
        yield from self._in_order()

    def overdue(self) -> Iterator[bytes]:
        """What has waited long enough for others."""
        while self.until_s is not None and self._clock() >= self.until_s:
            self._skip()
            yield from self._in_order()

    def rest(self) -> Iterator[bytes]:
        """What still waits for others: nothing comes any more."""
        while self._held:
            self._skip()
            yield from self._in_order()

    def _skip(self) -> None:
        start = self._next or 0
        self._next = min(self._held, key=lambda number: (number - start) & 0xFFFF)

    def _in_order(self) -> Iterator[bytes]:
        before = self._next
        while self._next is not None and self._next in self._held:
            packet = self._held.pop(self._next)
            missing = self._track.missing_before(memoryview(packet))
            if missing is not None:
                yield missing
            yield packet
            self._next = (self._next + 1) & 0xFFFF
        if not self._held:
            self.until_s = None
        elif self._next != before:
            self.until_s = self._clock() + _HELD_S


def asked_channel(request: bytes) -> int | None:
    """The channel on which libav asks to be sent a stream; None: it asks for something else."""
    found = _INTERLEAVED.search(request) if request.startswith(b"SETUP") else None
    return None if found is None else int(found[2])


class DatagramWay:
    """One RTP stream's way from a camera to libav."""

    def __init__(
        self,
        channel: int,
        connection: socket.socket,
        track: RtpTrack,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``channel``: on which libav gets its packets, and on the next one its RTCP.
        ``connection``: to the camera.

        Raises:
            OSError: no ports can be had.
        """
        self._channel, self._clock = channel, clock
        self._cameras = [str(connection.getpeername()[0])]
        self._camera_ports: tuple[int, int] | None = None
        self._sides = _pair(connection.family, str(connection.getsockname()[0]))
        self._order = Reordering(track, clock=clock)
        self._reception = Reception()
        self._farewell: tuple[float, bytes] | None = None

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """What is to be listened to; see ``received``."""
        return self._sides

    @property
    def until_s(self) -> float | None:
        """When ``overdue`` is to be called."""
        if self._farewell is None or self._order.until_s is not None:
            return self._order.until_s
        return self._farewell[0]

    def close(self) -> None:
        for each in self._sides:
            each.close()

    def request(self, head: bytes) -> bytes:
        """libav's request as the camera shall see it."""
        rtp, rtcp = (side.getsockname()[1] for side in self._sides)
        return _INTERLEAVED.sub(rb"RTP/AVP/UDP\1;client_port=%d-%d" % (rtp, rtcp), head)

    def answer(self, head: bytes) -> bytes:
        """The head of the camera's answer as libav shall see it."""
        transport = _TRANSPORT.search(head)
        if transport is None:
            return head
        found, source = _SERVER_PORT.search(transport[0]), _SOURCE.search(transport[0])
        if source is not None:
            self._cameras.insert(0, source[1].decode("latin-1"))
        if found is not None:
            rtp = int(found[1])
            self._camera_ports = (rtp, int(found[2]) if found[2] else rtp + 1)
            self._open_firewalls()
        channels = (self._channel, self._channel + 1)
        seen = b"Transport: RTP/AVP/TCP;unicast;interleaved=%d-%d" % channels
        return head[: transport.start()] + seen + head[transport.end() :]

    def received(self, *, keep: bool = True) -> bytes:
        """For libav, what came; unless it is to be kept, it is read and thrown away."""
        # What was sent before a farewell must not be overtaken by it.
        came = [packet for content in self._read(0) for packet in self._put(content, keep=keep)]
        pieces = [self._framed(0, packet) for packet in came]
        for content in self._read(1):
            self._reception.report_came(content, self._clock())
            if says_goodbye(content):
                self._farewell = (self._clock() + _HELD_S, content)
            else:
                pieces.append(self._framed(1, content))
        report = self._reception.report(self._clock())
        if report is not None:
            self._to_camera(1, report)
        return b"".join(pieces)

    def overdue(self) -> bytes:
        """For libav, what has waited long enough for other datagrams."""
        pieces = [self._framed(0, packet) for packet in self._order.overdue()]
        if self._farewell is not None and self._clock() >= self._farewell[0]:
            pieces.append(self.rest())
        return b"".join(pieces)

    def rest(self) -> bytes:
        """For libav, all that is left: nothing comes any more."""
        pieces = [self._framed(0, packet) for packet in self._order.rest()]
        if self._farewell is not None:
            pieces.append(self._framed(1, self._farewell[1]))
            self._farewell = None
        return b"".join(pieces)

    def _put(self, content: bytes, *, keep: bool) -> Iterator[bytes]:
        if not keep:
            return
        self._reception.packet_came(content, self._clock())
        yield from self._order.put(content)

    def _read(self, number: int) -> Iterator[bytes]:
        """The datagrams of the camera that wait at one of the sockets."""
        for _ in range(_DATAGRAMS):
            try:
                content, sender = self._sides[number].recvfrom(_LARGEST)
            except OSError:  # nothing more, or nobody listened to what was sent
                return
            if sender[0] in self._cameras:
                yield content

    def _framed(self, number: int, content: bytes) -> bytes:
        return b"$%c%b%b" % (self._channel + number, len(content).to_bytes(2, "big"), content)

    def _open_firewalls(self) -> None:
        """Let those on the way learn that answers from the camera's ports are wanted."""
        for number, content in enumerate(self._reception.greetings()):
            self._to_camera(number, content)

    def _to_camera(self, number: int, content: bytes) -> None:
        if self._camera_ports is not None:
            with contextlib.suppress(OSError):
                place = (self._cameras[0], self._camera_ports[number])
                self._sides[number].sendto(content, place)


def _pair(family: int, host: str) -> tuple[socket.socket, socket.socket]:
    """Sockets at an even port and the one after it.

    Raises:
        OSError: there are none.
    """
    for _ in range(_TRIES):
        rtp = socket.socket(family, socket.SOCK_DGRAM)
        rtcp = socket.socket(family, socket.SOCK_DGRAM)
        try:
            rtp.bind((host, 0))
            port = rtp.getsockname()[1]
            if port % 2 == 0:
                rtcp.bind((host, port + 1))
                for side in (rtp, rtcp):
                    side.setblocking(False)
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
                return rtp, rtcp
        except OSError:
            pass
        rtp.close()
        rtcp.close()
    raise OSError(errno.EADDRINUSE, "no two ports in a row")
