"""Results files: written, read back, refused when they are not ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.report import results
from benchmarks.report.results import Claim, Part, Table
from oneglance.streams.errors import DataError, SinkError

PartMaker = Callable[..., Part]


def test_results_read_back_as_they_were_written(part: PartMaker, tmp_path: Path) -> None:
    written = part([[1.5, 2.25e-7, -3.0], [4.0]])
    written.holes.append("a peer: not measured: [1, 2] is not installed")
    assert results.read(results.write(written, tmp_path)) == written


def test_samples_stand_on_one_line_a_round(part: PartMaker, tmp_path: Path) -> None:
    text = results.write(part([[1.5, 2.5], [4.0]]), tmp_path).read_text()
    assert "[1.5, 2.5]" in text
    assert json.loads(text)["format"] == results.FORMAT


def test_a_figure_that_is_not_finite_is_never_written(part: PartMaker, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        results.write(part([[float("nan")]]), tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "not JSON"),
        ("[1]", "not a results file of format"),
        ('{"format": 99}', "not a results file of format"),
        ('{"format": 1, "part": "live"}', "broken results file"),
    ],
)
def test_what_is_no_results_file_is_refused_by_name(
    tmp_path: Path, content: str, reason: str
) -> None:
    file = tmp_path / "throughput.json"
    file.write_text(content)
    with pytest.raises(DataError, match=reason) as caught:
        results.read(file)
    assert str(file) in str(caught.value)


def test_a_folder_without_results_is_reported_and_one_with_some_gives_those(
    part: PartMaker, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="no results folder"):
        results.read_folder(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no results"):
        results.read_folder(tmp_path)
    results.write(part(), tmp_path)
    assert list(results.read_folder(tmp_path)) == ["throughput"]


def test_results_that_cannot_be_written_are_reported(part: PartMaker, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="cannot write"):
        results.write(part(), tmp_path / "file")


@pytest.mark.parametrize(
    ("value", "goal", "met"),
    [
        (0.92, {"at_least": 0.92}, True),
        (0.91, {"at_least": 0.92}, False),
        (0.40, {"at_most": 0.40}, True),
        (0.41, {"at_most": 0.40}, False),
        (0.41, {}, None),
    ],
)
def test_a_claim_meets_its_goal_at_the_goal(
    value: float, goal: dict[str, float], met: bool | None
) -> None:
    assert Claim(name="a", label="a", value=value, low=value, high=value, **goal).met is met  # type: ignore[arg-type]


def test_percentiles_of_too_few_frames_are_dashes_and_one_hole(part: PartMaker) -> None:
    made = part()
    assert made.percentiles([1.0] * 30) == ("1.0", "1.0", results.NONE)
    made.percentiles([2.0] * 30)
    assert made.holes == ["p99 needs 200 samples, there are 30"]


def test_a_row_that_does_not_fit_its_table_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        Table("t", ("a", "b"), (("1",),))


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SinkError, match=r"did not make \(notes.txt\); nothing was written"):
        results.write(Part(part="live", title="l", timer="t"), tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]
