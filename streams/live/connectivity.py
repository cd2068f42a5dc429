"""Why a host could not be reached, found out and not guessed.

libav reports "input/output error" for an unknown name, an unreachable host and a failed handshake
alike. Connecting once more, a step at a time, distinguishes them.
"""

from __future__ import annotations

import errno
import os
import re
import selectors
import socket
import ssl
import time
from urllib.parse import urljoin, urlsplit

import av

from oneglance.streams import shutdown
from oneglance.streams.errors import (
    Reason,
    SourceNotFound,
    SourceStalled,
    SourceUnreadable,
    StreamError,
    cause,
)
from oneglance.streams.live.cancellation import is_cancelled
from oneglance.streams.redaction import redact_address

_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
_TLS = frozenset({"rtsps", "https"})

_MOST_REDIRECTS = 9
"""More than libav follows."""

_LONGEST_HEAD = 1 << 16
"""Bytes before the answer itself."""

# The first that fits; all are OSErrors.
_FAILURES: tuple[tuple[type[OSError], Reason], ...] = (
    (socket.gaierror, Reason.NOT_FOUND),
    (ssl.SSLError, Reason.TLS),
    (ConnectionRefusedError, Reason.REFUSED),
    (TimeoutError, Reason.TIMEOUT),
    (OSError, Reason.UNREACHABLE),
)


def why_unreachable(url: str, timeout_s: float) -> Reason:
    """What goes wrong on the way to the host of ``url``; UNKNOWN when nothing does.

    Each step waits ``timeout_s`` at most, and ends when this thread is cancelled; a name server
    alone has a time-out of its own.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return Reason.UNKNOWN
    if not host or not port:
        return Reason.UNKNOWN
    try:
        connected(host, port, timeout_s, private=parts.scheme in _TLS).close()
    except OSError as error:
        return next(reason for error_type, reason in _FAILURES if isinstance(error, error_type))
    return Reason.UNKNOWN


def proxy_of(url: str) -> str | None:
    """The proxy that libav asks for ``url``, as its variable has it; None: it goes there itself.

    libav knows ``http_proxy``, for TLS too, and ``no_proxy``: names, ``*``, or ends of names.
    """
    parts = urlsplit(url)
    proxy = os.environ.get("http_proxy", "")
    if parts.scheme not in {"http", "https"} or not proxy.startswith("http://"):
        return None
    host = parts.hostname or ""
    for name in re.split("[ ,]+", os.environ.get("no_proxy", "")):
        ending = name.removeprefix("*").removeprefix(".").lower()
        if name == "*" or (ending and (host == ending or host.endswith(f".{ending}"))):
            return None
    return proxy


def is_endless_redirect(url: str, timeout_s: float) -> bool:
    """Whether ``url`` leads to itself, or from one address to the next without end."""
    try:
        return _redirected(url, timeout_s)[1]
    except (OSError, ValueError):
        return False


def redirected(url: str, timeout_s: float) -> str:
    """Where redirects lead from ``url``; itself where none does, or nobody answers."""
    try:
        return _redirected(url, timeout_s)[0]
    except (OSError, ValueError):
        return url


def _redirected(url: str, timeout_s: float) -> tuple[str, bool]:
    """Where redirects lead, and whether they go on without end.

    Raises:
        OSError, ValueError: the way breaks off.
    """
    until_s = time.monotonic() + timeout_s
    for _ in range(_MOST_REDIRECTS):
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            return url, False
        answer = _head(url, until_s - time.monotonic())
        found = re.search(rb"^location:[ \t]*([^\r\n]+)", answer, re.IGNORECASE | re.MULTILINE)
        if found is None or not re.match(rb"HTTP/[\d.]+ 3\d\d", answer):
            return url, False
        url = urljoin(url, found[1].decode("latin-1").strip())
    return url, True


def _head(url: str, timeout_s: float) -> bytes:
    """How a server begins its answer."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    question = f"GET {path} HTTP/1.0\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n\r\n"
    until_s = time.monotonic() + timeout_s
    found = b""
    port, private = parts.port or _PORTS[parts.scheme], parts.scheme in _TLS
    with connected(parts.hostname, port, timeout_s, private=private) as connection:
        connection.send(question.encode("latin-1", "replace"))
        while b"\r\n\r\n" not in found and len(found) < _LONGEST_HEAD:
            try:
                came = connection.recv(4096)
            except (BlockingIOError, ssl.SSLWantReadError):
                wait(connection, selectors.EVENT_READ, until_s)
                continue
            if not came:
                break
            found += came
    return found.partition(b"\r\n\r\n")[0]


def connected(host: str, port: int, timeout_s: float, *, private: bool) -> socket.socket:
    """A connection that does not block; ``private``: by TLS.

    Raises:
        OSError: there is none. TimeoutError: not in time.
    """
    connection = _connected(host, port, timeout_s)
    return _private(connection, host, timeout_s) if private else connection


def _connected(host: str, port: int, timeout_s: float) -> socket.socket:
    """A connection to the first of the host's addresses that takes one."""
    failure = OSError()
    for family, socket_type, protocol, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        try:
            connection = socket.socket(family, socket_type, protocol)
        except OSError as error:  # a family that this machine does not speak
            failure = error
            continue
        try:
            connection.setblocking(False)
            code = connection.connect_ex(address)
            if code in (errno.EINPROGRESS, errno.EWOULDBLOCK):
                wait(connection, selectors.EVENT_WRITE, time.monotonic() + timeout_s)
                code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure


def _private(connection: socket.socket, host: str, timeout_s: float) -> ssl.SSLSocket:
    """``connection``, after the handshake of TLS."""
    # As tolerant as libav: whose certificate it is, is not the question here.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    until_s = time.monotonic() + timeout_s
    private = context.wrap_socket(connection, server_hostname=host, do_handshake_on_connect=False)
    try:
        while True:
            try:
                private.do_handshake()
                return private
            except ssl.SSLWantReadError:
                wait(private, selectors.EVENT_READ, until_s)
            except ssl.SSLWantWriteError:
                wait(private, selectors.EVENT_WRITE, until_s)
    except BaseException:
        private.close()
        raise


def wait(connection: socket.socket, event: int, until_s: float) -> None:
    """Return when ``connection`` is ready.

    Raises:
        TimeoutError: it is not until then, or this thread was cancelled.
    """
    with selectors.DefaultSelector() as selector:
        selector.register(connection, event)
        while not is_cancelled() and (left_s := until_s - time.monotonic()) > 0:
            if selector.select(min(left_s, shutdown.GLANCE_S)):
                return
    raise TimeoutError


_ErrorTypes = tuple[type[Exception], ...]

_UNOPENED: tuple[tuple[_ErrorTypes, type[StreamError], Reason, str], ...] = (
    (
        (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError),
        SourceUnreadable,
        Reason.AUTH,
        "{source} refused us: its user name or password is wrong or missing",
    ),
    (
        (av.error.HTTPNotFoundError,),
        SourceNotFound,
        Reason.NOT_FOUND,
        "{source} is not there: the host answers, the path is unknown",
    ),
    (
        (av.error.HTTPError, av.error.HTTPClientError),
        SourceUnreadable,
        Reason.SERVER,
        "{source} cannot be had: {error}",
    ),
    (
        (ConnectionRefusedError,),
        SourceNotFound,
        Reason.REFUSED,
        "{source}: nobody listens there (connection refused)",
    ),
    (
        (av.error.InvalidDataError, EOFError),
        SourceUnreadable,
        Reason.CODEC,
        "{source} answers, but not with video that can be played",
    ),
)

_UNREACHED = {
    Reason.NOT_FOUND: "{source} cannot be reached: no host of that name is known",
    Reason.REFUSED: "{source}: nobody listens there (connection refused)",
    Reason.TIMEOUT: "{source} cannot be reached: the host does not answer",
    Reason.TLS: "{source} answers, but not with TLS: is it rtsp:// or http:// without the s?",
    Reason.UNREACHABLE: "{source} cannot be reached: there is no way to the host",
}
_UNKNOWN = "{source} cannot be opened: {error}"
_LOOP = "{source} redirects from one address to the next, without end"
_NO_PROXY = (
    "{source} cannot be reached: the proxy that http_proxy names cannot. Correct the variable, or "
    "add the host to no_proxy"
)

# Without an @, at which a later redaction would take all before it for a password.
_ESCAPING_HINT = " (a password's at sign / : ? # are written %40 %2F %3A %3F %23)"

_KNOCK_S = 2.0
"""Longest wait for an answer when finding out why a host could not be reached."""


def unopened(error: Exception, url: str, source: str, timeout_s: float) -> StreamError:
    """The error to raise where ``url`` could not be opened by ``error``, within ``timeout_s``.

    ``source``: what to call it, safe to print.
    """
    proxy = proxy_of(url)
    through = "" if proxy is None else f" (asked through the proxy {redact_address(proxy)})"
    if isinstance(error, av.error.ExitError | TimeoutError):
        message = f"{source} did not answer within {timeout_s:g} s{through}"
        return SourceStalled(message, reason=Reason.TIMEOUT)
    known = next((row[1:] for row in _UNOPENED if isinstance(error, row[0])), None)
    # libav calls an RTSP host that it cannot reach invalid data.
    if known is None or known[1] in {Reason.CODEC, Reason.REFUSED}:
        known = _why_unopened(url, proxy, min(timeout_s, _KNOCK_S)) or known
    meant, reason, sentence = known or (SourceNotFound, Reason.UNKNOWN, _UNKNOWN)
    hint = _ESCAPING_HINT if meant is SourceNotFound and "***@" in source else ""
    return meant(sentence.format(source=source, error=cause(error)) + through + hint, reason=reason)


def _why_unopened(
    url: str, proxy: str | None, knock_s: float
) -> tuple[type[StreamError], Reason, str] | None:
    """What is found out by asking once more; None: nothing."""
    reason = why_unreachable(proxy or url, knock_s)
    if reason is not Reason.UNKNOWN:
        sentence = _UNREACHED[reason] if proxy is None else _NO_PROXY
        return SourceNotFound, reason, sentence
    if proxy is None and is_endless_redirect(url, knock_s):
        return SourceUnreadable, Reason.SERVER, _LOOP
    return None
