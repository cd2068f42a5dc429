"""Passwords in addresses: nothing that a run emits holds one."""

from __future__ import annotations

import json
import os
import pty
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from media import make_video
from onnx_models import seeing_model
from program import start
from rtsp_server import rtsp_server
from scripted_camera import scripted_camera, steady

USER, PASSWORD = "driver", "p@ss/w0rd"  # of the RTSP server
RIGHT = f"{USER}:p%40ss%2Fw0rd"
NASTY = ["driver:S3CR:ET@x%21", "driver:S3CRET/w%40rd%21", "S3CR%3AET%2F%21"]
SECRETS = ["S3CR", "p@ss", "w0rd", "p%40ss", "driver"]


def emitted(
    folder: Path,
    sources: list[str],
    *more: str,
    interrupt: Callable[[str], bool] = lambda printed: False,
) -> str:
    """All that a run on a terminal prints and writes, interrupted as soon as ``interrupt`` says
    so of what was printed."""
    model = seeing_model(folder / "seeing.onnx")
    out = folder / "out"
    out.mkdir()
    words = ["run", *sources, "--model", model, "--timeout", "2", "--debug", *more]
    words += ["--jsonl", out / "out.jsonl", "--json-summary", out / "summary.json"]
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    with start(*words, stdout=theirs, stderr=theirs) as run:
        os.close(theirs)
        deadline_s = time.monotonic() + 40
        printed = ""
        while run.poll() is None:
            assert time.monotonic() < deadline_s, run.kill() or printed[-2000:]
            printed += _rest(ours)
            if interrupt(printed):
                run.send_signal(signal.SIGINT)
                interrupt = lambda printed: False  # noqa: E731 - once is enough
            time.sleep(0.05)
        printed += _rest(ours)
    os.close(ours)
    return printed + "".join(f"\n{file}\n{file.read_text()}" for file in out.iterdir())


def _rest(terminal: int) -> str:
    try:
        return os.read(terminal, 1 << 20).decode(errors="replace")
    except OSError:  # nothing there, or nobody at the other end
        return ""


def test_nothing_that_a_live_run_emits_holds_a_password(tmp_path: Path) -> None:
    lines = tmp_path / "out" / "out.jsonl"
    with (
        rtsp_server(make_video(tmp_path / "a.mp4", frames=2)) as server,
        scripted_camera(steady) as camera,
    ):
        right = f"rtsp://***@{server.host}/locked"
        sources = [server.url("locked", RIGHT)]
        sources += [server.url("locked", nasty) for nasty in NASTY]
        sources += [f"http://driver:S3CRET%21@127.0.0.1:{camera.port}/live?token=S3CRET"]

        def enough(printed: str) -> bool:
            return (
                "user name or password is wrong" in printed
                and "a password's at sign" in printed
                and lines.exists()
                and f'"{right}"' in lines.read_text()
                and "token=***" in lines.read_text()
            )

        text = emitted(tmp_path, sources, "--mode", "live", interrupt=enough)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert len(summary["sources"]) == 5
    assert summary["frames"] > 0
    assert "interrupted: outputs are closed and valid" in text
    assert not [secret for secret in SECRETS if secret in text]


@pytest.mark.parametrize("nasty", NASTY)
def test_a_run_that_cannot_begin_does_not_tell_the_password_either(
    nasty: str, tmp_path: Path
) -> None:
    with rtsp_server(make_video(tmp_path / "a.mp4", frames=2)) as server:
        text = emitted(tmp_path, [server.url("locked", nasty)])
    assert "error:" in text
    assert f"@{server.host}/locked" in text.replace("\r\n", "")  # which camera it was
    assert not [secret for secret in SECRETS if secret in text]
