"""The pool of processes: killed workers, clips that hang, models that cannot be loaded."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import closing
from multiprocessing import active_children
from pathlib import Path

import pytest

from http_server import http_server
from oneglance.perception.batch.clip import Settings
from oneglance.perception.batch.events import Done, Unit
from oneglance.perception.batch.listing import Clip, list_clips
from oneglance.perception.batch.local import LocalPool
from oneglance.perception.batch.spilling import ClipTables
from oneglance.streams import ModelError

MakeVideo = Callable[..., Path]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


def pool(model: Path, folder: Path, *, workers: int = 1, stall_s: float = 200) -> LocalPool:
    return LocalPool(Settings(model=str(model), cpus=1), workers, spill=folder, stall_s=stall_s)


def ended(runs: LocalPool, clips: Sequence[Clip]) -> dict[str, Done]:
    done = [event for event in runs.run([Unit(clip) for clip in clips]) if isinstance(event, Done)]
    assert len(done) == len({each.row.uri for each in done})
    return {each.row.uri: each for each in done}


def test_every_clip_ends_once_whatever_is_wrong_with_it(
    model: Path, video: MakeVideo, tmp_path: Path
) -> None:
    good = [str(video(f"{number}.mp4", frames=5)) for number in range(3)]
    (tmp_path / "text.mp4").write_text("hello")
    names = [*good, str(tmp_path / "text.mp4"), str(tmp_path / "gone.mp4")]
    done = ended(pool(model, tmp_path, workers=2), list_clips(names))
    assert sorted(done) == sorted(names)
    assert {name: each.row.status for name, each in done.items()} == {
        name: "ok" if name in good else "failed" for name in names
    }
    assert all(sum(t.num_rows for t in done[name].tables) == 15 for name in good)


def workers() -> list[int]:
    """The processes that are at work now."""
    return [child.pid or 0 for child in active_children()]


def test_a_killed_worker_is_replaced_and_its_clip_done_again(
    model: Path, video: MakeVideo, tmp_path: Path
) -> None:
    clips = list_clips(str(video(f"{number}.mp4", frames=5)) for number in range(3))
    runs = pool(model, tmp_path)
    done: list[Done] = []
    killed = 0
    with closing(runs.run([Unit(clip) for clip in clips])) as events:
        for event in events:
            if isinstance(event, Done):
                done.append(event)
                if not killed:  # the next clip was given to it already
                    (killed,) = workers()
                    os.kill(killed, signal.SIGKILL)
    assert [each.row.uri for each in done] == [clip.name for clip in clips]
    assert {each.row.status for each in done} == {"ok"}
    assert [sum(t.num_rows for t in each.tables) for each in done] == [15] * 3


def test_a_clip_whose_worker_is_killed_twice_is_a_row_and_the_others_are_done(
    model: Path, video: MakeVideo, tmp_path: Path
) -> None:
    good = str(video("a.mp4", frames=5))
    with http_server(tmp_path) as (address, asked):
        hanging = f"{address}/silent"
        runs = pool(model, tmp_path)
        done, kills = {}, 0
        with closing(runs.run([Unit(clip) for clip in list_clips([hanging, good])])) as events:
            for event in events:
                if isinstance(event, Done):
                    done[event.row.uri] = event.row
                if kills < 2 and asked:
                    os.kill(workers()[0], signal.SIGKILL)
                    kills += 1
                    asked.clear()
    row = done[hanging]
    assert (row.status, row.error_kind, row.attempts) == ("failed", "WorkerKilled", 2)
    assert "2 times (SIGKILL; out of memory?)" in str(row.error)
    assert (done[good].status, done[good].attempts) == ("ok", 1)


@pytest.mark.slow
def test_a_clip_that_gives_no_frame_is_given_up_and_the_others_are_done(
    model: Path, video: MakeVideo, tmp_path: Path
) -> None:
    good = str(video("a.mp4", frames=5))
    with http_server(tmp_path) as (address, _):
        hanging = f"{address}/silent"
        done = ended(pool(model, tmp_path, stall_s=3), list_clips([hanging, good]))
    assert done[hanging].row.error_kind == "ClipStalled"
    assert "no frame for 3 s, 2 times" in str(done[hanging].row.error)
    assert done[good].row.status == "ok"


def test_a_model_that_cannot_be_loaded_ends_the_run(tmp_path: Path, video: MakeVideo) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"broken\.onnx"):
        ended(pool(broken, tmp_path), list_clips([str(video("a.mp4"))]))


def test_no_process_is_left_when_the_caller_leaves_early(
    model: Path, video: MakeVideo, tmp_path: Path
) -> None:
    psutil = pytest.importorskip("psutil")
    runs = pool(model, tmp_path, workers=2)
    clips = list_clips(str(video(f"{number}.mp4", frames=5)) for number in range(4))
    with closing(runs.run([Unit(clip) for clip in clips])) as events:
        next(events)
        pids = workers()
        assert len(pids) == 2
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_long_clip_goes_through_a_file(model: Path, video: MakeVideo, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    from oneglance.perception.batch.clip import ClipReader

    tables = ClipTables(tmp_path)
    (clip,) = list_clips([str(video("a.mp4", frames=4))])
    (table,) = ClipReader(Settings(model=str(model))).read(clip)
    for _ in range(3):
        tables.add(table)
    few, (file,) = tables.close()
    assert few == []
    assert pq.read_table(file).num_rows == 3 * table.num_rows
    assert file.name.startswith(".oneglance-")
