"""Connections that cost nobody anything: bounded in number, and hung up on when nothing comes.

Whoever opens connections and says nothing, or a letter now and then, would else take every file
that this process may open, and cameras that come back could not be connected to.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 15.0
"""How long a request may take to arrive."""

MOST_CONNECTIONS = 128
"""Connections at once; those who look are fewer, see ``MOST_VIEWERS``. Where this process may open
few files (``ulimit -n``), half as many as these: cameras and outputs need some too."""


class Impatient(H11Protocol):
    """HTTP on one connection. One that is no WebSocket's is given up when no request is being
    answered on it, ``request_s`` after it began or was looked at last."""

    request_s: ClassVar[float] = REQUEST_S
    most: ClassVar[int] = MOST_CONNECTIONS
    _look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """See ``asyncio.Protocol``."""
        super().connection_made(transport)
        if len(self.connections) > min(self.most, _files() // 2):
            transport.abort()
        else:
            self._look = self.loop.call_later(self.request_s, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """See ``asyncio.Protocol``."""
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def _give_up(self) -> None:
        if self.transport.get_protocol() is not self:  # a WebSocket's by now
            return
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()
        else:
            self._look = self.loop.call_later(self.request_s, self._give_up)


def _files() -> int:
    """How many files this process may have open."""
    try:
        import resource
    except ImportError:  # Windows
        return sys.maxsize
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft
