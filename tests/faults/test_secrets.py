"""Passwords in addresses: nothing that a run emits holds one."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
from pathlib import Path

import pytest

from media import make_video
from onnx_models import seeing_model
from program import COMMAND
from rtsp_server import rtsp_server
from scripted_camera import scripted_camera, steady

USER, PASSWORD = "driver", "p@ss/w0rd"  # of the RTSP server
RIGHT = f"{USER}:p%40ss%2Fw0rd"
NASTY = ["driver:S3CR:ET@x%21", "driver:S3CRET/w%40rd%21", "S3CR%3AET%2F%21"]
SECRETS = ["S3CR", "p@ss", "w0rd", "p%40ss", "driver"]


def emitted(folder: Path, sources: list[str], *more: str, seconds: float = 3.0) -> str:
    """Everything that a run on a terminal, interrupted after a while, prints and writes."""
    model = seeing_model(folder / "seeing.onnx")
    out = folder / "out"
    out.mkdir()
    ours, theirs = pty.openpty()
    command = [*COMMAND, "run", *sources, "--model", str(model), "--timeout", "2", "--debug"]
    command += ["--jsonl", str(out / "out.jsonl"), "--json-summary", str(out / "summary.json")]
    with subprocess.Popen(
        [*command, *more], stdout=subprocess.PIPE, stderr=theirs, text=True
    ) as run:
        os.close(theirs)
        deadline_s = time.monotonic() + seconds
        printed = b""
        os.set_blocking(ours, False)
        while run.poll() is None:
            if time.monotonic() > deadline_s:
                run.send_signal(signal.SIGINT)
                deadline_s += 5
            time.sleep(0.05)
            printed += _rest(ours)
        assert run.stdout is not None
        text = run.stdout.read() + (printed + _rest(ours)).decode(errors="replace")
    os.close(ours)
    for file in out.iterdir():
        text += f"\n{file}\n{file.read_text()}"
    return text


def _rest(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 20)
    except OSError:  # nothing there, or nobody at the other end
        return b""


def test_nothing_that_a_live_run_emits_holds_a_password(tmp_path: Path) -> None:
    film = make_video(tmp_path / "a.mp4", frames=2)
    with rtsp_server(film) as server, scripted_camera(steady) as camera:
        sources = [server.url("locked", RIGHT)]
        sources += [server.url("locked", nasty) for nasty in NASTY]
        sources += [f"http://driver:S3CRET%21@127.0.0.1:{camera.port}/live?token=S3CRET"]
        text = emitted(tmp_path, sources, "--mode", "live", seconds=6)
    assert "auth failed" in text or "user name or password is wrong" in text
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    delivered = {source["source"]: source["delivered"] for source in summary["sources"]}
    assert len(delivered) == 5
    assert delivered[f"rtsp://***@{server.host}/locked"] > 0  # the right one did play
    assert not [secret for secret in SECRETS if secret in text]


@pytest.mark.parametrize("nasty", NASTY)
def test_a_run_that_cannot_begin_does_not_tell_the_password_either(
    nasty: str, tmp_path: Path
) -> None:
    with rtsp_server(make_video(tmp_path / "a.mp4", frames=2)) as server:
        text = emitted(tmp_path, [server.url("locked", nasty)])
    assert "error:" in text
    assert not [secret for secret in SECRETS if secret in text]
