"""What a run did and cost: counted right, whatever the results say."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from oneglance.perception.histogram import RELATIVE_ERROR
from oneglance.perception.result import Result
from oneglance.perception.summary import Telemetry, peak_memory_mb


def clock_of(*times_s: float) -> Callable[[], float]:
    times: Iterator[float] = iter(times_s)
    return lambda: next(times)


def test_frames_a_second_are_intervals_by_the_time_between_results(
    result: Callable[..., Result],
) -> None:
    # Made at 10 s; results at 12, 12.5, 13 and 13.5 s; asked at 14 s:
    # 3 intervals / 1.5 s = 2 fps, and 14 - 10 = 4 s on the wall.
    telemetry = Telemetry(clock=clock_of(10, 12, 12.5, 13, 13.5, 14))
    for index in range(4):
        telemetry.add(result(index=index))
    summary = telemetry.summary()
    assert (summary.frames, summary.fps, summary.wall_s) == (4, 2.0, 4.0)


@pytest.mark.parametrize("times_s", [(0, 1, 2), (0, 1, 1, 2)], ids=["one result", "no time"])
def test_without_an_interval_there_is_no_rate(
    times_s: tuple[float, ...], result: Callable[..., Result]
) -> None:
    telemetry = Telemetry(clock=clock_of(*times_s))
    for _ in times_s[2:]:
        telemetry.add(result())
    assert telemetry.summary().fps is None


def test_end_to_end_is_the_sum_of_a_frames_stages(result: Callable[..., Result]) -> None:
    telemetry = Telemetry()
    telemetry.add(result(timings={"track": 0.001, "decode": 0.005, "queue": 0.02}))
    telemetry.add(result(timings={"track": 0.002, "decode": 0.005, "queue": 0.04}))
    summary = telemetry.summary()
    assert list(summary.latency_ms) == ["decode", "queue", "track"]  # in a frame's order
    assert summary.latency_ms["queue"].max == 40.0
    assert summary.end_to_end_ms is not None
    assert summary.end_to_end_ms.max == 47.0  # 2 + 5 + 40
    # Halfway between 1 + 5 + 20 = 26 and 47.
    assert summary.end_to_end_ms.p50 == pytest.approx(36.5, rel=RELATIVE_ERROR)


def test_drops_and_ages_are_reported(result: Callable[..., Result]) -> None:
    telemetry = Telemetry(mode="live")
    for dropped, age_s in ((0, 0.010), (3, 0.020), (1, 0.030)):
        telemetry.add(result(dropped=dropped, age_s=age_s))
    summary = telemetry.summary()
    assert (summary.frames, summary.dropped) == (3, 4)
    assert summary.age_ms is not None
    assert summary.age_ms.p50 == pytest.approx(20, rel=RELATIVE_ERROR)
    assert summary.age_ms.max == 30.0


def test_a_summary_is_ready_for_json(result: Callable[..., Result]) -> None:
    telemetry = Telemetry(
        source="drive.mp4", mode="recorded", model="road4-n", engine="openvino", precision="bf16"
    )
    telemetry.add(result(timings={"decode": 0.002}))
    found = json.loads(json.dumps(telemetry.summary().as_dict(), allow_nan=False))
    assert set(found) == {
        *("source", "mode", "model", "frames", "dropped", "wall_s", "fps", "latency_ms"),
        *(
            "end_to_end_ms",
            "age_ms",
            "peak_memory_mb",
            "engine",
            "precision",
            "engine_reason",
            "engine_check",
            "device",
        ),
        *("predicted", "sources", "budget", "sinks"),
    }
    assert (found["source"], found["mode"], found["model"]) == ("drive.mp4", "recorded", "road4-n")
    assert (found["engine"], found["precision"]) == ("openvino", "bf16")
    assert found["latency_ms"] == {"decode": {"p50": 2.0, "p90": 2.0, "p99": 2.0, "max": 2.0}}
    assert found["age_ms"] is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not say")
def test_peak_memory_grows_with_what_was_held_and_stays() -> None:
    before = peak_memory_mb()
    assert before is not None
    block = np.ones(int(before + 50) * 1_000_000, np.uint8)
    size_mb = block.nbytes / 1e6
    del block
    after = peak_memory_mb()
    assert after is not None
    assert after >= size_mb  # 50 MB more than all that was held before


@pytest.mark.skipif(sys.platform != "linux", reason="a trap of Linux's ru_maxrss")
def test_a_small_program_started_by_a_large_one_reports_its_own_peak() -> None:
    block = np.ones(400_000_000, np.uint8)
    code = "from oneglance.perception.summary import peak_memory_mb; print(peak_memory_mb())"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert float(answer) < block.nbytes / 1e6
