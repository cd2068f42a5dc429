"""``oneglance run`` on cameras that come and go."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from present import present
from program import Program, content, lines_of, start
from scripted_camera import Connection, scripted_camera, steady
from waiting import ENDED_S, Stopwatch, wait_until


def test_a_camera_that_is_lost_again_and_again_is_run_to_the_end(
    oneglance: Program, model: Path, tmp_path: Path
) -> None:
    out, summary = tmp_path / "out.jsonl", tmp_path / "summary.json"
    with scripted_camera(lambda connection: connection.play(20)) as camera:
        run = oneglance(
            *("run", camera.url, "--model", model, "--max-frames", 45),
            *("--jsonl", out, "--json-summary", summary),
        )
    assert run.code == 0, run.err
    assert len(lines_of(out)) == 45
    found = json.loads(summary.read_text())["sources"][0]
    assert found["reconnects"] >= 2
    assert "the server hung up" in found["last_error"]
    assert "the server hung up" in run.out  # the closing table names it
    uncounted = found["produced"] - found["delivered"] - found["corrupt"]
    assert uncounted == sum(found["dropped"].values())


def test_a_camera_that_is_not_there_is_an_error_at_once_where_it_may_not_come_later(
    oneglance: Program, model: Path
) -> None:
    with scripted_camera(steady) as camera:
        camera.unplug()
        run = oneglance("run", camera.url, "--model", model)
    assert run.code == 2
    assert run.message == f"{camera.url}: nobody listens there (connection refused)"


def test_several_cameras_run_at_once_and_one_that_is_away_holds_up_none(
    oneglance: Program, model: Path, tmp_path: Path
) -> None:
    out, summary = tmp_path / "out.jsonl", tmp_path / "summary.json"
    with (
        scripted_camera(steady) as left,
        scripted_camera(steady) as right,
        scripted_camera(steady) as away,
    ):
        away.unplug()
        run = oneglance(
            *("run", left.url, away.url, right.url, "--mode", "live"),
            *("--model", model, "--max-frames", 60, "--jsonl", out, "--json-summary", summary),
        )
    assert run.code == 0, run.err
    counts = Counter(line["source"] for line in lines_of(out))
    assert counts.keys() == {left.url, right.url}
    assert min(counts.values()) > 15
    found = {source["source"]: source for source in json.loads(summary.read_text())["sources"]}
    assert found[away.url]["delivered"] == 0
    assert "nobody listens there" in found[away.url]["last_error"]


@pytest.mark.parametrize("option", [("--timeout", "0"), ("--stall", "-1"), ("--transport", "x")])
def test_useless_options_are_reported(oneglance: Program, option: tuple[str, str]) -> None:
    run = oneglance("run", "rtsp://127.0.0.1:1/x", *option)
    assert run.code == 2
    assert "time-out must be above 0 s" in run.err or "'x' is not one of 'tcp'" in run.err


def test_ctrl_c_ends_a_run_whose_cameras_are_silent_away_and_locked_up(
    model: Path, tmp_path: Path
) -> None:
    def half(connection: Connection) -> None:
        connection.part(b"\xff\xd8", claimed=9999)
        connection.silence()

    out = tmp_path / "out.jsonl"
    with (
        scripted_camera(half) as stuck,
        scripted_camera(Connection.silence) as silent,
        scripted_camera(steady) as away,
        scripted_camera(steady) as healthy,
    ):
        away.unplug()
        urls = [camera.url for camera in (stuck, silent, away, healthy)]
        with start(
            *("run", *urls, "--mode", "live", "--model", model, "--jsonl", out),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as run:
            wait_until(lambda: len(content(out).splitlines()) > 10)
            pressed = Stopwatch()
            run.send_signal(signal.SIGINT)
            printed = b""
            while b"interrupted" not in printed:
                printed += present(run.stderr).readline()
            took_s = pressed.stop()
            rest = run.communicate(timeout=30)[1]
    print(f"from Ctrl-C to closed outputs: {1e3 * took_s:.0f} ms")
    assert took_s < ENDED_S
    assert run.returncode == 130, rest
    assert {line["source"] for line in lines_of(out)} == {healthy.url}
