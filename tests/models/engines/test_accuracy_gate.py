"""What a quantised file says of the accuracy gate, and what that is worth to ``auto``."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

from oneglance.models import Detector
from oneglance.models.engines.accuracy_gate import Gate, GateRow, gate_problem, record
from oneglance.models.engines.auto import choose_engine
from oneglance.models.engines.loading import load_engine
from oneglance.models.metadata import KEY, Head, Metadata
from oneglance.models.tasks import FOUR_TASKS, Task
from oneglance.streams.errors import ModelError

NEVER = "says that it was never held to the accuracy gate"
BROKEN = "has a record of the accuracy gate that cannot be read"


def row(*, map_loss: float = 0.0, f1_loss: float = 0.0, shift: float = 0.0) -> GateRow:
    return GateRow("streets", Task.CAR, 9, 0.5, 0.5 - map_loss, 0.7, 0.7 - f1_loss, shift)


PASSED = record(Gate(), [row()])
FAILED = record(Gate(), [row(), row(map_loss=0.03)])


def described(quantization: Any) -> Metadata:
    facts = {"quantization": quantization}
    return Metadata("m", FOUR_TASKS, (64, 32), Head.ONE_TO_ONE, training=facts)


@pytest.mark.parametrize(
    "passing",
    [
        row(),
        row(map_loss=0.0049, f1_loss=0.0099, shift=0.0199),
        row(map_loss=-0.2, f1_loss=-0.2, shift=-0.0199),
    ],
)
def test_within_the_bounds_it_passes(passing: GateRow) -> None:
    assert Gate().problems(passing) == ()


@pytest.mark.parametrize(
    ("failing", "sentence"),
    [
        (row(map_loss=0.006), "mAP50-95 -0.60 points (at most -0.50)"),
        (row(f1_loss=0.012), "F1 -1.20 points (at most -1.00)"),
        (row(shift=0.03), "mean confidence +0.030 (at most ±0.02)"),
        (row(shift=-0.03), "mean confidence -0.030 (at most ±0.02)"),
        (row(map_loss=math.nan), "mAP50-95 +nan points (at most -0.50)"),
        (row(shift=math.nan), "mean confidence +nan (at most ±0.02)"),
    ],
)
def test_each_bound_fails_by_itself(failing: GateRow, sentence: str) -> None:
    assert Gate().problems(failing) == (sentence,)
    assert Gate().judge([row(), failing]) == (f"streets car: {sentence}",)


def test_all_that_is_wrong_is_reported() -> None:
    assert len(Gate().problems(row(map_loss=0.1, f1_loss=0.1, shift=0.1))) == 3


def test_a_row_survives_the_file() -> None:
    first = row(map_loss=0.01, f1_loss=0.02, shift=-0.01)
    again = GateRow.from_dict(first.as_dict())
    assert dataclasses.astuple(again) == pytest.approx(dataclasses.astuple(first), abs=1e-5)


def test_a_file_that_passed_or_says_nothing_has_no_problem() -> None:
    assert gate_problem(described({"gate": PASSED})) == ""
    assert gate_problem(Metadata("m", FOUR_TASKS, (64, 32), Head.ONE_TO_ONE)) == ""
    without_verdict = {key: value for key, value in PASSED.items() if key != "passed"}
    assert gate_problem(described({"gate": without_verdict})) == ""


def test_its_verdict_counts_where_rounded_figures_would_say_otherwise() -> None:
    edge = record(Gate(), [row(map_loss=0.004996)])
    edge["rows"][0]["map50_95_quantised"] -= 1e-5
    assert Gate().judge([GateRow.from_dict(edge["rows"][0])])
    assert gate_problem(described({"gate": edge})) == ""


@pytest.mark.parametrize("verdict", [{}, {"passed": False}], ids=["by figures", "by its words"])
def test_a_file_that_failed_says_by_how_much(verdict: dict[str, bool]) -> None:
    gate = {"bounds": FAILED["bounds"], "rows": FAILED["rows"]} | verdict
    problem = gate_problem(described({"gate": gate}))
    assert problem == (
        "says that it did not pass the accuracy gate (streets car: mAP50-95 -3.00 points (at most "
        "-0.50))"
    )


def test_many_problems_are_counted() -> None:
    gate = record(Gate(), [row(map_loss=0.01 * number) for number in range(1, 6)])
    assert gate_problem(described({"gate": gate})).endswith("; 2 more)")


@pytest.mark.parametrize(
    ("quantization", "problem"),
    [
        ({}, NEVER),
        ({"gate": None}, NEVER),
        ({"gate": {"bounds": {}, "rows": []}}, NEVER),
        ({"gate": {"passed": True, "bounds": {}, "rows": []}}, NEVER),
        ({"gate": {"passed": True}}, BROKEN),
        ({"gate": {"bounds": {"much": 1}, "rows": PASSED["rows"]}}, BROKEN),
        ({"gate": {"bounds": {"map_loss": "much"}, "rows": PASSED["rows"]}}, BROKEN),
        ({"gate": {"bounds": {}, "rows": [{"set": "x"}]}}, BROKEN),
        ({"gate": {"bounds": {}, "rows": 3}}, BROKEN),
        ({"gate": "passed"}, BROKEN),
        ({"gate": PASSED | {"passed": "no"}}, "says that it did not pass the accuracy gate"),
        ("int8", BROKEN),
        ([], BROKEN),
    ],
)
def test_no_record_or_a_broken_one_is_no_pass(quantization: Any, problem: str) -> None:
    assert gate_problem(described(quantization)).startswith(problem)


def with_record(model: Path, out: Path, quantization: Any) -> Path:
    """A copy of a model that says so of its quantisation."""
    onnx = pytest.importorskip("onnx", reason="changes an ONNX file")
    content = onnx.load(model)
    (entry,) = [each for each in content.metadata_props if each.key == KEY]
    metadata = load_engine(model).metadata
    facts = {**metadata.training, "quantization": quantization}
    entry.value = dataclasses.replace(metadata, training=facts).to_json()
    onnx.save(content, out)
    return out


@pytest.mark.parametrize(
    ("quantization", "problem"), [({"gate": FAILED}, "did not pass"), ({}, "was never held to")]
)
def test_auto_leaves_out_what_did_not_pass_unless_its_precision_is_asked_for(
    model: Path, tmp_path: Path, oneglance: Any, quantization: Any, problem: str
) -> None:
    file = with_record(model, tmp_path / "small.onnx", quantization)
    with pytest.raises(ModelError) as error:
        choose_engine(file, threads=1)
    assert str(error.value).startswith(f"{file} says that it ")
    assert problem in str(error.value)
    assert "name the precision, too (--precision)" in str(error.value)
    told = Detector.load(file, engine="auto", precision="fp32", threads=1)
    assert problem in told.engine_reason
    assert Detector.load(file, threads=1).engine_reason == ""  # nothing was left to be chosen
    outcome = oneglance("run", "rendered:?frames=2", "--model", file, "--engine", "auto")
    assert outcome.code == 2
    assert "so auto does not choose it" in outcome.message


def test_auto_takes_what_passed(model: Path, tmp_path: Path) -> None:
    file = with_record(model, tmp_path / "small.onnx", {"gate": PASSED})
    assert "gate" not in choose_engine(file, threads=1).reason
