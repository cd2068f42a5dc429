"""One browser on the page: frames as fast as it draws them, never faster.

The browser says of each frame that it has drawn it. Two are on their way at most; while it is
behind, newer frames replace the one that it would have got. What lies in sockets on the way to a
slow line can so not grow old.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress

from starlette.websockets import WebSocket, WebSocketDisconnect

from oneglance.perception.server.hub import HubClosed, Viewer
from oneglance.perception.server.shot import Shot

ON_THE_WAY = 2
"""Frames that a browser may not have drawn yet."""

STATUS_S = 1.0
"""How often it gets the state of the sources."""

GOING_AWAY = 1001
BAD_DATA = 1003


class Conversation:
    """A conversation. ``encode`` makes a frame's message (None: it has no image), ``status`` what
    else is sent; ``clock``: seconds, monotonic."""

    def __init__(
        self,
        websocket: WebSocket,
        viewer: Viewer,
        *,
        clock: Callable[[], float],
        encode: Callable[[Shot], Awaitable[bytes | None]],
        status: Callable[[], Awaitable[str]],
    ) -> None:
        self._websocket = websocket
        self._viewer = viewer
        self._clock = clock
        self._encode, self._status = encode, status
        self._undrawn = 0

    async def run(self) -> None:
        """Until the browser leaves or the run is over."""
        tasks = {asyncio.create_task(self._listen()), asyncio.create_task(self._show())}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, HubClosed):
                with suppress(WebSocketDisconnect, RuntimeError):
                    await self._websocket.close(GOING_AWAY)
            elif isinstance(end, Exception) and not isinstance(end, WebSocketDisconnect):
                raise end

    async def _show(self) -> None:
        due_s = self._clock()
        while True:
            now_s = self._clock()
            if now_s >= due_s:
                await self._websocket.send_text(await self._status())
                due_s = now_s + STATUS_S
            if self._undrawn >= ON_THE_WAY:
                await self._viewer.rest(max(0.0, due_s - now_s))
                continue
            shot = await self._viewer.next(max(0.0, due_s - now_s))
            if shot is not None:
                message = await self._encode(shot)
                if message is not None:
                    self._undrawn += 1
                    await self._websocket.send_bytes(message)

    async def _listen(self) -> None:
        """``{"drawn": 12}``: a frame was drawn; ``{"sources": […]}``: those it wants to see."""
        while (message := await self._websocket.receive())["type"] == "websocket.receive":
            if not self._hear(message.get("text")):
                await self._websocket.close(BAD_DATA)
                return

    def _hear(self, text: str | None) -> bool:
        try:
            said = json.loads(text or "")
        except (ValueError, RecursionError):
            return False
        match said:
            case {"drawn": int()}:
                was_behind = self._undrawn >= ON_THE_WAY
                self._undrawn = max(0, self._undrawn - 1)
                if not was_behind:
                    return True
            case {"sources": None}:
                self._viewer.wanted = None
            case {"sources": [*names]} if all(isinstance(name, str) for name in names):
                self._viewer.wanted = frozenset(names)
            case _:
                return False
        self._viewer.nudge()
        return True
