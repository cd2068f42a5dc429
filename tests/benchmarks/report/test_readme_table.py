"""The README's table comes from a results file and from nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from benchmarks.report import readme_table, results
from benchmarks.report.results import Part, Table
from oneglance.models.tasks import Task

PartMaker = Callable[..., Part]
Command = Callable[..., int]

BEFORE = "# Name\n\n<!-- benchmark: -->\nold | figures\n<!-- /benchmark -->\n\nThe end.\n"


@pytest.fixture
def command(part: PartMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """``command("--check")`` in a clone with a README and results; returns the exit code."""
    results.write(part(), tmp_path / "benchmarks" / "results" / "today")
    for name in readme_table.READMES:
        (tmp_path / name).write_text(BEFORE)

    def run(*words: str) -> int:
        monkeypatch.setattr("sys.argv", ["readme_table.py", "--root", str(tmp_path), *words])
        with pytest.raises(SystemExit) as caught:
            readme_table.main()
        assert isinstance(caught.value.code, int)
        return caught.value.code

    return run


def test_the_tables_stand_between_their_markers_and_nothing_else_changes(
    command: Command, tmp_path: Path
) -> None:
    assert command(str(tmp_path / "benchmarks/results/today")) == 0
    text = (tmp_path / "README.md").read_text()
    assert text.startswith(
        "# Name\n\n<!-- benchmark: benchmarks/results/today -->\n|  | frames/s |"
    )
    assert text.endswith("\n<!-- /benchmark -->\n\nThe end.\n")
    assert "| `oneglance run` | 47.0 | 21.7 | 52.4 | 290 | — |" in text
    assert "a machine, 2 CPUs" in text
    assert "old | figures" not in text
    text = (tmp_path / "benchmarks" / "README.md").read_text()
    assert text.startswith("# Name\n\n<!-- benchmark: results/today -->\n| claim |")
    assert "| loop over bare | 0.95× | ≥ 0.92 × | yes |" in text
    assert "| ours over theirs | 0.5× | ≤ 0.4 × | **no** |" in text


def test_one_network_stands_beside_four_and_live_beside_recorded() -> None:
    folders = ["results/today", "results/study"]
    live = Part(part="live", title="", timer="")
    columns = (
        "load",
        "source fps",
        "result fps",
        "dropped",
        "age p50 ms",
        "age p99 ms",
        "memory MB",
    )
    row = ("4×", "122", "32.9", "5495 (73 %)", "34.5", "52.1", "322 to 322")
    live.tables.append(Table("Age", columns, (row,)))
    timed = Part(part="one_vs_four", title="", timer="")
    for many, ms in (("one", 25.5), ("four", 88.2)):
        timed.add(f"{many}_default.frame", f"{many}, default", [[ms]], unit="ms")
    for name, cells in (("frames/s", ("37.6", "11.3")), ("PSS MB", ("151", "523"))):
        lines = zip(("one, default", "four, default"), cells, strict=True)
        more = ("p50 ms", "p99 ms") if name == "frames/s" else ()
        rows = tuple((label, cell, *("1" for _ in more)) for label, cell in lines)
        timed.tables.append(Table(name, ("setting", name, *more), rows))
    scored = Part(part="accuracy", title="", timer="")
    for task in Task:
        scored.add(f"one.{task.value}.map50", "", [[0.574]], unit="mAP", better="higher")
    live.facts = dict.fromkeys(
        ("device", "CPUs allowed", "model", "input size", "date", "commit"), "x"
    )
    text = readme_table.absolute(
        [{"live": live}, {"one_vs_four": timed, "accuracy": scored}], folders
    )
    assert "| live, 122 frames/s come, 5495 dropped | 32.9 | 34.5 | 52.1 | 322 | — |" in text
    assert "| one network for four tasks | 37.6 | 1 | 1 | 151 | 0.57, 0.57, 0.57, 0.57 |" in text
    assert "| four networks, at their best | 11.3 | 1 | 1 | 523 | —, —, —, — |" in text


def test_the_committed_readmes_show_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["readme_table.py", "--check"])
    with pytest.raises(SystemExit) as caught:
        readme_table.main()
    assert caught.value.code == 0


def test_a_table_changed_by_hand_is_found_out(command: Command, tmp_path: Path) -> None:
    command(str(tmp_path / "benchmarks/results/today"))
    assert command("--check") == 0
    readme = tmp_path / "README.md"
    readme.write_text(readme.read_text().replace("47.0", "49.0"))
    assert command("--check") == 1
    assert "49.0" in readme.read_text()  # a check changes nothing


@pytest.mark.parametrize(
    ("readme", "words", "reason"),
    [
        ("# Name\n", ("today",), "has no place for the table"),
        ("<!-- /benchmark -->\n<!-- benchmark: -->\n", ("today",), "has no place for the table"),
        (BEFORE, ("--check",), "does not say which results"),
        (BEFORE, ("/",), "is outside"),
    ],
)
def test_a_readme_without_a_place_is_reported_and_left_alone(
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
