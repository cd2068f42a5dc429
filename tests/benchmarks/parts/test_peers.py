"""How large a package is with all it requires, from real metadata in a folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.parts.peers import closure_mb, import_s


def _distribution(folder: Path, name: str, size: int, *requires: str) -> None:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (folder / f"{name}.bin").write_bytes(bytes(size))
    lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0"]
    (info / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {r}" for r in requires)]))
    (info / "RECORD").write_text(f"{name}.bin,,\n")


def test_an_extra_weighs_only_where_somebody_requires_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _distribution(tmp_path, "toplevel", 1_000_000, "middle[Big_One]>=1", 'unused; extra == "dev"')
    _distribution(tmp_path, "middle", 2_000_000, 'heavy; extra == "big-one"', 'unused; extra=="x"')
    _distribution(tmp_path, "heavy", 4_000_000, "toplevel")  # round in a circle
    _distribution(tmp_path, "unused", 8_000_000)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    python = Path(sys.executable)
    assert closure_mb(python, "Toplevel") == (7.0, 3)
    assert closure_mb(python, "middle") == (2.0, 1)
    assert closure_mb(python, "absent") == (None, 0)


def test_an_import_that_fails_takes_no_time_and_an_absent_interpreter_weighs_nothing(
    tmp_path: Path,
) -> None:
    took_s = import_s(Path(sys.executable), "import json")
    assert took_s is not None
    assert took_s > 0
    assert import_s(Path(sys.executable), "from json import nothing_of_this_name") is None
    assert closure_mb(tmp_path / "python", "pip") == (None, 0)
