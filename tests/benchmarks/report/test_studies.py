"""Several studies that ask the same, in one report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="draws plots")

from benchmarks.facts import RESULTS
from benchmarks.report import plots, studies
from oneglance.streams import DataError


def report(gap: float) -> dict[str, Any]:
    """A study of one question that compared cars and could not compare lights."""

    def estimate(value: float) -> dict[str, float]:
        return {"value": value, "low": value - 0.02, "high": value + 0.02}

    line = {"left": estimate(0.6 + gap), "right": estimate(0.6), "difference": estimate(gap)}
    missing = {"what": "light", "left": None, "right": estimate(0.4), "difference": None}
    answer: dict[str, Any] = {"title": "One or four?", "sentences": ["It is so."], "same_size": []}
    answer["same_size"] = [{"what": "car", **line}, missing]
    return {
        "facts": {"command": "oneglance study", "seeds": "0"},
        "does_not_show": ["other roads"],
        "answers": {"1": answer},
        "arms": [{"name": "one.s0", "scores": [{"set": "a", "task": "car", "map50_95": 0.6}]}],
    }


def folder_of(where: Path, **runs: object) -> Path:
    for name, content in runs.items():
        (where / f"{name}.json").write_text(json.dumps(content))
    (where / "README.md").write_text("# One network or four?\n")
    return where


def test_runs_that_ask_the_same_stand_beside_each_other(tmp_path: Path) -> None:
    studies.write_report(folder_of(tmp_path, long=report(0.01), short=report(-0.039)))
    text = (tmp_path / "report.md").read_text()
    assert text.startswith("# One network or four?\n")
    assert "| what | long | short |" in text
    found = ("61.0 - 60.0: +1.0 (-1.0 to +3.0)", "56.1 - 60.0: -3.9 (-5.9 to -1.9)")
    cells = [cell.replace("-", studies.MINUS) for cell in found]
    assert f"| car | {cells[0]} | {cells[1]} |" in text
    assert "| light |" not in text
    assert "| one.s0 | — / 60.0 / — |" in text
    assert "- short: It is so." in text
    assert (tmp_path / "question1.png").read_bytes().startswith(b"\x89PNG")


def test_recipes_that_several_runs_tried_are_drawn_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(plots, "draw_differences", lambda *said: drawn.append(said[:2]))
    runs = {"large": report(0.02), "small": report(0.01)}
    for name, recipes in {"large": ("plain", "taught"), "small": ("plain",)}.items():
        answer = runs[name]["answers"]["1"]
        lines = answer.pop("same_size")
        answer["equal_epochs"] = dict.fromkeys(recipes, lines)
    studies.write_report(folder_of(tmp_path, **runs))
    ((title, gaps),) = drawn
    assert title == "One or four?"
    assert {name: found["car"][0] for name, found in gaps.items()} == {
        "equal epochs, plain (large)": 0.02,
        "equal epochs, taught": 0.02,
        "equal epochs, plain (small)": 0.01,
    }


@pytest.mark.parametrize(
    ("runs", "problem"),
    [({}, "holds no study"), ({"a": [1]}, r"a\.json is no report\.json of 'oneglance study'")],
)
def test_what_is_no_study_is_reported(tmp_path: Path, runs: dict[str, Any], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        studies.write_report(folder_of(tmp_path, **runs))


def test_a_report_without_a_title_is_refused(tmp_path: Path) -> None:
    folder_of(tmp_path, a=report(0.0))
    (tmp_path / "README.md").write_text("no title\n")
    with pytest.raises(DataError, match="must begin with the report's title"):
        studies.write_report(tmp_path)


@pytest.mark.parametrize("name", ["balances", "one-or-four", "trained-how", "unlabelled"])
def test_the_committed_reports_are_what_their_studies_say(name: str) -> None:
    folder = RESULTS / name
    runs = studies.read_runs(folder)
    title = (folder / "README.md").read_text().splitlines()[0].removeprefix("# ")
    plots = {q: f"question{q}.png" for q in studies.questions(runs) if studies.tables(runs, q)}
    assert (folder / "report.md").read_text() == studies.page(title, runs, plots)
