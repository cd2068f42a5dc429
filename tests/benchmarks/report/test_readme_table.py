"""The README's table comes from a results file and from nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from benchmarks.report import readme_table, results
from benchmarks.report.results import Part

PartMaker = Callable[..., Part]
Command = Callable[..., int]

BEFORE = "# Name\n\n<!-- benchmark: -->\nold | figures\n<!-- /benchmark -->\n\nThe end.\n"


@pytest.fixture
def command(part: PartMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """``command("--check")`` in a clone with a README and results; returns the exit code."""
    results.write(part(), tmp_path / "benchmarks" / "results" / "today")
    readme = tmp_path / "README.md"
    readme.write_text(BEFORE)

    def run(*words: str) -> int:
        monkeypatch.setattr("sys.argv", ["readme_table.py", "--readme", str(readme), *words])
        with pytest.raises(SystemExit) as caught:
            readme_table.main()
        assert isinstance(caught.value.code, int)
        return caught.value.code

    return run


def test_the_table_stands_between_its_markers_and_nothing_else_changes(
    command: Command, tmp_path: Path
) -> None:
    assert command(str(tmp_path / "benchmarks/results/today")) == 0
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("# Name\n\n<!-- benchmark: benchmarks/results/today -->\n| claim |")
    assert text.endswith("\n<!-- /benchmark -->\n\nThe end.\n")
    assert "| loop over bare | 0.95× | ≥ 0.92 × | yes |" in text
    assert "| ours over theirs | 0.5× | ≤ 0.4 × | **no** |" in text
    assert "a machine, 2 CPUs" in text
    assert "old | figures" not in text


def test_a_table_changed_by_hand_is_found_out(command: Command, tmp_path: Path) -> None:
    command(str(tmp_path / "benchmarks/results/today"))
    assert command("--check") == 0
    readme = tmp_path / "README.md"
    readme.write_text(readme.read_text().replace("0.95×", "0.99×"))
    assert command("--check") == 1
    assert "0.99×" in readme.read_text()  # a check changes nothing


@pytest.mark.parametrize(
    ("readme", "words", "reason"),
    [
        ("# Name\n", ("today",), "has no place for the table"),
        ("<!-- /benchmark -->\n<!-- benchmark: -->\n", ("today",), "has no place for the table"),
        (BEFORE, ("--check",), "does not say which results"),
        (BEFORE, ("/",), "is outside"),
    ],
)
def test_a_readme_without_a_place_is_told_and_left_alone(
    command: Command,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    readme: str,
    words: Sequence[str],
    reason: str,
) -> None:
    file = tmp_path / "README.md"
    file.write_text(readme)
    found = [str(tmp_path / "benchmarks/results/today") if w == "today" else w for w in words]
    assert command(*found) == 2
    assert reason in capsys.readouterr().err
    assert file.read_text() == readme
