"""A real run with its page on a real port, for tests of the page."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from live_runs import Camera, quick
from oneglance.models import Detector
from oneglance.perception import Live, Pipeline
from oneglance.perception.server.app import Site
from oneglance.perception.server.guard import Access
from oneglance.perception.server.hub import Hub
from oneglance.perception.server.metrics import metrics_of
from oneglance.perception.server.serving import PageServer, listen
from waiting import LONG_S, wait_until

TOKEN = "a-token-for-tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
SECRETS = ("hunter2secret", "s1gnatur3")
"""What an address says, and nobody may read."""


@dataclass(frozen=True)
class Page:
    """``url``: without a slash at its end. ``hub``, ``pipeline``, ``server``: what is behind."""

    url: str
    hub: Hub
    pipeline: Pipeline
    server: PageServer

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def get(self, path: str, **how: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=LONG_S, trust_env=False, **how)

    def watch(self, path: str = "/ws", **how: Any) -> ClientConnection:
        """A viewer's WebSocket, without a proxy and with room for images."""
        usual: dict[str, Any] = {"max_size": 2**24, "open_timeout": LONG_S, "proxy": None}
        viewer: ClientConnection = connect(f"ws://{self.host}{path}", **{**usual, **how})
        return viewer


@contextmanager
def page(
    detector: Detector, *sources: Any, token: str | None = None, host: str = "127.0.0.1"
) -> Iterator[Page]:
    """Sources (two cameras by default) in a run of their own thread, shown at ``page.url``."""
    hub, access = Hub(), Access(host, token)
    cameras: Sequence[Any] = sources or (Camera("left"), Camera("right"))
    limits = quick()
    pipeline = Pipeline(
        list(cameras),
        detector,
        mode=Live(connect=limits.connect, on_event=hub.note),
        sinks=[hub],
    )
    site = Site(pipeline, hub, metrics_of(pipeline), access)
    thread = threading.Thread(target=pipeline.run)
    listener = listen(host, 0)
    port = listener.getsockname()[1]
    with closing(pipeline), site.pool, PageServer(site.app(), hub, access, listener) as server:
        thread.start()
        wait_until(lambda: pipeline.summary().frames > 0)
        yield Page(f"http://127.0.0.1:{port}", hub, pipeline, server)
        pipeline.close()
    thread.join(LONG_S)
    assert not thread.is_alive()


def parsed(message: bytes | str) -> tuple[dict[str, Any], bytes]:
    """The JSON and the JPEG of one message of a viewer's WebSocket."""
    assert isinstance(message, bytes)
    length = int.from_bytes(message[:4], "big")
    facts: dict[str, Any] = json.loads(message[4 : 4 + length])
    return facts, message[4 + length :]


def next_frame(viewer: ClientConnection, *, drawn: bool = True) -> tuple[dict[str, Any], bytes]:
    """The next frame's message; what is sent in between is left out."""
    while True:
        message = viewer.recv(LONG_S)
        if isinstance(message, bytes):
            facts, jpeg = parsed(message)
            if drawn:
                viewer.send(json.dumps({"drawn": facts["number"]}))
            return facts, jpeg


def next_status(viewer: ClientConnection) -> dict[str, Any]:
    """The next status; frames in between are drawn."""
    while True:
        message = viewer.recv(LONG_S)
        if isinstance(message, str):
            found: dict[str, Any] = json.loads(message)
            return found
        viewer.send(json.dumps({"drawn": parsed(message)[0]["number"]}))


def code_at_the_end(viewer: ClientConnection) -> int | None:
    """Read until the server hangs up; its reason, None when it gave none."""
    while True:
        try:
            viewer.recv(LONG_S)
        except ConnectionClosed as closed:
            return None if closed.rcvd is None else closed.rcvd.code
