"""Long clips in parts: the rows of the clip played whole, whoever is killed meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest

from media import cut
from oneglance.perception.batch.clip import ClipReader, Settings
from oneglance.perception.batch.events import Done, Progress, Split, Unit
from oneglance.perception.batch.job import BatchOptions, BatchSummary, run_batch
from oneglance.perception.batch.listing import Clip, list_clips
from oneglance.perception.batch.local import LocalPool
from oneglance.perception.batch.manifest import BatchOutput
from oneglance.perception.batch.splitting import PartedRun
from oneglance.streams import UsageError
from program import start
from s3_server import s3_server
from waiting import LONG_S, wait_until

MakeVideo = Callable[..., Path]
Table = Callable[[Path], list[dict[str, Any]]]
Rows = tuple[list[dict[str, Any]], list[dict[str, Any]]]

OPEN = {"x264-params": "keyint=12:bframes=3:b-adapt=0:scenecut=0:open-gop=1"}
SPLIT_S = 1.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="POSIX signals"),
]


@pytest.fixture
def long(video: MakeVideo) -> Path:
    """A clip of 4 s, to be cut into four parts."""
    return video("long.mp4", frames=100, options=OPEN)


@pytest.fixture
def settings(model: Path) -> Settings:
    return Settings(model=str(model), cpus=1, split_s=SPLIT_S)


def batch(settings: Settings, out: Path, *clips: Path | str, workers: int = 1) -> BatchSummary:
    summary = BatchSummary()
    uris = [str(clip) for clip in clips]
    run_batch(BatchOptions(uris=uris, out=out, settings=settings, workers=workers), summary)
    return summary


def whole(settings: Settings, out: Path, *clips: Path) -> None:
    """The same, of clips played from their beginnings to their ends, by this process."""
    reader = ClipReader(settings)
    with closing(BatchOutput(out, settings.facts())) as output:
        for clip in list_clips(map(str, clips)):
            tables, found = reader.read(clip), []
            try:
                while True:
                    found.append(next(tables))
            except StopIteration as end:
                output.add(end.value, found, [])


@pytest.fixture
def rows(table: Table) -> Callable[[Path], Rows]:
    def read(out: Path) -> Rows:
        clips = [{**row, "attempts": 1} for row in table(out / "clips")]
        return clips, table(out / "detections")

    return read


class Watched:
    """A pool that keeps what it was given and what it said, and calls ``on_part`` with each part
    that is done."""

    def __init__(self, pool: LocalPool, on_part: Callable[[Done], None] = lambda _: None) -> None:
        self.pool, self._on_part = pool, on_part
        self.units: list[Unit] = []
        self.parts: list[Done] = []

    def run(self, units: Sequence[Unit]) -> Generator[Done | Split | Progress]:
        self.units += units
        with closing(self.pool.run(units)) as events:
            for event in events:
                if isinstance(event, Done) and event.number is not None:
                    self.parts.append(event)
                    self._on_part(event)
                yield event

    def add(self, units: Sequence[Unit]) -> None:
        self.units += units
        self.pool.add(units)

    def drop(self, clip: Clip) -> None:
        self.pool.drop(clip)


def run_watched(
    settings: Settings,
    out: Path | str,
    *clips: Path | str,
    on_part: Callable[[Watched, Done], None] = lambda _pool, _done: None,
) -> Watched:
    """A run of one worker whose pool is watched."""
    with closing(BatchOutput(out, settings.facts())) as output:
        pool = LocalPool(settings, 1, spill=output.scratch, stall_s=200)
        watched = Watched(pool, lambda done: on_part(watched, done))
        run = PartedRun(watched, output, track=settings.track)
        with closing(run.events(list_clips(str(clip) for clip in clips))) as events:
            for event in events:
                if isinstance(event, Done):
                    output.add(event.row, event.tables, event.spilled)
    return watched


def workers() -> list[int]:
    """The pool's processes that are at work now."""
    return [child.pid or 0 for child in active_children() if child.name == "oneglance-batch"]


@pytest.mark.parametrize(
    "how", [{}, {"every": 7}, {"track": False}], ids=["every-frame", "every-7th", "no-tracks"]
)
def test_a_split_clip_has_the_rows_of_the_whole(
    settings: Settings,
    long: Path,
    video: MakeVideo,
    tmp_path: Path,
    rows: Callable[[Path], Rows],
    how: dict[str, Any],
) -> None:
    short = video("short.mp4", frames=10)
    split = replace(settings, **how)
    whole(split, tmp_path / "whole", long, short)
    watched = run_watched(split, tmp_path / "parts", long, short)
    assert len(watched.parts) == 4
    parts = rows(tmp_path / "parts")
    assert parts == rows(tmp_path / "whole")
    assert {row["uri"]: row["status"] for row in parts[0]} == {str(long): "ok", str(short): "ok"}
    assert any(row["track_id"] is not None for row in parts[1]) == split.track
    assert not (tmp_path / "parts" / "unfinished").exists()


def test_a_matroska_file_is_split_unless_frames_between_are_left_out(
    settings: Settings, video: MakeVideo, tmp_path: Path, rows: Callable[[Path], Rows]
) -> None:
    """It does not say how many frames come before a key frame."""
    clip = video("a.mkv", frames=100, options=OPEN)
    for every, parts in ((1, 4), (7, 0)):
        how = replace(settings, every=every)
        out = tmp_path / f"parts-{every}"
        whole(how, tmp_path / f"whole-{every}", clip)
        assert len(run_watched(how, out, clip).parts) == parts
        assert rows(out) == rows(tmp_path / f"whole-{every}")


def test_a_damaged_clip_is_played_whole_and_nothing_is_lost(
    settings: Settings, long: Path, tmp_path: Path, rows: Callable[[Path], Rows]
) -> None:
    content = bytearray(long.read_bytes())
    at = len(content) * 6 // 10
    content[at : at + 700] = bytes((7 * each + 1) % 256 for each in range(700))
    long.write_bytes(content)
    whole(settings, tmp_path / "whole", long)
    watched = run_watched(settings, tmp_path / "parts", long)
    assert watched.parts
    assert [unit.is_whole for unit in watched.units if unit.part is None] == [False, True]
    clips, detections = rows(tmp_path / "parts")
    assert (clips, detections) == rows(tmp_path / "whole")
    assert [row["status"] for row in clips] == ["partial"]
    assert clips[0]["damaged"] > 0
    assert not (tmp_path / "parts" / "unfinished").exists()


def test_a_truncated_clip_is_not_split(
    settings: Settings, video: MakeVideo, tmp_path: Path, rows: Callable[[Path], Rows]
) -> None:
    front = {"movflags": "faststart"}
    clip = cut(video("a.mp4", frames=100, options=OPEN, container_options=front), keep=0.8)
    whole(settings, tmp_path / "whole", clip)
    assert run_watched(settings, tmp_path / "parts", clip).parts == []
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")


def test_a_killed_workers_part_is_played_again(
    settings: Settings, long: Path, tmp_path: Path, rows: Callable[[Path], Rows]
) -> None:
    whole(settings, tmp_path / "whole", long)

    def kill_once(watched: Watched, done: Done) -> None:
        if len(watched.parts) == 1:  # the next part was given to it already
            os.kill(workers()[0], signal.SIGKILL)

    watched = run_watched(settings, tmp_path / "parts", long, on_part=kill_once)
    assert sorted(done.number or 0 for done in watched.parts) == [0, 1, 2, 3]
    assert sorted(done.row.attempts for done in watched.parts) == [1, 1, 1, 2]
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")


def test_a_part_whose_workers_are_killed_twice_makes_the_clip_a_row_with_its_error(
    settings: Settings, long: Path, video: MakeVideo, tmp_path: Path, table: Table
) -> None:
    good = video("good.mp4", frames=5)
    with closing(BatchOutput(tmp_path / "out", settings.facts())) as output:
        pool = LocalPool(settings, 1, spill=output.scratch, stall_s=200)
        run, kills = PartedRun(pool, output, track=True), 0
        begun = pool._tries
        with closing(run.events(list_clips([str(long), str(good)]))) as events:
            for event in events:
                if isinstance(event, Done):
                    output.add(event.row, event.tables, event.spilled)
                at_work = [unit for unit in begun if unit.number is not None]
                if kills < 2 and at_work and begun[at_work[0]] == kills + 1:
                    os.kill(workers()[0], signal.SIGKILL)
                    kills += 1
    found = {row["uri"]: row for row in table(tmp_path / "out" / "clips")}
    assert (found[str(long)]["status"], found[str(long)]["error_kind"]) == (
        "failed",
        "WorkerKilled",
    )
    assert "its worker ended 2 times" in found[str(long)]["error"]
    assert found[str(good)]["status"] == "ok"
    assert {row["clip"] for row in table(tmp_path / "out" / "detections")} == {str(good)}
    assert not (tmp_path / "out" / "unfinished").exists()


@pytest.mark.timeout(600)
def test_parts_that_were_played_outlast_a_kill_of_the_driver(
    settings: Settings, video: MakeVideo, model: Path, tmp_path: Path, rows: Callable[[Path], Rows]
) -> None:
    long = video("long.mp4", frames=400, options=OPEN)
    whole(settings, tmp_path / "whole", long)
    out = tmp_path / "parts"
    words = ("batch", long, "--model", model, "--out", out, "--split", SPLIT_S / 60)
    process = start(*words, "--workers", 1, stdout=subprocess.DEVNULL)
    wait_until(
        lambda: len(list((out / "unfinished").glob("*-frames.parquet"))) >= 2,
        "two parts",
        within_s=5 * LONG_S,
    )
    process.kill()
    process.wait()
    kept = len(list((out / "unfinished").glob("*-frames.parquet")))
    assert rows(out) == ([], [])
    watched = run_watched(settings, out, long)
    assert kept >= 2
    assert len(watched.parts) == 16 - kept
    assert rows(out) == rows(tmp_path / "whole")
    assert not (out / "unfinished").exists()


def test_a_part_that_was_kept_and_cannot_be_read_is_played_again(
    settings: Settings, long: Path, tmp_path: Path, rows: Callable[[Path], Rows]
) -> None:
    whole(settings, tmp_path / "whole", long)

    def damage(watched: Watched, done: Done) -> None:
        for file in (tmp_path / "parts" / "unfinished").glob("*.parquet"):
            file.write_bytes(b"PAR1 and no more")

    run_watched(settings, tmp_path / "parts", long, on_part=damage)
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")


def test_parts_of_a_clip_that_nobody_asks_for_any_more_are_removed(
    settings: Settings, long: Path, video: MakeVideo, tmp_path: Path
) -> None:
    class Enough(Exception):
        pass

    def leave(watched: Watched, done: Done) -> None:
        if len(watched.parts) == 2:
            raise Enough

    out = tmp_path / "out"
    with pytest.raises(Enough):
        run_watched(settings, out, long, on_part=leave)
    assert list((out / "unfinished").iterdir())
    batch(settings, out, video("other.mp4", frames=5))
    assert not (out / "unfinished").exists()


def test_parts_are_kept_and_joined_in_an_object_store_as_well(
    settings: Settings, long: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: Table
) -> None:
    import pyarrow.parquet as pq

    whole(settings, tmp_path / "whole", long)
    with s3_server(monkeypatch, "fleet", []):
        watched = run_watched(settings, "s3://fleet/out", long)
        s3fs = pytest.importorskip("s3fs")
        store = s3fs.S3FileSystem()
        files = store.find("fleet/out")
        found = [
            row
            for file in files
            if "/detections/" in file
            for row in pq.read_table(store.open(file)).to_pylist()
        ]
    assert len(watched.parts) == 4
    assert not [file for file in files if "/unfinished/" in file]
    order = [str(list(row.values())) for row in table(tmp_path / "whole" / "detections")]
    assert sorted(str(list(row.values())) for row in found) == sorted(order)


def test_minutes_that_are_none_are_refused(settings: Settings, long: Path, tmp_path: Path) -> None:
    for split_s in (-1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="--split must be 0 or more minutes"):
            batch(replace(settings, split_s=split_s), tmp_path / "out", long)
    assert not (tmp_path / "out").exists()
