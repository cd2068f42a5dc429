"""What is made of the arms' answers, and that the arms answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.parts import sinks
from benchmarks.processes import Arm, Measured, run_arm
from benchmarks.report.results import Part
from oneglance.streams import open_stream


@pytest.fixture
def part() -> Part:
    return Part(part="sinks", title="What sinks cost", timer="rates")


def answer(ms: float, **changes: Any) -> dict[str, Any]:
    return {
        "intervals_ms": [ms] * 5,
        "cpu_ms": 40.0,
        "peak_mb": 300.0,
        "lost": 0,
        "dropped": 1,
        **changes,
    }


def test_a_sink_is_held_to_the_rate_without_any(part: Part) -> None:
    found = Measured({"none": [answer(20.0)] * 2, "jsonl": [answer(25.0, lost=3)] * 2})
    assert sinks._row(part, "none", found) == ("none", "50.0", "—", "40.0", "300", "1", "0")
    assert sinks._row(part, "jsonl", found) == ("jsonl", "40.0", "0.800", "40.0", "300", "1", "3")
    (claim,) = part.claims
    assert (claim.name, claim.met) == ("sinks.jsonl.rate", False)
    assert claim.value == pytest.approx(0.8)
    sinks._row(part, "jsonl", found, sinks.Way.SHARE)
    sinks._row(part, "jsonl", found, sinks.Way.LIVE)
    names = [claim.name for claim in part.claims]
    assert names == ["sinks.jsonl.rate", "sinks.share.jsonl.rate", "sinks.live.jsonl.rate"]


def test_a_sink_that_was_not_measured_has_no_row(part: Part) -> None:
    assert sinks._row(part, "jsonl", Measured({})) is None


def test_the_pair_is_the_same_frames_as_mp4_and_as_a_bag(
    video: Callable[..., Path], tmp_path: Path
) -> None:
    pytest.importorskip("mcap", reason="needs the extra mcap")
    pytest.importorskip("foxglove", reason="needs the extra mcap")
    clip, bag = tmp_path / "a.mp4", tmp_path / "a.mcap"
    sinks.make_pair(str(video("given.mp4", frames=5)), clip, bag, frames=8)
    one, other = ([frame.image for frame in open_stream(source)] for source in (clip, bag))
    assert len(one) == 8
    assert np.array_equal(one, other)
    grey = [image.mean() for image in one]
    assert grey[:5] == sorted(grey[:5])
    assert grey[5] < grey[4]  # from the start again


@pytest.mark.parametrize("way", [(), ("--live",), ("--share", "1e-9")])
@pytest.mark.parametrize("sink", [None, "jsonl:{folder}/out.jsonl", "hub"])
def test_an_arm_answers_with_its_rate(
    sink: str | None, way: tuple[str, ...], video: Callable[..., Path], model: Path
) -> None:
    if sink == "hub":
        pytest.importorskip("starlette", reason="needs the 'serve' extra")
    count = 40 if "--share" in way else 4
    clip = video("a.mp4", frames=60 if "--live" in way else count + 4)
    words = ("--model", str(model), "--clip", str(clip), *way)
    more = () if sink is None else ("--sink", sink)
    arm = Arm(
        "a",
        "a",
        "benchmarks.arms.plugged",
        (*words, "--frames", str(count), "--warmup", "2", *more),
    )
    found = run_arm(arm)
    assert len(found["intervals_ms"]) == count
    assert (found["lost"] > 0) == (sink is not None and "--share" in way)
