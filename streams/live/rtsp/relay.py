"""A way to an RTSP server on which lost packets are noticed.

libav connects to a port of this machine, and all that passes is handed on as it is, but for a mark
where RTP packets are missing (``rtp``). libav itself always speaks TCP, also where the server is
asked for datagrams: between here and libav nothing gets lost, and nothing overtakes anything. The
relay lives as long as libav's connection.
"""

from __future__ import annotations

import contextlib
import re
import selectors
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass
from urllib.parse import unquote

from oneglance.streams import shutdown
from oneglance.streams.decoding.loss_marks import LossCount
from oneglance.streams.live.connectivity import connected, wait
from oneglance.streams.live.rtsp.datagrams import DatagramWay, asked_channel
from oneglance.streams.live.rtsp.framing import ChangeHead, RtspFraming
from oneglance.streams.options import Transport

_PIECE = 1 << 18
"""Bytes read at once."""

_UNREAD = 1 << 16
"""Bytes that may wait for libav here: more would only be older."""

_DATAGRAMS_UNREAD = 1 << 23
"""The same where they come in datagrams, for which the system keeps little room."""

_GATHER_S = 0.001
"""Packets of a frame come in a burst: a moment later more are read at once."""

_LAST_WORDS_S = 10.0
"""Longest wait until libav has read what the server said before it left."""

_PORTS = {"rtsp": 554, "rtsps": 322}

_ADDRESS = re.compile(
    r"(?P<scheme>rtsps?)://(?P<user>[^/?#]*@)?(?P<host>\[[^\]/?#]*\]|[^/?#:@]*)(?::(?P<port>\d*))?"
    r"(?P<path>(?:[/?#].*)?)",
    re.IGNORECASE | re.DOTALL,
)
_REDIRECT = re.compile(rb"RTSP/\S+ 3\d\d")
_GRANTED = re.compile(rb"RTSP/\S+ 200")
_LOCATION = re.compile(rb"^(location:[ \t]*)(\S+)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Server:
    """``user`` ends with an @, where there is one."""

    host: str
    port: int
    private: bool
    user: str
    path: str

    @classmethod
    def of(cls, url: str) -> _Server | None:
        """The server of an address, as libav reads it; None: it cannot be read."""
        found = _ADDRESS.fullmatch(url)
        if found is None or not found["host"]:
            return None
        scheme = found["scheme"].lower()
        port = int(found["port"] or _PORTS[scheme])
        host = unquote(found["host"]).strip("[]")
        if not 0 < port < 1 << 16:
            return None
        return cls(host, port, scheme == "rtsps", found["user"] or "", found["path"])

    def through(self, port: int) -> str:
        """Its address by way of a port of this machine."""
        return f"rtsp://{self.user}127.0.0.1:{port}{self.path}"


class RtspRelay:
    """One client's way to a server. ``losses``: what was noticed so far."""

    def __init__(self, url: str, timeout_s: float, transport: str = Transport.TCP) -> None:
        """Connect to the server of ``url``, which must be one that libav could open; ``transport``:
        how the server is to send its packets.

        Raises:
            OSError: no connection. TimeoutError: not in time, or this thread was cancelled.
            ValueError: the address cannot be read, or this machine has no port for it.
        """
        server = _Server.of(url)
        if server is None:
            raise ValueError("no address of an RTSP server")
        self.losses = LossCount()
        self._timeout_s, self._transport = timeout_s, transport
        self._over = threading.Event()
        self._next: _Server | None = None
        upstream = connected(server.host, server.port, timeout_s, private=server.private)
        try:
            self._listener = socket.create_server(("127.0.0.1", 0), backlog=1)
        except OSError:
            upstream.close()
            raise ValueError("no port of this machine can be had") from None
        self._listener.settimeout(shutdown.GLANCE_S)
        self._port: int = self._listener.getsockname()[1]
        self.url = server.through(self._port)
        threading.Thread(
            target=self._run, args=(upstream,), name="oneglance-rtsp", daemon=True
        ).start()

    def close(self) -> None:
        """Wait for no client any more; one that is there is served until it leaves."""
        self._over.set()

    def _run(self, upstream: socket.socket) -> None:
        with self._listener, contextlib.suppress(OSError):
            while True:
                with upstream:
                    client = self._accepted()
                    with client:
                        _Connection(
                            client,
                            upstream,
                            self.losses,
                            self._redirected,
                            transport=self._transport,
                        ).run()
                server, self._next = self._next, None
                if server is None:
                    return
                upstream = connected(
                    server.host, server.port, self._timeout_s, private=server.private
                )

    def _accepted(self) -> socket.socket:
        until_s = time.monotonic() + self._timeout_s
        while not self._over.is_set() and time.monotonic() < until_s:
            with contextlib.suppress(TimeoutError):
                return self._listener.accept()[0]
        raise TimeoutError

    def _redirected(self, head: bytes) -> bytes:
        """The head of an answer; where it sends libav elsewhere, the way leads through here."""
        location = _LOCATION.search(head)
        if location is None or not _REDIRECT.match(head):
            return head
        server = _Server.of(location[2].decode("latin-1"))
        if server is None:
            return head
        self._next = server
        there = location[1] + server.through(self._port).encode("latin-1")
        return head[: location.start()] + there + head[location.end() :]


class _Connection:
    """Hands on what the one side sends to the other, until either leaves."""

    def __init__(
        self,
        client: socket.socket,
        server: socket.socket,
        losses: LossCount,
        change_head: ChangeHead,
        *,
        transport: str,
    ) -> None:
        self._client, self._server, self._transport = client, server, transport
        self._framing = RtspFraming(losses, lambda head: self._change_answer(change_head(head)))
        self._to_client, self._to_server = bytearray(), bytearray()
        self._ways: dict[int, DatagramWay] = {}  # by libav's channel
        self._latest: DatagramWay | None = None
        self._asks_to_play = self._plays = self._listens = False
        self._waiting: tuple[bool, bool] | None = None  # whether anything waits for either
        for side in (client, server):
            side.setblocking(False)
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNREAD)

    def run(self) -> None:
        """Serve until either side is gone.

        Raises:
            OSError: it went without taking its leave.
        """
        with selectors.DefaultSelector() as selector, contextlib.ExitStack() as ways:
            while True:
                ready = self._ready(selector)
                self._pass_datagrams(ready)
                if self._client in ready and not self._to_server:
                    came = _received(self._client)
                    if came == b"":
                        return
                    self._to_server += self._asked(came, ways) if came else b""
                if self._server in ready and not self._to_client:
                    time.sleep(_GATHER_S)
                    came = self._from_server()
                    if came == b"":
                        self._last_words()
                        return
                    self._to_client += self._framing.pass_on(came) if came else b""
                if self._to_server:
                    _send(self._server, self._to_server)
                if self._to_client:
                    _send(self._client, self._to_client)

    def _ready(self, selector: selectors.BaseSelector) -> list[object]:
        """Who has something to say, or takes something again."""
        waiting = (bool(self._to_client), bool(self._to_server))
        if waiting != self._waiting:
            # Who is not listened to has been heard faster than the other side takes it.
            self._waiting = waiting
            _watch(selector, self._client, reads=not self._to_server, writes=waiting[0])
            _watch(selector, self._server, reads=not self._to_client, writes=waiting[1])
        if self._plays and not self._listens:
            # Before it has its answer, libav passes over what comes.
            self._listens = True
            for way in self._ways.values():
                for each in way.sockets:
                    selector.register(each, selectors.EVENT_READ)
        # TLS may hold what the selector does not see.
        hidden = isinstance(self._server, ssl.SSLSocket) and self._server.pending() > 0
        is_heard = hidden and not self._to_client
        found = self._selected(selector, 0 if is_heard else None)
        return [*found, self._server] if is_heard else found

    def _selected(self, selector: selectors.BaseSelector, timeout_s: float | None) -> list[object]:
        ends = [way.until_s for way in self._ways.values() if way.until_s is not None]
        if ends:
            left_s = max(0.0, min(ends) - time.monotonic())
            timeout_s = left_s if timeout_s is None else min(timeout_s, left_s)
        return [key.fileobj for key, _ in selector.select(timeout_s)]

    def _asked(self, request: bytes, ways: contextlib.ExitStack) -> bytes:
        """libav's request; where datagrams are wanted, the server is asked for them."""
        self._asks_to_play |= request.startswith(b"PLAY ")
        channel = asked_channel(request)
        if channel is None or self._transport != Transport.UDP:
            return request
        before = self._ways.pop(channel, None)
        if before is not None:  # asked once more, with a password
            before.close()
        way = DatagramWay(channel, self._server, self._framing.new_track())
        ways.callback(way.close)
        self._ways[channel] = self._latest = way
        return way.request(request)

    def _change_answer(self, head: bytes) -> bytes:
        """The head of a server's answer as libav shall see it."""
        self._plays |= self._asks_to_play and _GRANTED.match(head) is not None
        return head if self._latest is None else self._latest.answer(head)

    def _pass_datagrams(self, ready: list[object]) -> None:
        for way in self._ways.values():
            if self._framing.is_lost:
                return  # nobody knows where something may be put between
            if any(side in ready for side in way.sockets):
                room = len(self._to_client) < _DATAGRAMS_UNREAD
                self._to_client += way.received(keep=room)
            self._to_client += way.overdue()

    def _from_server(self) -> bytes | None:
        try:
            return _received(self._server)
        except ConnectionResetError:
            # libav shall see that it was no leave-taking.
            self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise

    def _last_words(self) -> None:
        """What the server said before it went."""
        for way in self._ways.values():
            self._to_client += way.received() + way.rest()
        until_s = time.monotonic() + _LAST_WORDS_S
        while self._to_client and time.monotonic() < until_s:
            wait(self._client, selectors.EVENT_WRITE, until_s)
            _send(self._client, self._to_client)


def _watch(
    selector: selectors.BaseSelector, side: socket.socket, *, reads: bool, writes: bool
) -> None:
    events = selectors.EVENT_READ * reads | selectors.EVENT_WRITE * writes
    if side in selector.get_map():
        selector.unregister(side)
    if events:
        selector.register(side, events)


def _received(side: socket.socket) -> bytes | None:
    """What came; nothing at its end; None: nothing yet.

    Raises:
        OSError: it is gone.
    """
    try:
        return side.recv(_PIECE)
    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return None


def _send(side: socket.socket, content: bytearray) -> None:
    """Send of the content what can be sent now, and take it away.

    Raises:
        OSError: it is gone.
    """
    with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        del content[: side.send(content)]
