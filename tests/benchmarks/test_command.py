"""``oneglance benchmark``, as it is typed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.report import results
from oneglance.perception.cli.commands import study as cli
from oneglance.streams import UsageError

ROOT = Path(__file__).resolve().parents[2]


def _benchmark(*words: str) -> subprocess.CompletedProcess[str]:
    command = shutil.which("oneglance", path=str(Path(sys.executable).parent))
    assert command is not None, "oneglance is not installed beside this interpreter"
    return subprocess.run(
        [command, "benchmark", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_an_unknown_part_is_refused_with_the_names_of_all() -> None:
    done = _benchmark("latency")
    assert done.returncode == 2
    assert "no part named 'latency' (parts: throughput, one_vs_four" in done.stderr


def test_without_a_clone_the_command_says_that_it_needs_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        cli, "__file__", str(tmp_path / "oneglance" / "perception" / "cli" / "study.py")
    )
    with pytest.raises(UsageError, match="clone the repository"):
        cli._benchmarks()


def test_a_part_that_cannot_be_measured_is_a_hole_in_a_report_that_comes_out(
    drive: Path, tmp_path: Path
) -> None:
    done = _benchmark(
        *("accuracy", "--clip", str(drive), "--data", str(tmp_path / "no.yaml")),
        *("--out", str(tmp_path / "out")),
    )
    assert done.returncode == 0, done.stderr
    part = results.read(tmp_path / "out" / "accuracy.json")
    assert any("no.yaml" in hole for hole in part.holes)
    report = (tmp_path / "out" / "report.md").read_text()
    assert "no.yaml" in report
    assert str(tmp_path) not in part.facts["command"]
    assert part.facts["device"] in report
