"""MJPEG cameras that only browsers can play, made such that libav can.

What ``http.client`` fetches (compressed or not) is split into JPEGs by their markers and handed to
libav as the multipart stream that it should have been.
"""

from __future__ import annotations

import base64
import http.client
import io
import re
import selectors
import socket
import ssl
import time
import zlib
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote, urljoin, urlsplit

from oneglance.streams.live.connectivity import connected, proxy_of, wait
from oneglance.streams.live.jpeg_splitter import JpegSplitter

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

_CHUNK = 1 << 16
_MOST_REDIRECTS = 5
_FIRST_BYTES = 1 << 20
"""An MJPEG stream begins with an image within so many bytes."""


class SplitStream:
    """A file as libav reads one (``read``): the images behind an HTTP address, each a part of its
    own with its length.

    Each read waits ``timeout_s`` at most, and ends when this thread is cancelled.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        """Connect, and read up to the first image.

        Raises:
            OSError: no answer, a refusal, or no image at the beginning.
        """
        self._answer = _asked(url, timeout_s)
        coding = (self._answer.getheader("Content-Encoding") or "").lower()
        self._unpacked: Callable[[bytes], bytes] = (
            zlib.decompressobj(47).decompress if coding in {"gzip", "x-gzip", "deflate"} else bytes
        )
        self._splitter = JpegSplitter()
        self._ready = bytearray()
        try:
            self._read_first_image()
        except BaseException:
            self.close()
            raise

    def read(self, size: int) -> bytes:
        """``size`` bytes at most, as soon as there are any; none at the end."""
        while not self._ready and self._more():
            pass
        found = bytes(self._ready[:size])
        del self._ready[:size]
        return found

    def close(self) -> None:
        """Hang up."""
        self._answer.close()

    def _read_first_image(self) -> None:
        came = 0
        while not self._ready:
            content = self._more()
            came += len(content)
            if not content or came > _FIRST_BYTES:
                raise OSError("no image at the beginning")

    def _more(self) -> bytes:
        try:
            content = self._answer.read1(_CHUNK)
            for image in self._splitter.feed(self._unpacked(content)):
                head = (
                    f"--image\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
                )
                self._ready += head.encode() + image + b"\r\n"
        except (http.client.HTTPException, zlib.error) as error:
            raise OSError(type(error).__name__) from None
        return content


def _asked(url: str, timeout_s: float) -> http.client.HTTPResponse:
    """The answer to a GET, redirects followed.

    Raises:
        OSError: none, or not that there is anything.
    """
    try:
        return _followed(url, timeout_s)
    except (http.client.HTTPException, ValueError) as error:  # no HTTP, or an address that is none
        raise OSError(type(error).__name__) from None


def _followed(url: str, timeout_s: float) -> http.client.HTTPResponse:
    for _ in range(_MOST_REDIRECTS):
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or proxy_of(url):
            break
        port = parts.port or (443 if parts.scheme == "https" else 80)
        connection = connected(parts.hostname, port, timeout_s, private=parts.scheme == "https")
        try:
            connection.sendall(_question(url))
            patient = cast("socket.socket", _Patient(connection, timeout_s))
            answer = http.client.HTTPResponse(patient, method="GET")
            answer.begin()
        except BaseException:
            connection.close()
            raise
        if answer.status == http.client.OK:
            return answer
        there = answer.getheader("Location")
        answer.close()
        if there is None or answer.status // 100 != 3:
            break
        url = urljoin(url, there)
    raise OSError("no answer to be had")


def _question(url: str) -> bytes:
    parts = urlsplit(url)
    user_info, _, host = parts.netloc.rpartition("@")
    path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Accept: */*", "Connection: close"]
    if user_info:
        words = base64.b64encode(unquote(user_info).encode()).decode()
        lines.append(f"Authorization: Basic {words}")
    text = "\r\n".join(re.sub(r"[\r\n]", "", line) for line in lines)
    return f"{text}\r\n\r\n".encode("latin-1", "replace")


class _Patient:
    """What ``http.client`` takes for a socket: its file waits as ``connectivity.wait`` does."""

    def __init__(self, connection: socket.socket, timeout_s: float) -> None:
        self._connection, self._timeout_s = connection, timeout_s

    def makefile(self, *_: object, **__: object) -> io.BufferedReader:
        """For reading."""
        return io.BufferedReader(_Raw(self._connection, self._timeout_s))


class _Raw(io.RawIOBase):
    def __init__(self, connection: socket.socket, timeout_s: float) -> None:
        self._connection, self._timeout_s = connection, timeout_s

    def readable(self) -> bool:
        return True

    def readinto(self, target: Buffer) -> int:
        until_s = time.monotonic() + self._timeout_s
        while True:
            try:
                return self._connection.recv_into(target)
            except (BlockingIOError, ssl.SSLWantReadError):
                wait(self._connection, selectors.EVENT_READ, until_s)

    def close(self) -> None:
        self._connection.close()
        super().close()
