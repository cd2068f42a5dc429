"""What is made of the arms' answers, and that people who look see frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="needs the 'serve' extra")

from benchmarks.parts import viewers
from benchmarks.processes import Arm, Measured, run_arm
from benchmarks.report.results import NONE, Part


@pytest.fixture
def part() -> Part:
    return Part(part="viewers", title="Viewers", timer="rates")


def answer(fps: float, ages_ms: tuple[float, ...] = ()) -> dict[str, Any]:
    return {
        "fps": fps,
        "inference_ms": [20.0] * 50,
        "page_cpu_s": 0.04,
        "ages_ms": [list(ages_ms)] * 7,
        "seconds": 10.0,
    }


def test_the_loop_is_held_to_its_rate_without_viewers(part: Part) -> None:
    viewers._claims(part, Measured({"alone": [answer(40.0)], "watched": [answer(36.0)]}))
    (claim,) = part.claims
    assert (claim.name, claim.met) == ("viewers.rate", False)
    assert claim.value == pytest.approx(0.9)


def test_age_is_held_to_two_periods_an_inference_and_what_a_page_may_take(part: Part) -> None:
    ages = tuple(float(ms) for ms in range(200))
    viewers._claims(part, Measured({"calm": [answer(15.0, ages)]}))
    (claim,) = part.claims
    assert claim.value == pytest.approx(198 / (2000 / 15 + 20 + 100), rel=0.01)
    assert claim.met


def test_a_row_tells_rates_costs_and_ages(part: Part) -> None:
    arm = Arm("watched", "watched", viewers.MODULE)
    row = viewers._row(part, arm, [answer(40.0, tuple(map(float, range(200))))])
    assert row[:5] == ("watched", "40.0", "20.0", "1.00", "20.0")
    assert viewers._row(part, arm, [answer(40.0)])[4:] == (NONE,) * 4


@pytest.mark.slow
def test_who_looks_sees_frames_and_who_is_stuck_holds_up_nobody(
    video: Callable[..., Path], model: Path
) -> None:
    words = ("--model", str(model), "--clip", str(video("a.mp4", frames=8)))
    how = ("--rate", "20", "--seconds", "4", "--viewers", "2", "--stuck", "1")
    found = run_arm(Arm("a", "a", viewers.MODULE, (*words, *how)))
    assert found["fps"] > 0
    assert len(found["ages_ms"]) == 2
    assert all(ages and min(ages) > 0 for ages in found["ages_ms"])
