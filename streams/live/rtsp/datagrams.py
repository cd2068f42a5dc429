"""RTP over UDP on its way through here: datagrams put in order, and marked where some are missing.

A camera sends to a pair of ports of ours, and what comes is passed on to libav's pair: RTP on the
even port, RTCP on the odd one (RFC 3550, 11).
"""

from __future__ import annotations

import contextlib
import errno
import re
import socket
import time
from collections.abc import Callable, Iterator

from oneglance.streams.live.rtsp.rtp import RtpTrack

_HELD_S = 0.1
"""Longest that others wait for a datagram that may have been overtaken."""
_HELD_PACKETS = 64

_BACKWARDS = 1 << 15
_BUFFER = 1 << 20
_LARGEST = 1 << 16
_DATAGRAMS = 64
"""Read in one go before others are looked after."""

_CLIENT_PORT = re.compile(rb"client_port=(\d+)(?:-(\d+))?", re.IGNORECASE)
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


class DatagramWay:
    """One RTP stream's way from a camera to libav."""

    def __init__(self, head: bytes, connection: socket.socket, track: RtpTrack) -> None:
        """``head``: of libav's request, which says where it listens. ``connection``: to the camera.

        Raises:
            OSError: no ports can be had.
        """
        asked = _CLIENT_PORT.search(head)
        first = int(asked[1]) if asked else 0
        self._libav = (first, int(asked[2]) if asked and asked[2] else first + 1)
        self._cameras = [str(connection.getpeername()[0])]
        self._camera_ports: tuple[int, int] | None = None
        self._outer = _pair(connection.family, str(connection.getsockname()[0]))
        self._inner = _pair(socket.AF_INET, "127.0.0.1")
        self._order = Reordering(track)

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """What is to be listened to; see ``ready``."""
        return (*self._outer, *self._inner)

    @property
    def until_s(self) -> float | None:
        """When ``pass_overdue`` is to be called."""
        return self._order.until_s

    def close(self) -> None:
        for each in self.sockets:
            each.close()

    def request(self, head: bytes) -> bytes:
        """libav's request as the camera shall see it."""
        rtp, rtcp = (side.getsockname()[1] for side in self._outer)
        return _CLIENT_PORT.sub(b"client_port=%d-%d" % (rtp, rtcp), head)

    def answer(self, head: bytes) -> bytes:
        """The camera's answer as libav shall see it."""
        found, source = _SERVER_PORT.search(head), _SOURCE.search(head)
        if source is not None:
            self._cameras.insert(0, source[1].decode("latin-1"))
        if found is not None:
            rtp = int(found[1])
            self._camera_ports = (rtp, int(found[2]) if found[2] else rtp + 1)
        rtp, rtcp = (side.getsockname()[1] for side in self._inner)
        head = _SERVER_PORT.sub(b"server_port=%d-%d" % (rtp, rtcp), _SOURCE.sub(b"", head))
        return _CLIENT_PORT.sub(b"client_port=%d-%d" % self._libav, head)

    def ready(self, side: socket.socket) -> None:
        """Pass on what came at one of the ``sockets``."""
        number = 0 if side in (self._outer[0], self._inner[0]) else 1
        if side is self._outer[1]:
            self.ready(self._outer[0])  # a farewell must not overtake what came before it
        for _ in range(_DATAGRAMS):
            try:
                content, sender = side.recvfrom(_LARGEST)
            except OSError:  # nothing more, or nobody listened to what was sent
                return
            if side in self._inner:
                self._to_camera(number, content)
            elif sender[0] in self._cameras:
                if number:
                    self._to_libav(1, content)
                else:
                    for packet in self._order.put(content):
                        self._to_libav(0, packet)

    def pass_overdue(self) -> None:
        """Wait no longer for datagrams that are late."""
        for packet in self._order.overdue():
            self._to_libav(0, packet)

    def _to_libav(self, number: int, content: bytes) -> None:
        with contextlib.suppress(OSError):
            self._inner[number].sendto(content, ("127.0.0.1", self._libav[number]))

    def _to_camera(self, number: int, content: bytes) -> None:
        if self._camera_ports is not None:
            with contextlib.suppress(OSError):
                place = (self._cameras[0], self._camera_ports[number])
                self._outer[number].sendto(content, place)


def _pair(family: int, host: str) -> tuple[socket.socket, socket.socket]:
    """Sockets at an even port and the one after it.

    Raises:
        OSError: there are none.
    """
    for _ in range(_DATAGRAMS):
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
