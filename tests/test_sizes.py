"""The house stays one that can be moved into: no long module, no folder where nobody finds one."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("streams", "models", "perception", "benchmarks")

MOST_LINES = 400
MOST_MODULES = 16


def modules() -> list[Path]:
    return [file for room in (*ROOMS, "tests") for file in sorted((ROOT / room).rglob("*.py"))]


def test_no_module_is_long() -> None:
    lines = {file.relative_to(ROOT): len(file.read_text().splitlines()) for file in modules()}
    assert len(lines) > 200
    assert {file: count for file, count in lines.items() if count > MOST_LINES} == {}


def test_no_folder_is_full() -> None:
    folders = {file.parent for file in modules()}
    counts = {
        folder.relative_to(ROOT): sum(file.name != "__init__.py" for file in folder.glob("*.py"))
        for folder in folders
    }
    assert {folder: count for folder, count in counts.items() if count > MOST_MODULES} == {}


@pytest.mark.parametrize("room", ROOMS)
def test_every_module_says_what_it_is(room: str) -> None:
    silent = [
        file
        for file in (ROOT / room).rglob("*.py")
        if (content := file.read_text()).strip() and not ast.get_docstring(ast.parse(content))
    ]
    assert silent == []
