"""``oneglance batch`` as people run it: ended by signals, gone on with, read by other tools."""

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
from s3_server import s3_server
from waiting import LONG_S, wait_until

MakeVideo = Callable[..., Path]
SECRET = "hunter2-secret"

posix_only = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


@pytest.fixture(autouse=True)
def _extra() -> None:
    for package in ("pyarrow", "fsspec"):
        pytest.importorskip(package, reason="needs the extra batch")


def rows(folder: Path) -> list[dict[str, Any]]:
    """A table's rows in an order of their own, the clocks' columns left out."""
    import pyarrow.parquet as pq

    clocks = {"started", "took", "attempts"}
    found = [
        {name: value for name, value in row.items() if name not in clocks}
        for file in sorted(folder.glob("*.parquet"))
        for row in pq.read_table(file).to_pylist()
    ]
    return sorted(found, key=lambda row: [str(value) for value in row.values()])


@pytest.fixture
def drives(video: MakeVideo, tmp_path: Path) -> Path:
    """A list of twelve clips, of which one is missing and one is text."""
    names = [video(f"{number:02}.mp4", frames=8).name for number in range(10)]
    (tmp_path / "text.mp4").write_text("hello")
    (tmp_path / "all.txt").write_text("\n".join([*names, "gone.mp4", "text.mp4"]))
    return tmp_path / "all.txt"


@pytest.fixture
def undisturbed(
    oneglance: Program, drives: Path, model: Path, tmp_path: Path
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    out = tmp_path / "undisturbed"
    assert oneglance("batch", drives, "--model", model, "--out", out, "--workers", 1).code == 0
    return rows(out / "clips"), rows(out / "detections")


def test_broken_clips_are_rows_and_the_run_says_what_it_did(
    undisturbed: tuple[list[dict[str, Any]], list[dict[str, Any]]],
    oneglance: Program,
    drives: Path,
    model: Path,
    tmp_path: Path,
) -> None:
    clips, detections = undisturbed
    assert len(clips) == 12
    assert sum(clip["status"] == "ok" for clip in clips) == 10
    assert len(detections) == 10 * 8 * 3
    again = oneglance("batch", drives, "--model", model, "--out", tmp_path / "undisturbed")
    assert again.code == 0
    assert "0 clips, 12 were finished before" in again.out
    fresh = oneglance(
        "batch", drives, "--model", model, "--out", tmp_path / "undisturbed", "--fresh"
    )
    assert "12 clips: 80 frames" in fresh.out
    assert "broken: 2" in fresh.out
    assert "gone.mp4" in fresh.out
    assert rows(tmp_path / "undisturbed" / "detections") == detections


@posix_only
@pytest.mark.slow
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_that_was_ended_goes_on_and_counts_every_clip_once(
    undisturbed: tuple[list[dict[str, Any]], list[dict[str, Any]]],
    drives: Path,
    model: Path,
    tmp_path: Path,
    kill: signal.Signals,
) -> None:
    psutil = pytest.importorskip("psutil")
    out = tmp_path / "out"
    words = ("batch", drives, "--model", model, "--out", out, "--workers", 2, "--commit", 1e-6)
    run = start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until((out / "clips" / "part-000001.parquet").exists, "the first part")
    workers = psutil.Process(run.pid).children(recursive=True)
    run.send_signal(kill)
    reported, messages = run.communicate(timeout=LONG_S)
    psutil.wait_procs(workers, timeout=LONG_S)
    assert not [worker for worker in workers if worker.is_running()]
    before = rows(out / "clips")
    assert 0 < len(before) <= 12
    if kill is not signal.SIGKILL and run.returncode != 0:
        assert run.returncode == 130
        assert b"frames/s" in reported
        assert b"the same command goes on" in messages
        assert len(messages.splitlines()) == 1
        assert {r["clip"] for r in rows(out / "detections")} == {
            r["uri"] for r in before if r["detections"]
        }
    assert start(*words, stdout=subprocess.DEVNULL).wait(LONG_S) == 0
    assert (rows(out / "clips"), rows(out / "detections")) == undisturbed


@posix_only
@pytest.mark.slow
def test_workers_that_are_killed_cost_nothing(
    undisturbed: tuple[list[dict[str, Any]], list[dict[str, Any]]],
    drives: Path,
    model: Path,
    tmp_path: Path,
) -> None:
    psutil = pytest.importorskip("psutil")
    out = tmp_path / "out"
    words = ("batch", drives, "--model", model, "--out", out, "--workers", 2, "--commit", 1e-6)
    run = start(*words, stdout=subprocess.DEVNULL)
    wait_until((out / "clips" / "part-000001.parquet").exists, "the first part")
    for worker in psutil.Process(run.pid).children():
        if "spawn_main" in " ".join(worker.cmdline()):
            worker.kill()
    assert run.wait(LONG_S) == 0
    assert (rows(out / "clips"), rows(out / "detections")) == undisturbed


@posix_only
def test_ctrl_c_does_not_wait_for_a_server_that_is_silent(
    model: Path, video: MakeVideo, tmp_path: Path
) -> None:
    good, out = video("a.mp4", frames=5), tmp_path / "out"
    with http_server(tmp_path) as (address, asked):
        run = start(
            *("batch", good, f"{address}/silent", "--model", model, "--out", out),
            *("--workers", 1),
            stdout=subprocess.PIPE,
        )
        wait_until(lambda: bool(asked), "the worker to ask")
        run.send_signal(signal.SIGINT)
        reported, _ = run.communicate(timeout=LONG_S)  # the server would be silent for ever
    assert run.returncode == 130
    assert b"1 clips, 1 are left" in reported
    assert [row["uri"] for row in rows(out / "clips")] == [str(good)]
    assert len(rows(out / "detections")) == 15


def test_no_secret_is_in_what_is_written_or_said(
    oneglance: Program, model: Path, video: MakeVideo, tmp_path: Path
) -> None:
    clip, out = video("a.mp4", frames=5), tmp_path / "out"
    with http_server(tmp_path) as (address, _):
        host = f"cam:{SECRET}@{address.removeprefix('http://')}"
        uris = [f"http://{host}/{path}?sig={SECRET}" for path in ("file/a.mp4", "file/b.mp4")]
        run = oneglance("batch", *uris, "--model", model, "--out", out, "--debug")
    assert run.code == 0, run.err
    assert clip.name in run.out
    assert SECRET not in run.out + run.err
    written = [file for file in out.rglob("*") if file.is_file()]
    assert len(written) > 4
    assert not any(SECRET in str(file) or SECRET.encode() in file.read_bytes() for file in written)
    assert SECRET not in repr((rows(out / "clips"), rows(out / "detections")))


def test_a_bucket_holds_the_tables_as_a_folder_does(
    undisturbed: tuple[list[dict[str, Any]], list[dict[str, Any]]],
    oneglance: Program,
    drives: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with s3_server(monkeypatch, "fleet", []):
        import s3fs

        words = ("batch", drives, "--model", model, "--out", "s3://fleet/out", "--workers", 1)
        run = oneglance(*words)
        assert run.code == 0, run.err
        assert "0 clips, 12 were finished before" in oneglance(*words).out
        s3fs.S3FileSystem(skip_instance_cache=True).get(
            "fleet/out", str(tmp_path / "copy"), recursive=True
        )
    copy = tmp_path / "copy"
    assert (rows(copy / "clips"), rows(copy / "detections")) == undisturbed


def refusals(folder: Path) -> Iterator[tuple[list[object], str]]:
    (folder / "empty.txt").touch()
    (folder / "drives").mkdir()
    (folder / "folder.txt").write_text("drives")
    (folder / "foreign").mkdir()
    (folder / "foreign" / "a").touch()
    out = ["--out", folder / "out"]
    (folder / "older").mkdir()
    (folder / "older" / ".oneglance.json").write_text('{"made_by": "oneglance batch"}')
    (folder / "older" / "batch.json").write_text('{"oneglance.schema": 0}')
    yield ["a.mp4", "--out", folder / "older"], "tables of version 0"
    yield ["a.mp4", "--out", "https://host/out"], "cannot write to https://host/out"
    yield [folder / "empty.txt", *out], "is empty"
    yield [folder / "folder.txt", *out], "is a folder"
    yield ["rtsp://cam/1", *out], "no recording"
    yield ["a.mp4", "--out", folder / "foreign"], "did not make"
    yield ["a.mp4", *out, "--workers", 0], "--workers"
    yield ["a.mp4", *out, "--every", 0], "--every"
    yield ["a.mp4", *out, "--commit", 0], "--commit"
    yield ["a.mp4", *out, "--model", "road4-x"], "no model named"


def test_what_cannot_be_done_is_one_sentence_and_touches_nothing(
    oneglance: Program, tmp_path: Path
) -> None:
    for words, expected in refusals(tmp_path):
        run = oneglance("batch", *words)
        assert run.code == 2, words
        assert expected in run.message
        assert not (tmp_path / "out").exists(), words


def test_clips_that_all_fail_are_rows_and_an_error(
    oneglance: Program, model: Path, tmp_path: Path
) -> None:
    run = oneglance("batch", tmp_path / "gone.mp4", "--model", model, "--out", tmp_path / "out")
    assert run.code == 2
    assert run.message == "no clip could be played"
    assert [row["error_kind"] for row in rows(tmp_path / "out" / "clips")] == ["SourceNotFound"]


def test_duckdb_and_pandas_read_the_tables(
    undisturbed: tuple[list[dict[str, Any]], list[dict[str, Any]]], tmp_path: Path
) -> None:
    duckdb, pandas = pytest.importorskip("duckdb"), pytest.importorskip("pandas")
    out = tmp_path / "undisturbed"
    found = duckdb.sql(
        f"""
        SELECT task, count(*) FROM '{out}/detections/*.parquet' d
        JOIN '{out}/clips/*.parquet' c ON d.clip = c.uri WHERE c.status = 'ok'
        GROUP BY task ORDER BY task
        """
    ).fetchall()
    assert found == [("car", 80), ("pedestrian", 80), ("sign", 80)]
    frame = pandas.read_parquet(out / "detections")
    assert len(frame) == 240
    assert set(pandas.read_parquet(out / "clips")["status"]) == {"ok", "failed"}
