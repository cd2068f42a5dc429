"""The columns that the tables have are those that are documented."""

from __future__ import annotations

import re
from pathlib import Path

from oneglance.perception.batch.schema import VERSION, clips_schema, detections_schema

README = Path(__file__).resolve().parents[3] / "perception" / "batch" / "README.md"


def documented(table: str) -> list[str]:
    """The columns of a table, as the README lists them."""
    text = README.read_text(encoding="utf-8")
    section = text[text.index(f"`{table}`: a row for each") :]
    body = section[section.index("| column |") :].split("\n\n")[0]
    first = [line.split("|")[1] for line in body.splitlines()[2:]]
    return [name for cell in first for name in re.findall(r"`(\w+)`", cell)]


def test_the_readme_documents_every_column_in_its_order() -> None:
    assert documented("detections") == detections_schema().names
    assert documented("clips") == clips_schema().names
    assert f"## The tables, version {VERSION}\n" in README.read_text(encoding="utf-8")
