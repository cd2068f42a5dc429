"""Clips through a real Ray: the rows of the processes of one machine, whoever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from http_server import http_server
from program import Program, start
from ray_head import ENDS_S, ray_head, ray_home, run
from waiting import wait_until

MakeVideo = Callable[..., Path]
Table = Callable[[Path], list[dict[str, Any]]]
SECRET = "hunter2-secret"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.name == "nt", reason="a Ray on Linux"),
]


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where Ray writes what it writes."""
    pytest.importorskip("ray", reason="needs the extra ray")
    with ray_home() as folder:
        monkeypatch.setenv("RAY_TMPDIR", str(folder))
        monkeypatch.setenv("RAY_worker_niceness", "0")  # 15 gets nothing beside busy CPUs
        yield folder


@pytest.fixture
def drives(video: MakeVideo, tmp_path: Path) -> Path:
    """A list of ten clips, of which one is missing and one is text."""
    names = [video(f"{number:02}.mp4", frames=8).name for number in range(8)]
    (tmp_path / "text.mp4").write_text("hello")
    (tmp_path / "all.txt").write_text("\n".join([*names, "gone.mp4", "text.mp4"]))
    return tmp_path / "all.txt"


def rows(table: Table, out: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    clips = [{**row, "attempts": 1} for row in table(out / "clips")]
    return clips, table(out / "detections")


@pytest.fixture
def undisturbed(
    oneglance: Program, drives: Path, model: Path, tmp_path: Path, table: Table
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    out = tmp_path / "undisturbed"
    assert oneglance("batch", drives, "--model", model, "--out", out, "--workers", 1).code == 0
    return rows(table, out)


def family(process: subprocess.Popen[Any]) -> list[Any]:
    psutil = pytest.importorskip("psutil")
    children: list[Any] = psutil.Process(process.pid).children(recursive=True)
    return children


def actors(process: subprocess.Popen[Any]) -> list[Any]:
    return [each for each in family(process) if "ClipActor" in " ".join(each.cmdline())]


def test_a_local_ray_gives_the_same_rows_and_goes_on(
    undisturbed: tuple[list[dict[str, Any]], list[dict[str, Any]]],
    drives: Path,
    model: Path,
    tmp_path: Path,
    table: Table,
) -> None:
    out = tmp_path / "out"
    words = ("batch", drives, "--model", model, "--out", out, "--address", "local")
    ended = run(*words, "--workers", 2)
    assert ended.code == 0, ended.err
    assert "10 clips: 64 frames" in ended.out
    assert ended.err == ""
    assert rows(table, out) == undisturbed
    assert "0 clips, 10 were finished before" in run(*words).out


def test_no_secret_is_in_what_ray_writes(
    model: Path, video: MakeVideo, tmp_path: Path, table: Table, home: Path
) -> None:
    video("a.mp4", frames=5)
    out = tmp_path / "out"
    with http_server(tmp_path) as (address, _):
        host = f"cam:{SECRET}@{address.removeprefix('http://')}"
        uris = [f"http://{host}/{path}?sig={SECRET}" for path in ("file/a.mp4", "file/b.mp4")]
        ended = run("batch", *uris, "--model", model, "--out", out, "--address", "local")
    assert ended.code == 0, ended.err
    assert {row["status"] for row in table(out / "clips")} == {"ok", "failed"}
    written = [file for file in (*home.rglob("*"), *out.rglob("*")) if file.is_file()]
    assert any("logs" in file.parts for file in written)
    assert not [file for file in written if SECRET.encode() in file.read_bytes()]
    assert SECRET not in ended.out + ended.err


def test_a_killed_actor_is_replaced_and_its_clip_done_again(
    undisturbed: tuple[list[dict[str, Any]], list[dict[str, Any]]],
    drives: Path,
    model: Path,
    tmp_path: Path,
    table: Table,
) -> None:
    out = tmp_path / "out"
    words = ("batch", drives, "--model", model, "--out", out, "--address", "local")
    process = start(*words, "--workers", 1, "--commit", 1e-6, stdout=subprocess.DEVNULL)
    wait_until((out / "clips" / "part-000001.parquet").exists, "the first part", within_s=ENDS_S)
    for actor in actors(process):
        actor.kill()
    assert process.wait(ENDS_S) == 0
    assert rows(table, out) == undisturbed


def test_a_long_clip_is_played_in_parts_and_a_killed_actors_part_again(
    oneglance: Program, model: Path, video: MakeVideo, tmp_path: Path, table: Table
) -> None:
    long, short = video("long.mp4", frames=400, options={"g": "12"}), video("a.mp4", frames=5)
    whole, out = tmp_path / "whole", tmp_path / "out"
    ran = oneglance("batch", long, short, "--model", model, "--out", whole, "--split", 0)
    assert ran.code == 0
    process = start(
        *("batch", long, short, "--model", model, "--out", out, "--split", 1 / 60),
        *("--address", "local", "--workers", 1),
        stdout=subprocess.DEVNULL,
    )
    wait_until(
        lambda: list((out / "unfinished").glob("*-frames.parquet")), "a part", within_s=ENDS_S
    )
    for actor in actors(process):
        actor.kill()
    assert process.wait(ENDS_S) == 0
    assert rows(table, out) == rows(table, whole)


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_a_driver_that_is_ended_takes_its_ray_along_and_the_same_command_goes_on(
    undisturbed: tuple[list[dict[str, Any]], list[dict[str, Any]]],
    drives: Path,
    model: Path,
    tmp_path: Path,
    table: Table,
    kill: signal.Signals,
) -> None:
    psutil = pytest.importorskip("psutil")
    out = tmp_path / "out"
    words = ("batch", drives, "--model", model, "--out", out, "--address", "local")
    process = start(*words, "--workers", 1, "--commit", 1e-6, stdout=subprocess.DEVNULL)
    wait_until((out / "clips" / "part-000001.parquet").exists, "the first part", within_s=ENDS_S)
    ours = family(process)
    process.send_signal(kill)
    process.wait(ENDS_S)
    assert not psutil.wait_procs(ours, timeout=ENDS_S)[1]
    assert 0 < len(table(out / "clips")) <= 10
    assert run(*words).code == 0
    assert rows(table, out) == undisturbed


def test_a_clip_that_gives_no_frame_is_given_up_and_the_others_are_done(
    model: Path, video: MakeVideo, tmp_path: Path, table: Table
) -> None:
    good, out = video("a.mp4", frames=5), tmp_path / "out"
    with http_server(tmp_path) as (address, _):
        ended = run(
            *("batch", f"{address}/silent", good, "--model", model, "--out", out),
            *("--address", "local", "--workers", 1, "--stall", 2),
        )
    assert ended.code == 0, ended.err
    found = {row["uri"]: row for row in table(out / "clips")}
    assert found[str(good)]["status"] == "ok"
    hung = found[f"{address}/silent"]
    assert (hung["status"], hung["error_kind"], hung["attempts"]) == ("failed", "ClipStalled", 2)


def test_a_cluster_gives_the_same_rows_reached_directly_and_by_its_client(
    undisturbed: tuple[list[dict[str, Any]], list[dict[str, Any]]],
    drives: Path,
    model: Path,
    tmp_path: Path,
    table: Table,
) -> None:
    with ray_head() as head:
        for number, address in enumerate((head.client, head.address)):
            out = tmp_path / f"out-{number}"
            words = ("batch", drives, "--model", model, "--out", out, "--address", address)
            ended = run(*words)
            assert ended.code == 0, ended.err
            clips, detections = rows(table, out)
            assert detections == undisturbed[1]
            assert [row["status"] for row in clips] == [row["status"] for row in undisturbed[0]]
        too_many = run(*words, "--workers", 3, "--fresh")
        assert too_many.code == 2
        assert "has 2 CPUs: give --workers 2 at most" in too_many.message
        elsewhere = tmp_path / "here.onnx"  # every process has its own idea of what that is
        elsewhere.symlink_to("/proc/self/fd/0")
        with model.open("rb") as file:
            process = start(
                *("batch", drives, "--model", elsewhere, "--out", tmp_path / "none"),
                *("--address", head.address),
                stdin=file,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            _, said = process.communicate(timeout=ENDS_S)
        assert process.returncode == 2
        assert len(said.splitlines()) == 1
        assert b"cannot look at clips" in said
        assert b"the model at the same place" in said
        assert table(tmp_path / "none" / "clips") == []
