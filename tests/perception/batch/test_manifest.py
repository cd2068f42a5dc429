"""The output folder: what is in it counts once, whatever ended the run before."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from filling import filling
from oneglance.perception.batch import manifest
from oneglance.perception.batch.manifest import BatchOutput
from oneglance.perception.batch.schema import ROW_GROUP, ClipRow, detections_schema
from oneglance.streams import OneglanceError, SinkError, UsageError

FACTS = {"model_sha256": "ab", "every": 1}
Table = Callable[[Path], list[dict[str, Any]]]


def row(name: str) -> ClipRow:
    return ClipRow(uri=name, status="ok", started=datetime.now(UTC))


def boxes(clip: str, count: int = 1) -> Any:
    """So many rows of ``detections``."""
    import pyarrow as pa

    one = dict.fromkeys(detections_schema().names, 1) | {"clip": clip, "task": "car"}
    one |= {"class": "car", "model": "m", "model_sha256": "ab"}
    return pa.Table.from_pylist([one] * count, schema=detections_schema())


def test_a_clip_is_finished_when_its_part_is_there_and_a_new_run_knows_it(
    tmp_path: Path, table: Table
) -> None:
    output = BatchOutput(tmp_path / "out", FACTS)
    output.add(row("a"), [boxes("a")], [])
    assert output.finished() == set()
    output.commit()
    assert output.finished() == {"a"}
    output.add(row("b"), [boxes("b")], [])
    output.close()
    again = BatchOutput(tmp_path / "out", FACTS)
    assert again.finished() == {"a", "b"}
    again.add(row("c"), [], [])
    again.close()
    assert [r["uri"] for r in table(tmp_path / "out" / "clips")] == ["a", "b", "c"]
    assert [r["clip"] for r in table(tmp_path / "out" / "detections")] == ["a", "b"]


def test_finished_clips_are_written_when_it_is_time(tmp_path: Path) -> None:
    now_s = 0.0
    output = BatchOutput(tmp_path, FACTS, commit_s=60, clock=lambda: now_s)
    output.add(row("a"), [], [])
    now_s = 59.0
    output.tick()
    assert not output.finished()
    now_s = 60.0
    output.tick()
    assert output.finished() == {"a"}
    output.close()


def test_detections_whose_clips_were_not_written_are_removed(tmp_path: Path, table: Table) -> None:
    output = BatchOutput(tmp_path, FACTS)
    output.add(row("a"), [boxes("a")], [])
    output.close()
    orphan = tmp_path / "detections" / "part-000002.parquet"
    orphan.write_bytes((tmp_path / "detections" / "part-000001.parquet").read_bytes())
    (tmp_path / "detections" / ".oneglance-0123456789ab.part").write_bytes(b"half")
    foreign = tmp_path / "detections" / "notes.txt"
    foreign.write_text("mine")
    BatchOutput(tmp_path, FACTS).close()
    assert not orphan.exists()
    assert foreign.read_text() == "mine"
    assert [file.name for file in (tmp_path / "detections").iterdir() if "part" in file.name] == [
        "part-000001.parquet"
    ]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("which", ["detections", "clips"])
def test_a_commit_that_is_interrupted_counts_once(
    tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch, moment: str, which: str
) -> None:
    output = BatchOutput(tmp_path, FACTS)
    long = tmp_path / "detections" / ".oneglance-0123456789ab.part"
    import pyarrow.parquet as pq

    pq.write_table(boxes("long", 3), long)
    place = output._place
    interrupted: list[str] = []

    def interrupting(step: Callable[..., None]) -> Callable[..., None]:
        def run(name: str, content: Any) -> None:
            if name.startswith(which) and not interrupted:
                interrupted.append(name)
                if moment == "after":
                    step(name, content)
                raise KeyboardInterrupt
            step(name, content)

        return run

    for name in ("put", "write"):
        monkeypatch.setattr(place, name, interrupting(getattr(place, name)))
    output.add(row("a"), [boxes("a", 2)], [])
    with pytest.raises(KeyboardInterrupt):
        output.add(row("long"), [], [long])
    output.close()
    assert [r["uri"] for r in table(tmp_path / "clips")] == ["a", "long"]
    assert [r["clip"] for r in table(tmp_path / "detections")] == ["a"] * 2 + ["long"] * 3


def test_row_groups_are_of_a_useful_size(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    output = BatchOutput(tmp_path, FACTS)
    for number in range(300):
        output.add(row(str(number)), [boxes(str(number), 100)], [])
    output.close()
    (file,) = (tmp_path / "detections").glob("*.parquet")
    assert pq.ParquetFile(file).metadata.num_rows == 30_000
    assert pq.ParquetFile(file).metadata.num_row_groups == -(-30_000 // ROW_GROUP)
    assert pq.read_schema(file).metadata[b"oneglance.schema"] == b"1"


def test_files_are_rolled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "ROWS_A_FILE", 10)
    monkeypatch.setattr(manifest, "CLIPS_A_FILE", 3)
    output = BatchOutput(tmp_path, FACTS)
    for number in range(4):
        output.add(row(str(number)), [boxes(str(number), 5)], [])
    for number in range(4, 8):
        output.add(row(str(number)), [], [])
    output.close()
    assert len(list((tmp_path / "detections").glob("*.parquet"))) == 2
    assert len(list((tmp_path / "clips").glob("*.parquet"))) == 4


def test_memory_is_flat_however_many_clips_end(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("memory is counted in Linux's own way")
    reported = subprocess.run(
        [sys.executable, "-c", MEASURED, tmp_path / "out"],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    ).stdout
    grown_mb = float(reported)
    print(f"grown by {grown_mb:.0f} MB")
    assert grown_mb <= 50


MEASURED = """
import pickle, sys
from datetime import UTC, datetime
import numpy as np
import pyarrow as pa
from oneglance.perception.batch.manifest import BatchOutput
from oneglance.perception.batch.schema import ClipRow, detections_schema

def peak_mb():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1e3

def boxes(clip, count=300):
    texts = {"clip": clip, "task": "car", "class": "car", "model": "m", "model_sha256": "ab" * 32}
    return pa.Table.from_arrays(
        [
            pa.array([texts[f.name]] * count) if f.name in texts
            else pa.array(np.random.default_rng(1).random(count) * 1000).cast(f.type, safe=False)
            for f in detections_schema()
        ],
        schema=detections_schema(),
    )

output = BatchOutput(sys.argv[1], {}, commit_s=1e9)
for number in range(2_000):
    name = f"s3://fleet/date=2026-01-02/vehicle-{number:06}/front.mp4"
    row = ClipRow(uri=name, status="ok", started=datetime.now(UTC))
    output.add(row, [pickle.loads(pickle.dumps(boxes(name)))], [])  # as it comes from a worker
    if number == 99:
        before_mb = peak_mb()
output.close()
print(peak_mb() - before_mb)
"""


def test_what_is_not_ours_is_refused_and_not_touched(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("mine")
    for fresh in (False, True):
        with pytest.raises(SinkError, match=r"a\.txt"):
            BatchOutput(tmp_path, FACTS, fresh=fresh)
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_other_settings_and_another_version_are_refused_and_fresh_begins_anew(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    output = BatchOutput(out, FACTS)
    output.add(row("a"), [boxes("a")], [])
    output.close()
    before = sorted(out.rglob("*"))
    with pytest.raises(UsageError, match=r"every 1, now 2"):
        BatchOutput(out, {**FACTS, "every": 2})
    facts = json.loads((out / "batch.json").read_text())
    (out / "batch.json").write_text(json.dumps({**facts, "oneglance.schema": 99}))
    with pytest.raises(UsageError, match=r"version 99.*version 1"):
        BatchOutput(out, FACTS)
    (out / "batch.json").write_text("{")
    with pytest.raises(UsageError, match=r"batch\.json is damaged"):
        BatchOutput(out, FACTS)
    assert sorted(out.rglob("*")) == before
    anew = BatchOutput(out, {**FACTS, "every": 2}, fresh=True)
    assert anew.finished() == set()
    anew.close()
    assert not list(out.rglob("*.parquet"))


def test_fresh_removes_nothing_where_a_stranger_left_something(tmp_path: Path) -> None:
    output = BatchOutput(tmp_path, FACTS)
    output.add(row("a"), [boxes("a")], [])
    output.close()
    (tmp_path / "clips" / "notes.txt").write_text("mine")
    with pytest.raises(SinkError, match=r"notes\.txt"):
        BatchOutput(tmp_path, FACTS, fresh=True)
    assert (tmp_path / "clips" / "part-000001.parquet").exists()


def test_a_part_that_is_damaged_is_reported_and_not_counted_as_nothing(tmp_path: Path) -> None:
    output = BatchOutput(tmp_path, FACTS)
    output.add(row("a"), [], [])
    output.close()
    (tmp_path / "clips" / "part-000001.parquet").write_bytes(b"PAR1 and no more")
    again = BatchOutput(tmp_path, FACTS)
    with pytest.raises(SinkError, match=r"part-000001\.parquet cannot be read.*--fresh"):
        again.finished()
    again.close()


def test_two_runs_do_not_write_to_one_folder(tmp_path: Path) -> None:
    output = BatchOutput(tmp_path, FACTS)
    with pytest.raises(OneglanceError, match="another part of this program"):
        BatchOutput(tmp_path, FACTS)
    with pytest.raises(OneglanceError, match="another part of this program"):
        BatchOutput(tmp_path, FACTS, fresh=True)
    output.close()
    with filling(tmp_path):
        with pytest.raises(OneglanceError, match="another run"):
            BatchOutput(tmp_path, FACTS)
        with pytest.raises(OneglanceError, match="another run"):
            BatchOutput(tmp_path, FACTS, fresh=True)
    BatchOutput(tmp_path, FACTS).close()
