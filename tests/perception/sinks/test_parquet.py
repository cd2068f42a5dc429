"""Rows for each box, in files that appear whole."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from oneglance.perception.result import Result
from oneglance.perception.sinks import parquet
from oneglance.perception.sinks.parquet import ParquetSink
from oneglance.perception.testing import results
from oneglance.streams import SinkError
from program import Program


@pytest.fixture(autouse=True)
def _extra() -> None:
    pytest.importorskip("pyarrow", reason="needs the extra batch")


def test_every_box_is_a_row_with_its_frame_and_source(
    result: Callable[..., Result], tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    sink = ParquetSink(tmp_path / "out", model="road4-n")
    car = ("car", 0.5, (1.0, 2.0, 3.0, 4.0), 7)
    sink.write(result(0.04, index=1, found=[car, ("sign", 0.25, (0.0, 0.0, 9.0, 9.0), -1)]))
    sink.write(result(0.08, index=2))
    sink.write(result(0.12, index=3, found=[car], source="other.mp4"))
    sink.close()
    rows = pq.read_table(tmp_path / "out").to_pylist()
    assert [(r["clip"], r["frame"], r["task"], r["track_id"]) for r in rows] == [
        ("drive.mp4", 1, "car", 7),
        ("drive.mp4", 1, "sign", None),
        ("other.mp4", 3, "car", 7),
    ]
    assert (rows[0]["x1"], rows[0]["y2"], rows[0]["confidence"]) == (1.0, 4.0, 0.5)
    assert {r["model"] for r in rows} == {"road4-n"}


def test_files_are_rolled_and_written_when_it_is_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0
    monkeypatch.setattr(parquet, "ROWS_A_FILE", 10)
    sink = ParquetSink(tmp_path / "out", clock=lambda: now_s)
    for each in results(7):  # two boxes each
        sink.write(each)
    assert len(list((tmp_path / "out").glob("*.parquet"))) == 1
    now_s = 60.0
    sink.write(next(results(1)))
    assert len(list((tmp_path / "out").glob("*.parquet"))) == 2
    sink.close()
    assert len(list((tmp_path / "out").glob("*.parquet"))) == 2


def test_a_run_without_boxes_is_a_table_without_rows(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    ParquetSink(tmp_path / "out").close()
    assert pq.read_table(tmp_path / "out").num_rows == 0


def test_what_an_earlier_run_wrote_is_removed_and_a_strangers_file_is_not(tmp_path: Path) -> None:
    for _ in range(2):
        sink = ParquetSink(tmp_path / "out")
        for each in results(2):
            sink.write(each)
        sink.close()
        assert len(list((tmp_path / "out").glob("*.parquet"))) == 1
    (tmp_path / "out" / "notes").write_text("mine")
    with pytest.raises(SinkError, match="notes"):
        ParquetSink(tmp_path / "out")
    assert (tmp_path / "out" / "part-000001.parquet").exists()


def test_the_program_writes_both_and_convert_reads_them(
    oneglance: Program, model: Path, video: Callable[..., Path], tmp_path: Path
) -> None:
    table, coco = tmp_path / "table", tmp_path / "coco.json"
    run = oneglance(
        *("run", video("a.mp4", frames=4), "--model", model),
        *("--sink", f"parquet:{table}", "--sink", f"coco:{coco}"),
    )
    assert run.code == 0, run.err
    assert oneglance("convert", table, "--to", "mot", "--out", tmp_path / "mot").code == 0
    assert len((tmp_path / "mot" / "a.txt").read_text().splitlines()) == 12


def test_a_table_is_made_without_importing_pandas(tmp_path: Path) -> None:
    pytest.importorskip("pandas", reason="pyarrow looks for it")
    program = f"""
import sys
from pathlib import Path
from oneglance.perception.sinks.parquet import ParquetSink
from oneglance.perception.testing import results
sink = ParquetSink(Path({str(tmp_path / "out")!r}))
for result in results(3):
    sink.write(result)
sink.close()
print("pandas" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
