"""What the tests of batch runs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Table = Callable[[Path], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _extra() -> None:
    for package in ("pyarrow", "fsspec"):
        pytest.importorskip(package, reason="needs the extra batch")


@pytest.fixture
def table() -> Table:
    """``table(out / "clips")``: its rows without the clocks' columns, in an order of theirs."""

    def rows(folder: Path) -> list[dict[str, Any]]:
        import pyarrow.parquet as pq

        found = [
            {name: value for name, value in row.items() if name not in {"started", "took"}}
            for file in sorted(folder.glob("*.parquet"))
            for row in pq.read_table(file).to_pylist()
        ]
        return sorted(found, key=lambda row: [str(value) for value in row.values()])

    return rows
