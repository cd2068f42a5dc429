"""The web server in a thread of its own: listens before the run begins, gone soon after it."""

from __future__ import annotations

import asyncio
import errno
import logging
import secrets
import socket
import threading
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.types import ASGIApp

from oneglance.perception.server.connections import Impatient
from oneglance.perception.server.guard import Access
from oneglance.perception.server.hub import Hub
from oneglance.streams import shutdown
from oneglance.streams.errors import UsageError
from oneglance.streams.outputs import os_reason

logger = logging.getLogger(__name__)

SEND_BUFFER = 128 * 1024
"""Bytes that may lie in the system for a viewer that does not fetch them: a frame or two. What it
gets then is not older than that."""

LARGEST_MESSAGE = 4096
"""Bytes of what a browser may say at once."""

SHORTEST_TOKEN = 12
_OUT_OF = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_PATIENCE_S = 0.4
"""How long viewers may take to leave before we disconnect them; less than ``shutdown.CLOSE_S``."""


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(24)


def checked_token(token: str) -> str:
    """``token`` itself.

    Raises:
        UsageError: it is too short, or holds what an address cannot.
    """
    if len(token) < SHORTEST_TOKEN or not (token.isascii() and token.isprintable()):
        raise UsageError(
            f"a token has at least {SHORTEST_TOKEN} letters and digits: leave --token out, and one "
            "is made"
        )
    return token


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0: any that is free.

    Raises:
        UsageError: the port is in use or not allowed, or the address is none of this machine.
    """
    if not 0 <= port <= 65535:
        raise UsageError(f"--port is from 0 to 65535, not {port}")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        listener = socket.create_server(address[:2], family=family, backlog=64)
    except socket.gaierror:
        raise UsageError(f"--host {host} is no address of this machine") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = "is in use: give another --port, or 0 for any that is free"
        elif error.errno in {errno.EACCES, errno.EPERM}:
            why = "is not ours to take: give a --port from 1024 on"
        else:
            why = f"cannot be listened on ({error.strerror}): see --host and --port"
        raise UsageError(f"port {port} of {host} {why}") from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    return listener


class PageServer:
    """Serves an application from ``__enter__`` to ``close()``, which takes less than a second
    however many look and however slow they are."""

    def __init__(self, app: ASGIApp, hub: Hub, access: Access, listener: socket.socket) -> None:
        """``listener``: see ``listen``; the server closes it."""
        self._hub = hub
        self._access = access
        self._listener = listener
        self._port: int = listener.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=Impatient,
                ws="websockets-sansio",
                ws_max_size=LARGEST_MESSAGE,
                ws_per_message_deflate=False,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=1,
            )
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = asyncio.Event()
        self._is_short = False
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="oneglance-serve", daemon=True)

    @property
    def url(self) -> str:
        """The page's address, without a token."""
        host = self._access.host
        if host in {"0.0.0.0", "::"}:  # noqa: S104 - what it is called from here
            host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{self._port}/"

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(shutdown.INFERENCE_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Send everybody away and stop listening. May be called twice."""
        self._hub.close()
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join(shutdown.CLOSE_S)
        self._listener.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception:
            logger.exception("the page's server has ended")
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._report)
        serving = asyncio.create_task(self._server.serve(sockets=[self._listener]))
        closing = asyncio.create_task(self._closing.wait())
        self._ready.set()
        await asyncio.wait({serving, closing}, return_when=asyncio.FIRST_COMPLETED)
        self._server.should_exit = True
        _, late = await asyncio.wait({serving}, timeout=_PATIENCE_S)
        if late:
            for connection in tuple(self._server.server_state.connections):
                connection.transport.abort()
            self._server.force_exit = True
        await serving
        closing.cancel()

    def _report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What went wrong on the loop itself. asyncio says so of every connection that cannot be
        taken while the system is out of files, each with a traceback, and tries once a second."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in _OUT_OF:
            if not self._is_short:
                logger.warning("the page takes nobody in for now: %s", os_reason(error))
            self._is_short = True
        elif not self._closing.is_set():  # such a try may come after the end
            loop.default_exception_handler(context)
