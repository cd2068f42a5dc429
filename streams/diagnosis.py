"""Why a host could not be reached, found out and not guessed.

libav says "input/output error" of an unknown name, a closed road and a failed handshake alike.
Knocking once more, a step at a time, tells them apart.
"""

from __future__ import annotations

import socket
import ssl
from urllib.parse import urlsplit

from oneglance.streams.errors import Reason

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

    Each step waits ``timeout_s`` at most, except for the name server, which has its own patience.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return Reason.UNKNOWN
    if not host or not port:
        return Reason.UNKNOWN
    try:
        with socket.create_connection((host, port), timeout_s) as connection:
            if parts.scheme in _TLS:
                _shake_hands(connection, host)
    except OSError as error:
        return next(reason for kind, reason in _FAILURES if isinstance(error, kind))
    return Reason.UNKNOWN


def _shake_hands(connection: socket.socket, host: str) -> None:
    # As tolerant as libav: whose certificate it is, is not the question here.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.wrap_socket(connection, server_hostname=host).close()
