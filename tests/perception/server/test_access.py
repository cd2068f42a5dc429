"""Who may see the page, and what is refused."""

from __future__ import annotations

import json
import logging
import re
import socket
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import pytest

pytest.importorskip("httpx", reason="asks as a client does")
pytest.importorskip("starlette", reason="needs the 'serve' extra")

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from live_runs import Camera
from oneglance.models import Detector
from oneglance.perception.server import app
from pages import BEARER, SECRETS, TOKEN, Page, code_at_the_end, next_frame, next_status, page
from scripted_camera import scripted_camera, steady
from waiting import LONG_S, wait_until


def test_without_the_token_there_is_nothing_to_see(locked: Page) -> None:
    paths = ("/", "/static/page.js", "/api/status", "/metrics", "/events", "/snapshot.jpg", "/no")
    for path in paths:
        for query in ("", "?token=", "?token=wrong", f"?token={TOKEN[:-1]}"):
            answer = locked.get(path + query)
            assert answer.status_code == 401, path
            assert "left" not in answer.text
    with pytest.raises(InvalidStatus, match="403"):
        locked.watch().close()


def test_the_token_opens_by_header_query_and_cookie(locked: Page) -> None:
    assert locked.get("/metrics", headers=BEARER).status_code == 200
    assert locked.get(f"/snapshot.jpg?source=left&token={TOKEN}").status_code == 200
    with httpx.Client(base_url=locked.url, trust_env=False) as browser:
        login = browser.get(f"/?token={TOKEN}")
        assert (login.status_code, login.headers["location"]) == (303, "/")
        assert "httponly" in login.headers["set-cookie"].lower()
        assert TOKEN not in login.headers["set-cookie"]
        assert browser.get("/").status_code == 200
        cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    origin = {"Origin": locked.url, "Cookie": cookies}
    with locked.watch(additional_headers=origin) as viewer:
        assert next_status(viewer)["may_edit"] is True


def test_a_wrong_host_is_refused_and_learns_nothing(site: Page, locked: Page) -> None:
    for shown in (site, locked):
        answer = shown.get("/", headers={"Host": "evil.example", **BEARER})
        assert answer.status_code == 421
        there = socket.create_connection(("127.0.0.1", shown.port), LONG_S)
        with closing(there), pytest.raises(InvalidStatus, match="403"):
            connect(f"ws://evil.example:{shown.port}/ws", sock=there, additional_headers=BEARER)


@pytest.mark.parametrize(
    "origin",
    [
        *("http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1", "file://"),
        *("http://[", "//", "", "x" * 3000),
    ],
)
def test_the_page_of_another_site_is_refused(site: Page, locked: Page, origin: str) -> None:
    for shown in (site, locked):
        headers = {"Origin": origin, **BEARER}
        assert shown.get("/api/status", headers=headers).status_code == 403
        with pytest.raises(InvalidStatus, match="403"):
            shown.watch(additional_headers=headers).close()
        post = httpx.post(
            f"{shown.url}/api/sources", headers=headers, json={"source": "0"}, trust_env=False
        )
        assert post.status_code == 403


@pytest.mark.parametrize("place", ["cross-site", "same-site"])
def test_an_image_inside_another_sites_page_needs_the_token_in_its_address(
    site: Page, locked: Page, place: str
) -> None:
    inside = {"Sec-Fetch-Site": place, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    path = "/snapshot.jpg?source=left"
    assert site.get(path, headers=inside).status_code == 403
    shown = locked.get(f"{path}&token={TOKEN}", headers=inside)
    assert shown.status_code == 200
    assert shown.headers["cross-origin-resource-policy"] == "cross-origin"
    framed = inside | {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    assert site.get("/", headers=framed).status_code == 403
    linked = framed | {"Sec-Fetch-Dest": "document"}
    assert site.get("/", headers=linked).status_code == 200


def test_a_refusal_is_reported_once(locked: Page, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            locked.get("/", headers={"Host": f"evil-{_}.example"})
    reported = [r.getMessage() for r in caplog.records if "refused" in r.getMessage()]
    assert len(reported) <= 1
    assert "evil" not in "".join(reported)


@pytest.mark.parametrize(
    "path",
    [
        *("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "//etc/passwd"),
        *("/static/....//app.py", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd"),
        *("/static/", "/static", "/static/page.js%00", "/static/page.js/../../guard.py"),
    ],
)
def test_no_path_leads_out_of_the_page(site: Page, path: str) -> None:
    with socket.create_connection(("127.0.0.1", site.port), LONG_S) as client:
        client.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {site.host}\r\nConnection: close\r\n\r\n".encode()
        )
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.split(b" ")[1] in {b"404", b"400"}, answer
    assert b"root:" not in answer
    assert b"import" not in answer


def test_a_message_of_ten_megabytes_is_refused(site: Page) -> None:
    with site.watch() as viewer:
        with suppress(ConnectionClosed):
            viewer.send("x" * 10_000_000)
        # Or hung up on before it could be said why.
        assert code_at_the_end(viewer) in {1009, None}
    assert site.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "words", ["", "{", "[]", '{"drawn": "x"}', '{"sources": [1]}', b"\0\1", "[" * 4000]
)
def test_a_message_that_is_none_of_ours_ends_the_conversation(
    site: Page, words: str | bytes
) -> None:
    with site.watch() as viewer:
        viewer.send(words)
        assert code_at_the_end(viewer) == 1003


def test_a_body_of_ten_megabytes_is_refused(locked: Page) -> None:
    with suppress(httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        answer = httpx.post(
            f"{locked.url}/api/sources",
            headers=BEARER,
            content=b"x" * 10_000_000,
            timeout=LONG_S,
            trust_env=False,
        )
        assert answer.status_code == 413
    assert locked.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "body", ["", "[" * 4000, '{"source": "\\ud800"}', '{"source": "a\\u0000b"}', '{"source": [1]}']
)
def test_a_body_that_is_none_is_refused_in_a_sentence(body: str, locked: Page) -> None:
    answer = httpx.post(
        f"{locked.url}/api/sources", headers=BEARER, content=body, timeout=LONG_S, trust_env=False
    )
    assert answer.status_code == 400
    assert answer.text.startswith("the request is to be")


def test_a_body_that_never_comes_is_not_waited_for(
    locked: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "REQUEST_S", 0.1)
    head = f"POST /api/sources HTTP/1.1\r\nHost: {locked.host}\r\nContent-Length: 9\r\n"
    with socket.create_connection(("127.0.0.1", locked.port), LONG_S) as client:
        client.sendall(f"{head}Authorization: Bearer {TOKEN}\r\n\r\n{{".encode())
        assert client.recv(65536).startswith(b"HTTP/1.1 408")


def test_every_answer_forbids_what_the_page_does_not_need(site: Page) -> None:
    for path in ("/", "/static/page.js", "/metrics", "/no"):
        policy = site.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
    html = site.get("/").text
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=|javascript:", html)
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", html)


# -- sources that come and go --------------------------------------------------------------


def edit(shown: Page, method: str, source: str, **headers: str) -> httpx.Response:
    how: dict[str, Any] = {"headers": headers, "timeout": LONG_S, "trust_env": False}
    if method == "POST":
        return httpx.post(f"{shown.url}/api/sources", json={"source": source}, **how)
    return httpx.delete(f"{shown.url}/api/sources", params={"source": source}, **how)


def test_without_a_token_nobody_changes_sources(site: Page) -> None:
    for method in ("POST", "DELETE"):
        answer = edit(site, method, "left")
        assert (answer.status_code, "--token" in answer.text) == (403, True)
    assert len(site.pipeline.health().sources) == 2


def test_the_tokens_holder_adds_and_removes_sources(detector: Detector) -> None:
    with scripted_camera(steady) as camera, page(detector, token=TOKEN) as shown:
        address = camera.url.replace("//", f"//driver:{SECRETS[0]}@")
        added = edit(shown, "POST", address, **BEARER)
        assert added.status_code == 201
        name = added.json()["source"]
        assert SECRETS[0] not in added.text
        with shown.watch(additional_headers=BEARER) as viewer:
            wait_until(lambda: next_frame(viewer)[0]["source"] == name)
            assert edit(shown, "DELETE", name, **BEARER).status_code == 204
            wait_until(lambda: name not in shown.hub.sources())
            again = edit(shown, "POST", address, **BEARER)
            assert again.json()["source"] == name
            wait_until(lambda: next_frame(viewer)[0]["source"] == name)


def test_a_source_that_cannot_be_added_is_reported_without_its_secrets(locked: Page) -> None:
    cases: list[Callable[[], httpx.Response]] = [
        lambda: edit(locked, "POST", f"nosuch://u:{SECRETS[0]}@host/x", **BEARER),
        lambda: edit(locked, "POST", f"/no/such/{'x' * 40}.mp4", **BEARER),
        lambda: edit(locked, "POST", "", **BEARER),
        lambda: edit(locked, "DELETE", "rear", **BEARER),
    ]
    for case in cases:
        answer = case()
        assert answer.status_code == 400, answer.text
        assert SECRETS[0] not in answer.text
        assert "Traceback" not in answer.text


def test_a_source_whose_name_is_no_text_has_one_name_everywhere(detector: Detector) -> None:
    with page(detector, Camera("caf\udce9"), Camera("left"), token=TOKEN) as shown:
        with shown.watch(additional_headers=BEARER) as viewer:
            viewer.send(json.dumps({"sources": ["caf?"]}))
            wait_until(lambda: next_frame(viewer)[0]["source"] == "caf?")
            names = {each["source"] for each in next_status(viewer)["health"]["sources"]}
        assert names == {"caf?", "left"}
        assert shown.get("/snapshot.jpg?source=caf?", headers=BEARER).status_code == 200
        assert "caf?" in shown.get("/api/status", headers=BEARER).text
        assert 'source="caf?"' in shown.get("/metrics", headers=BEARER).text
        assert "caf?" in shown.get("/snapshot.jpg?source=rear", headers=BEARER).text
        assert "caf?" in edit(shown, "DELETE", "rear", **BEARER).text
        assert edit(shown, "DELETE", "caf?", **BEARER).status_code == 204
