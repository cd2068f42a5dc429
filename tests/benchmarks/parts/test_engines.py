"""Models in engines: what the larger input costs at its best, and what auto took."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import facts
from benchmarks.options import Options, check, parser
from benchmarks.parts import engines
from benchmarks.parts.engines import CHOSEN, FIXED, LARGE, How
from benchmarks.processes import Answer, Measured
from benchmarks.report.results import Part
from oneglance.models.zoo import DEFAULT, list_zoo


@pytest.fixture
def part() -> Part:
    return Part(part="engines", title="Models and engines", timer="a frame")


@pytest.fixture
def asked(drive: Path) -> Options:
    return check(parser(None, rounds=1, frames=2).parse_args(["--clip", str(drive)]))


def answer(interval_ms: float, engine: str = "openvino", precision: str = "bf16") -> dict[str, Any]:
    """What ``oneglance run`` answers when frames come so far apart."""
    return {
        "intervals_ms": [interval_ms] * 4, "cpu_ms": 2 * interval_ms, "peak_mb": 300.0,
        "engine": engine, "precision": precision,
    }  # fmt: skip


def test_every_model_runs_in_what_it_is_in_and_in_what_auto_takes(asked: Options) -> None:
    chosen = engines.arms(asked)
    for entry in list_zoo():
        first = How("openvino", "int8") if entry.is_quantised else FIXED
        assert {(entry.name, first), (entry.name, CHOSEN)} <= set(chosen)
    names = [arm.name for arm in chosen.values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("low_precision", "met"), [(True, False), (False, None)])
def test_the_larger_input_is_held_to_what_the_cpu_can(
    part: Part,
    asked: Options,
    monkeypatch: pytest.MonkeyPatch,
    low_precision: bool,
    met: bool | None,
) -> None:
    monkeypatch.setattr(facts, "computes_low_precision", lambda: low_precision)
    chosen = engines.arms(asked)
    spent_ms = {(DEFAULT, FIXED): 10.0, (LARGE, CHOSEN): 15.0, (DEFAULT, CHOSEN): 5.0}
    answers: dict[str, list[Answer]] = {
        chosen[key].name: [answer(ms)] * 2 for key, ms in spent_ms.items()
    }
    engines._claims(part, chosen, Measured(answers))
    claims = {claim.name: claim for claim in part.claims}
    assert claims["engines.large_over_default"].value == pytest.approx(1.5)
    assert claims["engines.large_over_default"].met is met
    assert claims["engines.auto_over_best"].value == pytest.approx(2.0)


def test_a_row_says_what_was_taken_in_how_many_rounds(part: Part, asked: Options) -> None:
    arm = engines.arms(asked)[DEFAULT, CHOSEN]
    both: list[Answer] = [answer(10.0), answer(20.0, "onnxruntime", "fp32")]
    row = engines._row(part, arm, both)
    assert row[0] == f"{DEFAULT}, auto"
    assert row[1] == "openvino bf16 (1 of 2), onnxruntime fp32 (1 of 2)"
    assert row[2:] == ("75.0", "30.0", "300")
