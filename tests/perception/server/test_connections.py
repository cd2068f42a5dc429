"""Connections of those who mean no good, or nothing: over real sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

pytest.importorskip("httpx", reason="asks as a client does")
pytest.importorskip("starlette", reason="needs the 'serve' extra")

import httpx

from oneglance.models import Detector
from oneglance.perception.server.connections import Impatient
from pages import Page, next_frame, page
from waiting import LONG_S, wait_until


@pytest.fixture(scope="module")
def site(model: Path) -> Iterator[Page]:
    with page(Detector.load(model, threads=1)) as shown:
        yield shown


def connection(shown: Page) -> socket.socket:
    return socket.create_connection(("127.0.0.1", shown.port), LONG_S)


def is_hung_up(client: socket.socket) -> bool:
    """Waits for the other end's last word; fails when there is none."""
    with suppress(ConnectionError):
        return client.recv(1) == b""
    return True


@pytest.mark.parametrize("begun", [b"", b"GET /healthz HTTP/1.1\r\nX-Slow: "])
def test_a_request_that_never_ends_is_hung_up_on_and_nobody_who_looks_is(
    begun: bytes, site: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Impatient, "request_s", 0.2)
    address = f"{site.url}/mjpeg?source=left"
    with ExitStack() as stack:
        viewer = stack.enter_context(site.watch())
        http = httpx.Client(timeout=LONG_S, trust_env=False)
        mjpeg = stack.enter_context(stack.enter_context(http).stream("GET", address)).iter_raw()
        for _ in range(3):  # each is given up later than the viewers came
            slow = stack.enter_context(connection(site))
            slow.sendall(begun)
            assert is_hung_up(slow)
        assert next_frame(viewer)[1]
        assert next(mjpeg)
        assert next_frame(viewer)[1]


def test_more_connections_than_there_may_be_are_hung_up_on_and_the_others_served(
    site: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Impatient, "most", 4)

    def answers() -> bool:
        with suppress(httpx.HTTPError):
            return site.get("/healthz").status_code == 200
        return False

    wait_until(answers, "those of other tests are gone")
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(connection(site))
        wait_until(lambda: not answers(), "there is no room for more")
        with connection(site) as late:
            assert is_hung_up(late)
    wait_until(answers, "there is room again")
