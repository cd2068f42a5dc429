"""A fleet's night on paper, and the queries of the README on a real batch run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.facts import RESULTS
from benchmarks.parts.fleet_estimate import (
    Measured,
    answers,
    bottleneck,
    estimate,
    measure,
    page,
    queries,
)
from oneglance.streams import UsageError
from program import Program

MakeVideo = Callable[..., Path]


@pytest.fixture(autouse=True)
def _packages() -> None:
    for package in ("duckdb", "pyarrow"):
        pytest.importorskip(package, reason="needs the extras batch and dev")


@pytest.fixture
def measured() -> Measured:
    return Measured(
        clips=2,
        frames=1000,
        seconds=40.0,
        boxes=3000,
        table_bytes=90_000,
        clip_mbits=(1.0, 2.0, 4.0),
        rows_per_s=1e6,
        rates={"ONNX Runtime fp32": 25.0, "OpenVINO bf16": 50.0},
        decode_ms=4.0,
        rates_from="a folder",
    )


def test_the_arithmetic_is_what_it_says(measured: Measured) -> None:
    table = estimate(measured, hours=100, fps=10, night_h=10)
    found = {row[0]: row[1] for row in table.rows}
    assert found == {
        "frames": "3 600 000",
        "CPUs for 10 h, ONNX Runtime fp32": "4",  # 100 frames/s, 25 each
        "CPUs for 10 h, OpenVINO bf16": "2",
        "CPUs, fp32, `--every 3`": "1.6",  # 100 × (4 + 36 / 3) ms
        "CPUs to decode alone": "0.4",
        "recordings, TB": "0.045 / 0.09 / 0.18",
        "read, Gbit/s": "0.01 / 0.02 / 0.04",
        "boxes": "10 800 000",
        "Parquet, GB": "0.324",
        "processes that write": "0.00",
    }
    assert "90 % of each frame's" in bottleneck(measured)


@pytest.fixture
def tables(oneglance: Program, model: Path, video: MakeVideo, tmp_path: Path) -> Path:
    """Of two clips, in each image of which is a car, a pedestrian and a sign."""
    for name, frames in (("2026-05-04T07-30-00_a.mp4", 50), ("2026-05-04T17-00-00_b.mp4", 25)):
        video(name, frames=frames)
    out = tmp_path / "found"
    words = ("batch", tmp_path / "*.mp4", "--model", model, "--out", out, "--workers", 1)
    assert oneglance(*words).code == 0
    return out


def test_the_readmes_queries_answer(tables: Path) -> None:
    (what, hours), (_, lights), (_, busiest) = answers(tables)
    assert what == "Pedestrians per hour by time of day"
    rows = [line.strip("| ").split(" | ") for line in hours.splitlines()[2:]]
    assert [row[0] for row in rows] == ["7", "17"]
    assert [int(row[2]) for row in rows] == [1, 1]
    assert [float(row[3]) for row in rows] == [1800, 3600]
    assert len(lights.splitlines()) == 2  # the model knows no light
    assert len(busiest.splitlines()) == 4
    assert "_a.mp4 | 0 | 3 | 3 |" in busiest


def test_a_real_run_is_estimated_from(tables: Path, tmp_path: Path) -> None:
    folder = max(file.parent for file in RESULTS.glob("*/loop.json"))
    measured = measure(tables, sorted(tmp_path.glob("*.mp4")), folder)
    assert (measured.clips, measured.frames, measured.boxes) == (2, 75, 225)
    assert measured.seconds == pytest.approx(3)
    assert 0 < measured.clip_mbits[0] <= measured.clip_mbits[2]
    assert measured.rows_per_s > 0
    assert set(measured.rates) == {"ONNX Runtime fp32", "OpenVINO bf16"}
    table = estimate(measured, hours=1, fps=30)
    text = page(measured, table, answers(tables), {"date": "today"})
    assert "| frames | 108 000 |" in text
    assert "- date: today" in text
    with pytest.raises(UsageError, match="sizes are unknown"):
        measure(tables, [], folder)


def test_every_query_of_the_readme_is_asked() -> None:
    assert len(queries()) == 4  # the views come first
