"""Servers that fall silent, each at another point of a connection, on real sockets.

``silent("options")`` gives the address of one, and ``has_fallen_silent`` says whether somebody
waits there; ``sockets_to`` says which sockets of this process are connected, or on their way, to
such an address.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import takewhile
from urllib.parse import urlsplit

import psutil

from scripted_camera import Connection, jpeg, scripted_camera

_SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track\r\n"
)
_RTSP = {
    "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n\r\n",
    "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(_SDP)}\r\n\r\n{_SDP}",
    "SETUP": "Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n",
    "PLAY": "Session: 1\r\n\r\n",
}


_waited_for: set[int] = set()
"""Ports where a client has had all that it will get."""


def _headers(connection: Connection) -> None:
    connection.raw(b"")


def _half(connection: Connection) -> None:
    connection.part(jpeg(0)[:100], claimed=5000)


def _frames(connection: Connection) -> None:
    connection.play(5)


@contextmanager
def _accepting(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server that calls ``serve`` for each client, in a thread of its own."""

    def accept() -> None:
        with contextlib.suppress(OSError):  # the test is over
            while True:
                threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield server.getsockname()[1]
        finally:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)


@contextmanager
def _says_nothing(scheme: str) -> Iterator[str]:
    def serve(client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            while client.recv(4096):
                _waited_for.add(client.getsockname()[1])

    with _accepting(serve) as port:
        yield f"{scheme}://127.0.0.1:{port}/x"


@contextmanager
def _http(script: Callable[[Connection], None]) -> Iterator[str]:
    def played(connection: Connection) -> None:
        script(connection)
        _waited_for.add(camera.port)
        connection.silence()

    with scripted_camera(played) as camera:
        yield camera.url


@contextmanager
def _rtsp(last: str) -> Iterator[str]:
    """Answers the requests up to ``last``, and none after it."""
    answered = list(_RTSP)[: list(_RTSP).index(last) + 1]

    def serve(client: socket.socket) -> None:
        # A client that is cancelled goes away at any moment, with or without a word.
        with (
            contextlib.suppress(OSError),
            client,
            client.makefile("rw", newline="") as talk,
        ):
            for method in answered:
                head = list(takewhile(lambda line: line != "\r\n", talk))
                if not head or head[0].startswith("TEARDOWN"):
                    return
                number = next(line for line in head if line.startswith("CSeq"))
                assert head[0].startswith(method), head
                talk.write(f"RTSP/1.0 200 OK\r\n{number}{_RTSP[method]}")
                talk.flush()
            _waited_for.add(client.getsockname()[1])
            talk.read()

    with _accepting(serve) as port:
        yield f"rtsp://127.0.0.1:{port}/x"


@contextmanager
def _nobody_accepts(scheme: str) -> Iterator[str]:
    """A host whose queue is full: it answers no SYN, as one that is away does."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        port = server.getsockname()[1]
        _waited_for.add(port)
        yield f"{scheme}://127.0.0.1:{port}/x"


@contextmanager
def _nobody_sends() -> Iterator[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    _waited_for.add(port)
    yield f"udp://127.0.0.1:{port}"


SILENCES: dict[str, Callable[[], contextlib.AbstractContextManager[str]]] = {
    "rtsp": lambda: _says_nothing("rtsp"),
    "http": lambda: _says_nothing("http"),
    "rtsps": lambda: _says_nothing("rtsps"),
    "https": lambda: _says_nothing("https"),
    "rtsp not accepted": lambda: _nobody_accepts("rtsp"),
    "https not accepted": lambda: _nobody_accepts("https"),
    "udp": _nobody_sends,
    "after OPTIONS": lambda: _rtsp("OPTIONS"),
    "after DESCRIBE": lambda: _rtsp("DESCRIBE"),
    "after PLAY": lambda: _rtsp("PLAY"),
    "after HTTP headers": lambda: _http(_headers),
    "half an image": lambda: _http(_half),
    "after five images": lambda: _http(_frames),
}
"""Where a connection may fall silent."""


@contextmanager
def silent(where: str) -> Iterator[str]:
    """The address of a server that is silent from there on; see ``SILENCES``."""
    with SILENCES[where]() as url:
        yield url
    _waited_for.discard(urlsplit(url).port or 0)


def has_fallen_silent(url: str) -> bool:
    """Whether somebody has had all that the server at ``url`` will ever say."""
    return urlsplit(url).port in _waited_for


def sockets_to(url: str, process: int | None = None) -> set[int]:
    """Descriptors of a process's sockets to the host of ``url`` (of UDP: at its port).

    ``process``: its number; None: this one.
    """
    port = urlsplit(url).port
    return {
        found.fd
        for found in psutil.Process(process).net_connections("inet4")
        if (found.raddr and found.raddr.port == port)
        or (found.type == socket.SOCK_DGRAM and found.laddr.port == port)
    }


def our_threads() -> list[str]:
    """Names of the project's threads that are alive."""
    return [t.name for t in threading.enumerate() if t.name.startswith("oneglance-")]
