"""``oneglance serve``: the program, from its address to its exit code."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

pytest.importorskip("httpx", reason="asks as a client does")
pytest.importorskip("starlette", reason="needs the 'serve' extra")

import httpx

from program import Program, start
from waiting import ENDED_S, LONG_S, wait_until, within

ENDLESS = "rendered:?frames=inf&size=320x180"
SECRET = "a-token-of-mine"


@contextmanager
def serving(*words: object) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The program and the line with its address."""
    with start("serve", *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().decode()
        finally:
            process.kill()


def address_in(line: str) -> str:
    found = re.search(r"http://\S+", line)
    assert found is not None, line
    return found[0]


def test_it_says_where_the_page_is_and_ends_with_a_signal(model: Path) -> None:
    with serving(ENDLESS, "--model", model, "--port", 0) as (process, line):
        url = address_in(line)
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", url)
        with httpx.stream("GET", f"{url}events", trust_env=False, timeout=LONG_S) as answer:
            assert next(answer.iter_lines()).startswith("data: ")
            with within(ENDED_S):
                process.send_signal(signal.SIGINT)
                _, err = process.communicate()
        assert process.returncode == 130
        assert b"interrupted: the page is closed" in err
        assert b"Traceback" not in err


def test_beyond_this_machine_a_token_is_made_and_asked_for(model: Path) -> None:
    with serving(ENDLESS, "--model", model, "--port", 0, "--host", "0.0.0.0") as (_, line):
        url = address_in(line)
        base, _, token = url.partition("?token=")
        assert len(token) >= 24
        assert httpx.get(base, trust_env=False, timeout=LONG_S).status_code == 401
        bearer = {"Authorization": f"Bearer {token}"}
        answer = httpx.get(f"{base}metrics", headers=bearer, trust_env=False, timeout=LONG_S)
        assert answer.status_code == 200


def test_a_token_that_was_given_is_printed_nowhere(model: Path) -> None:
    words = (ENDLESS, "--model", model, "--port", 0, "--token", SECRET, "--debug")
    with serving(*words) as (process, line):
        base = address_in(line).partition("?")[0]
        for path in (f"?token={SECRET}", f"metrics?token={SECRET}", "?token=wrong", "no"):
            httpx.get(base + path, trust_env=False, timeout=LONG_S)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate()
    assert SECRET not in line + out.decode() + err.decode()


def test_it_ends_when_its_sources_have_ended(oneglance: Program, model: Path) -> None:
    outcome = oneglance("serve", "rendered:?frames=5&size=320x180", "--model", model, "--port", 0)
    assert outcome.code == 0, outcome.err
    assert "http://127.0.0.1:" in outcome.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--token", "short"), "a token has at least 12"),
        (("--port", "70000"), "--port is from 0 to 65535, not 70000"),
        (("--host", "no.such.host.invalid"), "no.such.host.invalid is no address of this machine"),
        (("--tasks", "cats"), "cats"),
        (("--view-fps", "0"), "--view-fps is above 0 and at most 240, not 0"),
        (("no/such/file.mp4",), "no/such/file.mp4"),
    ],
)
def test_what_cannot_be_served_is_reported_in_a_sentence(
    oneglance: Program, model: Path, words: tuple[str, ...], message: str
) -> None:
    outcome = oneglance("serve", *words, "--model", model, "--port", 0, *words)
    assert outcome.code == 2
    assert message in outcome.message


def test_a_port_in_use_is_reported_in_a_sentence(oneglance: Program, model: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        outcome = oneglance("serve", ENDLESS, "--model", model, "--port", port)
    assert outcome.code == 2
    assert f"port {port} of 127.0.0.1 is in use" in outcome.message


def test_a_missing_extra_is_reported_with_the_line_that_installs_it(
    oneglance: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *a: None if name == "starlette" else real(name, *a),
    )
    outcome = oneglance("serve", ENDLESS)
    assert outcome.code == 2
    assert "pip install 'oneglance[serve]'" in outcome.message


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process as Linux does")
def test_where_few_files_may_be_open_others_are_served_again_and_it_is_said_once(
    model: Path,
) -> None:
    import resource

    with serving(ENDLESS, "--model", model, "--port", 0) as (process, line):
        url = address_in(line)
        port = int(url.rstrip("/").rpartition(":")[2])
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        few = len(list(Path(f"/proc/{process.pid}/fd").iterdir())) + 4
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (few, hard))
        with ExitStack() as stack:
            for _ in range(few * 2):  # they wait at the door, and are taken in one by one
                stack.enter_context(socket.create_connection(("127.0.0.1", port), LONG_S))
            wait_until(
                lambda: len(list(Path(f"/proc/{process.pid}/fd").iterdir())) >= few - 1,
                "there is no room for more",
            )
        answer = httpx.get(f"{url}healthz", trust_env=False, timeout=LONG_S)
        assert answer.status_code == 200
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert err.count(b"too many files are open; raise the limit (ulimit -n)") == 1
