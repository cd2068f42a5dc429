"""HTTP answers that are read here and not by libav, which does not say how one ended.

Where a server gives no length, its answer ends with a last chunk, or when it hangs up. libav takes
one that breaks off before its last chunk for one that ended (RFC 9112, 7.1 and 8).
"""

from __future__ import annotations

import base64
import errno
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

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

_MOST_REDIRECTS = 5

_PACKED = frozenset(("gzip", "x-gzip", "deflate"))
_LONGEST_TAIL = 256
"""Bytes: a boundary has 70 characters at most (RFC 2046, 5.1.1)."""

_BROKEN_OFF = "the server broke off before the end of its answer"
_HUNG_UP = "the server hung up, which may be the end: it had announced none"


class HttpAnswer:
    """A file as libav reads one (``read``): what lies behind an HTTP address, from the beginning.

    Reading never fails: what is wrong looks like the end, so that nothing is lost of what came
    before, and ``failure`` says it then. Each read waits ``timeout_s`` at most, and ends when this
    thread is cancelled.
    """

    def __init__(self, url: str, timeout_s: float, *, unpacks: bool = False) -> None:
        """Connect, and read the head of the answer. ``unpacks``: one that is packed, too.

        Raises:
            OSError: no answer, a refusal, or one that is packed.
        """
        self._answer = asked(url, timeout_s)
        coding = self._answer.getheader("Content-Encoding", "identity").lower()
        self._unpacked: Callable[[bytes], bytes] | None = None
        if coding != "identity":
            if not unpacks:
                self._answer.close()
                raise OSError("packed")
            if coding in _PACKED:
                self._unpacked = zlib.decompressobj(47).decompress
        self._has_end = self._answer.chunked or self._answer.length is not None
        self.boundary = boundary_of(self._answer)
        self._tail = b""
        self._is_read = False
        self.failure: OSError | None = None
        """What came instead of an end that was announced. EIO: no end was, so that hanging up may
        be one. TimeoutError: silence."""

    def read(self, size: int) -> bytes:
        """``size`` bytes at most, as soon as there are any (more of what was packed); none at the
        end."""
        if self._unpacked is None:
            return self._read(size)
        while packed := self._read(size):
            try:
                content = self._unpacked(packed)
            except zlib.error as error:
                why = f"what the server packed is damaged ({type(error).__name__})"
                self.failure = OSError(errno.EBADMSG, why)
                break
            if content:
                return self._noted(content)
        return b""

    def _read(self, size: int) -> bytes:
        if self.failure is not None or self._answer.isclosed():
            return b""
        try:
            content = self._answer.read1(size)
        except http.client.HTTPException:
            content, self.failure = b"", ConnectionResetError(errno.ECONNRESET, _BROKEN_OFF)
        except OSError as error:
            content, self.failure = b"", error
        if self._unpacked is None:
            self._noted(content)
        if not content and self.failure is None:
            if not self._has_end:
                if not closes(self._tail, self.boundary):
                    self.failure = OSError(errno.EIO, _HUNG_UP)
            elif self._answer.length:
                self.failure = ConnectionResetError(errno.ECONNRESET, _BROKEN_OFF)
            self._is_read = True
        return content

    @property
    def is_over(self) -> bool:
        """Whether it was read to an end that it had announced."""
        return self.failure is None and (self._is_read or self._answer.isclosed())

    def _noted(self, content: bytes) -> bytes:
        if self.boundary is not None:
            self._tail = (self._tail + content)[-_LONGEST_TAIL:]
        return content

    def close(self) -> None:
        """Hang up."""
        self._answer.close()


def boundary_of(answer: http.client.HTTPResponse) -> bytes | None:
    """What lies between the parts of an answer that consists of parts; None: it does not."""
    if not answer.headers.get_content_type().startswith("multipart/"):
        return None
    found = answer.headers.get_boundary()
    return None if found is None else found.encode("latin-1", "replace")


def closes(tail: bytes, boundary: bytes | None) -> bool:
    """Whether an answer of parts ends with what says that no more follow (RFC 2046, 5.1.1).

    Cameras write the two dashes in front also where they declare the boundary.

    >>> closes(b"...\\r\\n--frame--\\r\\n", b"frame"), closes(b"...\\r\\n--frame\\r\\n", b"--frame")
    (True, False)
    """
    if boundary is None or not (core := boundary.strip(b"-")):
        return False
    return tail.rstrip().endswith(b"--" + core + b"--")


def asked(url: str, timeout_s: float) -> http.client.HTTPResponse:
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
