"""Why a host could not be reached, found out and not guessed.

libav says "input/output error" of an unknown name, a closed road and a failed handshake alike.
Knocking once more, a step at a time, tells them apart.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import ssl
import time
from urllib.parse import urlsplit

from oneglance.streams import shutdown
from oneglance.streams.errors import Reason
from oneglance.streams.live.cancellation import is_cancelled

_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
_TLS = frozenset({"rtsps", "https"})

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

    Each step waits ``timeout_s`` at most, and no longer than this thread is wanted; except for the
    name server, which has its own patience.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return Reason.UNKNOWN
    if not host or not port:
        return Reason.UNKNOWN
    try:
        with _connected(host, port, timeout_s) as connection:
            if parts.scheme in _TLS:
                _shake_hands(connection, host, timeout_s)
    except OSError as error:
        return next(reason for kind, reason in _FAILURES if isinstance(error, kind))
    return Reason.UNKNOWN


def _connected(host: str, port: int, timeout_s: float) -> socket.socket:
    """A connection that does not block, to the first of the host's addresses that takes one."""
    failure = OSError()
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        try:
            connection = socket.socket(family, kind, protocol)
        except OSError as error:  # a family that this machine does not speak
            failure = error
            continue
        try:
            connection.setblocking(False)
            code = connection.connect_ex(address)
            if code in (errno.EINPROGRESS, errno.EWOULDBLOCK):
                _wait(connection, selectors.EVENT_WRITE, time.monotonic() + timeout_s)
                code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure


def _shake_hands(connection: socket.socket, host: str, timeout_s: float) -> None:
    # As tolerant as libav: whose certificate it is, is not the question here.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    until_s = time.monotonic() + timeout_s
    with context.wrap_socket(
        connection, server_hostname=host, do_handshake_on_connect=False
    ) as private:
        while True:
            try:
                return private.do_handshake()
            except ssl.SSLWantReadError:
                _wait(private, selectors.EVENT_READ, until_s)
            except ssl.SSLWantWriteError:
                _wait(private, selectors.EVENT_WRITE, until_s)


def _wait(connection: socket.socket, event: int, until_s: float) -> None:
    """Return when ``connection`` is ready.

    Raises:
        TimeoutError: it is not until then, or nobody wants to know any more.
    """
    with selectors.DefaultSelector() as selector:
        selector.register(connection, event)
        while not is_cancelled() and (left_s := until_s - time.monotonic()) > 0:
            if selector.select(min(left_s, shutdown.GLANCE_S)):
                return
    raise TimeoutError
