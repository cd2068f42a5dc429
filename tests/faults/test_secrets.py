"""Passwords in addresses: nothing that a run emits holds one."""

from __future__ import annotations

import json
import logging
import os
import pty
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from http_server import http_server
from media import make_video
from onnx_models import seeing_model
from program import Program, lines_of, start
from rtsp_server import rtsp_server
from scripted_camera import scripted_camera, steady
from secret_spellings import spellings
from waiting import wait_until

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
        printed, interrupted = "", False

        def ended() -> bool:
            nonlocal printed, interrupted
            over = run.poll() is not None
            printed += _rest(ours)
            if not over and not interrupted and interrupt(printed):
                run.send_signal(signal.SIGINT)
                interrupted = True
            return over

        try:
            wait_until(ended, lambda: printed[-2000:])
        finally:
            run.kill()
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
        sources += [f"rtsp://{server.host}/user=driver_password=S3CRET_channel=1_stream=0.sdp"]

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
    assert len(summary["sources"]) == 6
    assert summary["frames"] > 0
    assert "interrupted: outputs are closed and valid" in text
    assert not [secret for secret in SECRETS if secret in text]


@pytest.mark.parametrize("nasty", NASTY)
def test_a_run_that_cannot_begin_does_not_show_the_password_either(
    nasty: str, tmp_path: Path
) -> None:
    with rtsp_server(make_video(tmp_path / "a.mp4", frames=2)) as server:
        text = emitted(tmp_path, [server.url("locked", nasty)])
    assert "error:" in text
    assert f"@{server.host}/locked" in text.replace("\r\n", "")  # which camera it was
    assert not [secret for secret in SECRETS if secret in text]


def test_nothing_that_a_run_emits_holds_a_secret_in_whatever_spelling(
    model: Path, tmp_path: Path, oneglance: Program, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    make_video(tmp_path / "any.mp4", frames=2)
    out, summary = tmp_path / "out.jsonl", tmp_path / "summary.json"
    with http_server(tmp_path) as (address, asked):
        sources = spellings("http", address.removeprefix("http://"), "any")
        playable = [each for each in sources if not each.startswith("ftp")]
        words = ["--model", model, "--jsonl", out, "--json-summary", summary, "--timeout", "2"]
        run = oneglance("run", *playable, *words, "--mode", "recorded", "--debug")
    assert run.code == 2  # some spellings name no host
    frames = lines_of(out)
    assert len(asked) > 60
    assert any("S3CRET" in path for path in asked)  # the server has its tokens
    assert len(frames) > 100
    assert len({frame["source"] for frame in frames}) > 30
    names = " ".join(map(str, tmp_path.rglob("*")))
    emitted = [run.out, run.err, caplog.text, names, out.read_text(), summary.read_text()]
    assert not [text for text in emitted if "S3CRET" in text]


@pytest.mark.parametrize(
    "words",
    [
        ("rtsp://driver:S3CRET@camera/x",),
        ("models", "rtsp://driver:S3CRET@camera/x"),
        ("run", "a.mp4", "--mode", "rtsp://driver:S3CRET@camera/x"),
        ("run", "ftp://driver:S3CRET@camera/x"),
        ("run", "rendered:", "--model", "https://example.org/a.onnx?sig=S3CRET"),
        ("run", "rendered:", "--jsonl", "https://example.org/a.jsonl?sig=S3CRET"),
    ],
)
def test_words_in_the_wrong_place_are_named_without_their_secret(
    words: tuple[str, ...], oneglance: Program
) -> None:
    run = oneglance(*words)
    assert run.code == 2
    assert "camera" in run.err or "example.org" in run.err
    assert "S3CRET" not in run.out + run.err


def test_an_annotated_video_holds_no_secret(
    model: Path, tmp_path: Path, oneglance: Program
) -> None:
    make_video(tmp_path / "any.mp4", frames=2)
    video = tmp_path / "out.mp4"
    with http_server(tmp_path) as (address, _):
        source = address.replace("//", "//driver:S3CRET@") + "/any/x?token=S3CRET"
        run = oneglance("run", source, "--model", model, "--video", video)
    assert run.code == 0
    assert b"S3CRET" not in video.read_bytes()


def test_a_file_with_an_equals_sign_in_its_name_plays_and_is_called_so(
    model: Path, tmp_path: Path, oneglance: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["a=b.mp4", "token=7&x.mp4", "user=me_password=no.mp4", "x?key=1.mp4", "a:b@c.mp4"]
    for name in names:
        make_video(tmp_path / name, frames=2)
    run = oneglance("run", *names, "--model", model, "--jsonl", "out.jsonl")
    assert run.code == 0
    assert [line["source"] for line in lines_of(tmp_path / "out.jsonl")] == [
        name for name in names for _ in range(2)
    ]
    assert all(name in run.out for name in names)
    for name in names:
        Path(name).write_bytes(b"")
        assert oneglance("run", name, "--model", model).message == f"{name} is empty (0 bytes)"
