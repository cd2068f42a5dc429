"""Rows for spreadsheets: read back by Python's reader and by pandas."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from oneglance.perception.result import Result
from oneglance.perception.sinks.rows import COLUMNS, CsvSink
from oneglance.streams import SinkError


def test_each_box_is_a_row_and_a_frame_without_boxes_is_none(
    result: Callable[..., Result], tmp_path: Path
) -> None:
    file = tmp_path / "out.csv"
    sink = CsvSink(file)
    sink.write(result(0.0, index=0))
    sink.write(
        result(
            0.04,
            index=1,
            found=[
                ("car", 0.5, (1.0, 2.0, 11.0, 5.0), 7),
                ("sign", 0.25, (0.0, 0.0, 4.0, 4.0), -1),
            ],
        )
    )
    sink.close()
    first, second = csv.DictReader(file.read_text().splitlines())
    assert tuple(first) == COLUMNS
    assert (first["frame"], first["timestamp_s"], first["class"]) == ("1", "0.04", "car")
    assert [first[name] for name in ("x1", "y1", "x2", "y2")] == ["1.0", "2.0", "11.0", "5.0"]
    assert (first["confidence"], first["track_id"], second["track_id"]) == ("0.5", "7", "")
    pandas = pytest.importorskip("pandas")
    assert list(pandas.read_csv(file)["task"]) == ["car", "sign"]


def test_names_with_commas_and_quotes_stay_one_column(
    result: Callable[..., Result], tmp_path: Path
) -> None:
    file = tmp_path / "out.csv"
    sink = CsvSink(file)
    found = [("car", 0.5, (1.0, 2.0, 11.0, 5.0), 7)]
    sink.write(result(0.0, found=found, source='a, "b".mp4'))
    sink.close()
    (row,) = csv.DictReader(file.read_text().splitlines())
    assert row["source"] == 'a, "b".mp4'


def test_a_run_without_boxes_has_the_names_of_its_columns(tmp_path: Path) -> None:
    sink = CsvSink(tmp_path / "out.csv")
    sink.close()
    assert (tmp_path / "out.csv").read_text() == ",".join(COLUMNS) + "\n"


def test_a_file_that_cannot_be_written_is_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="no folder"):
        CsvSink(tmp_path / "gone" / "out.csv")
