"""What is made of a live run's answer."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.parts import live
from benchmarks.report.results import Part


def answer(**changes: Any) -> dict[str, Any]:
    """A run of two seconds at 100 frames a second, 1 result in 4, ages 1 to 200 tenths of ms."""
    return {
        "ages_ms": [i / 10 for i in range(1, 202)],
        "inference_ms": [20.0] * 201,
        "memory_mb": [100.0, 101.0, 101.0, 103.0, None],
        "results": 50,
        "dropped": 150,
        "up_to_last": 200,
        "late": 0,
        "seconds": 2.0,
        **changes,
    }


@pytest.fixture
def part() -> Part:
    return Part(part="live", title="Live", timer="age")


def test_a_frame_that_is_neither_result_nor_drop_is_missed(part: Part) -> None:
    live._claims(part, 100.0, answer(dropped=149))
    (claim,) = [c for c in part.claims if c.name == "live.uncounted"]
    assert (claim.value, claim.met) == (1, False)


def test_age_is_held_to_two_periods_and_two_inference_times(part: Part) -> None:
    live._claims(part, 100.0, answer())
    (claim,) = [c for c in part.claims if c.name == "live.age"]
    # p99 of 0.1, 0.2 … 20.1 ms is 19.9 ms; the bound is 2 × 10 ms + 2 × 20 ms.
    assert claim.value == pytest.approx(19.9 / 60)
    assert claim.met
    assert "(60 ms)" in claim.label


def test_age_without_enough_results_is_not_claimed(part: Part) -> None:
    live._claims(part, 100.0, answer(ages_ms=[1.0] * 100))
    assert {claim.name for claim in part.claims} == {"live.uncounted", "live.memory"}


def test_memory_grown_is_last_quarter_over_first(part: Part) -> None:
    live._claims(part, 100.0, answer())
    (claim,) = [c for c in part.claims if c.name == "live.memory"]
    assert (claim.value, claim.met) == (3.0, True)
    live._claims(part, 100.0, answer(memory_mb=[100.0] * 4 + [150.0] * 4))
    assert part.claims[-1].met is False


def test_a_row_tells_shares_rates_and_ages(part: Part) -> None:
    row = live._row(part, 4.0, 100.0, answer())
    assert row[:4] == ("4×", "100", "100.5", "150 (75 %)")
    assert row[4:7] == ("10.1", "18.1", "19.9")
    assert row[-1] == "100 to 103"
