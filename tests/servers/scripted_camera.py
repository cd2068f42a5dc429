"""An MJPEG camera over HTTP that does what a test's script says, on real sockets.

A script plays each connection: ``script(connection)`` sends frames, breaks things, and hangs up
by returning. The camera can be unplugged and plugged in again at the same address.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import cv2

from media import numbered_image

HEADER = (
    b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n"
    b"Connection: close\r\n\r\n"
)
TS_HEADER = b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n"


@cache
def jpeg(index: int, size: tuple[int, int] = (64, 48)) -> bytes:
    """Frame ``index`` of ``media.numbered_image`` as JPEG."""
    return cv2.imencode(".jpg", numbered_image(index, size))[1].tobytes()


class Connection:
    """What a script may do to one client."""

    def __init__(self, camera: ScriptedCamera, client: socket.socket, number: int) -> None:
        self.number = number
        self._camera, self._client = camera, client
        self._greeted = False

    def frame(self, index: int, size: tuple[int, int] = (64, 48)) -> None:
        """Send one whole image."""
        self.part(jpeg(index % 25, size))
        self._camera.sent += 1

    def part(self, content: bytes, *, claimed: int | None = None) -> None:
        """Send one part, whatever is in it; ``claimed``: the length its head claims."""
        length = len(content) if claimed is None else claimed
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n"
        self.raw(head.encode() + content + (b"\r\n" if length == len(content) else b""))

    def raw(self, content: bytes, *, header: bytes = HEADER) -> None:
        """Send bytes as they are; before the first, the header."""
        self._client.sendall(content if self._greeted else header + content)
        self._greeted = True

    def play(self, frames: int | None = None, *, fps: float = 50, first: int = 0) -> None:
        """Send frames at a steady pace, for ever by default."""
        start_s, index = time.monotonic(), 0
        while (frames is None or index < frames) and not self._camera.over.is_set():
            self.frame(first + index)
            index += 1
            self.wait(start_s + index / fps - time.monotonic())

    def wait(self, seconds: float) -> None:
        self._camera.over.wait(max(0.0, seconds))

    def silence(self) -> None:
        """Say nothing until the test is over or the client has gone."""
        while not self._camera.over.is_set():
            self._client.settimeout(0.05)
            try:
                if not self._client.recv(1):
                    return
            except TimeoutError:
                continue

    def reset(self) -> None:
        """Hang up as a crashed host does: RST and no FIN."""
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._client.close()


Script = Callable[[Connection], None]


class ScriptedCamera:
    """``url``: its address. ``connections``: how many clients came. ``sent``: whole frames."""

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self._tls = tls
        self.over = threading.Event()
        self.connections = self.sent = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._clients: list[socket.socket] = []
        self._listen()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/live"

    def unplug(self) -> None:
        """Hang up on everybody and listen no more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in self._clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def plug_in(self, script: Script | None = None) -> None:
        """Be there again, at the same address."""
        self.script = script or self.script
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listen()

    def _listen(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self._clients = [c for c in self._clients if c.fileno() >= 0] + [client]
            number, self.connections = self.connections, self.connections + 1
            threading.Thread(target=self._serve, args=(client, number), daemon=True).start()

    def _serve(self, client: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), client:  # the client has gone, or we were unplugged
            client.settimeout(5)
            if self._tls is None:
                self._answer(client, number)
                return
            with self._tls.wrap_socket(client, server_side=True) as private:
                self._answer(private, number)

    def _answer(self, client: socket.socket, number: int) -> None:
        client.recv(4096)
        self.script(Connection(self, client, number))


@contextmanager
def scripted_camera(script: Script) -> Iterator[ScriptedCamera]:
    """A camera whose every connection is played by ``script``; unplugged at the end."""
    camera = ScriptedCamera(script)
    try:
        yield camera
    finally:
        camera.over.set()
        camera.unplug()


def steady(connection: Connection) -> None:
    """A healthy camera: 50 frames a second for ever."""
    connection.play()


def says(content: bytes, *, then_silent: bool = False) -> Callable[[Connection], None]:
    """What a camera does that says ``content`` as it is, and then hangs up or is silent."""

    def script(connection: Connection) -> None:
        connection.raw(content, header=b"")
        if then_silent:
            connection.silence()

    return script
