"""The page, its plots and the JSON, from results that are known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest

from oneglance.models.training.study.arms import StudyOptions
from oneglance.models.training.study.report import write_report
from oneglance.models.training.study.results import Failure
from oneglance.models.training.study.tables import MINUS, NONE
from oneglance.streams.errors import SinkError
from present import present
from studies import ledger, typical

ALL = StudyOptions(questions=(1, 2, 3, 4, 5, 6, 7, 11, 12))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("study")
    write_report(out, ledger(typical, ALL), base="yolo26n.pt")
    return out


def test_the_page_has_every_question_every_arm_and_the_circumstances(folder: Any) -> None:
    page = (folder / "report.md").read_text()
    for number in range(1, 7):
        assert f"\n## {number}. " in page
        assert f"](question{number}.png)" in page
    for arm in ledger(typical, ALL).arms:
        assert f"| `{arm.name}` |" in page
    for fact in ("command", "commit", "date", "device", "CPUs allowed", "libraries", "precision"):
        assert f"| {fact} |" in page
    assert "| input size | 416x256 |" in page
    assert "inside the minutes" in page
    assert "What these numbers do not show:" in page
    assert "| road | car, light, pedestrian | 60 | 20 pedestrian, 160 car, 30 light | 10 |" in page
    assert "| lights | light | 200 | – | – |" in page  # noqa: RUF001
    assert "Not complete" not in page


def test_scores_are_in_points_with_their_interval(folder: Any) -> None:
    page = (folder / "report.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith("| sign | "))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1].startswith("55.1 (")
    assert cells[3].startswith(f"{MINUS}0.4 (")
    assert cells[4] == "within a point"
    # mAP50 / mAP50-95 / F1 of one set and task.
    assert "| `one.s0` | 60.0 / 40.0 / 50.0 | 90.0 / 70.0 / 80.0 |" in page


def test_plots_are_images_with_something_in_them(folder: Any) -> None:
    for number in (*range(1, 7), 11, 12):
        image = present(cv2.imread(str(folder / f"question{number}.png")))
        assert image.shape[1] > 800
        assert cv2.inRange(image, (178, 114, 0), (178, 114, 0)).any()  # the first series' blue, BGR


def test_the_json_has_the_same_numbers(folder: Any) -> None:
    facts = json.loads((folder / "report.json").read_text())
    row = next(r for r in facts["answers"]["1"]["same_size"] if r["what"] == "sign")
    assert row["left"]["value"] == pytest.approx(0.551)
    assert row["difference"]["value"] == pytest.approx(-0.004)
    assert row["left"]["seeds"] == pytest.approx([0.55, 0.552])
    arm = next(a for a in facts["arms"] if a["name"] == "sign.s1")
    assert (arm["status"], arm["training"]["minutes"]) == ("done", 2.0)
    assert arm["scores"][0]["map50_95"] == pytest.approx(0.556)
    assert facts["sets"][0]["training_images"] == 60
    assert facts["does_not_show"]


def test_a_hole_is_reported_in_its_question_and_in_the_list_of_arms(tmp_path: Path) -> None:
    whole = ledger(typical, StudyOptions(questions=(1,), seeds=(0,)))
    outcomes = {**whole.outcomes, "sign.s0": Failure("disk full\nmore"), "car.s0": None}
    write_report(tmp_path, replace(whole, outcomes=outcomes), base="yolo26n.pt")
    page = (tmp_path / "report.md").read_text()
    assert "**Not complete: 7 of 9 arms are there.**" in page
    assert "- `sign.s0` is missing (failed: disk full" in page
    assert "- `car.s0` is missing (not run yet)" in page
    assert "**failed**: disk full |" in page
    row = next(line for line in page.splitlines() if line.startswith("| car | "))
    assert row.count(NONE) == 3


def test_a_study_without_any_result_has_a_report_that_says_so(tmp_path: Path) -> None:
    empty = replace(ledger(typical, ALL), outcomes={})
    page = write_report(tmp_path, empty, base="yolo26n.pt").read_text()
    assert "**Not complete: 0 of" in page
    assert ".png" not in page
    assert page.count("No answer.") == 9


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="file: it is a file"):
        write_report(tmp_path / "file", ledger(typical, ALL), base="yolo26n.pt")


def test_the_command_is_reported_without_the_folders_of_a_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "alice" / "work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    words = ["x", "study", tmp_path / "alice" / "data.yaml", work / "in" / "a.yaml", "/far/b.yaml"]
    monkeypatch.setattr("sys.argv", [str(word) for word in words])
    empty = replace(ledger(typical, StudyOptions(questions=(1,))), outcomes={})
    page = write_report(tmp_path / "out", empty, base="yolo26n.pt").read_text()
    assert "`oneglance study ../data.yaml in/a.yaml '…/b.yaml'`" in page
