from __future__ import annotations

import io
import json
import math
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from oneglance.perception.result import Result
from oneglance.perception.summary import (
    LONGEST_S,
    RELATIVE_ERROR,
    SHORTEST_S,
    LatencyHistogram,
    Telemetry,
    peak_memory_mb,
    render_summary,
)


def clock_of(*times_s: float) -> Callable[[], float]:
    times: Iterator[float] = iter(times_s)
    return lambda: next(times)


durations = st.floats(SHORTEST_S, LONGEST_S)


@given(st.lists(durations, min_size=1, max_size=200), st.floats(0, 100))
def test_a_percentile_is_that_of_numpy_within_the_bound(
    values: list[float], percent: float
) -> None:
    histogram = LatencyHistogram()
    for value in values:
        histogram.add(value)
    exact = float(np.percentile(values, percent))
    assert math.isclose(histogram.percentile(percent), exact, rel_tol=RELATIVE_ERROR * 1.0001)
    assert histogram.max_s == max(values)
    assert histogram.count == len(values)


@given(st.lists(st.floats(0, SHORTEST_S), min_size=1, max_size=20), st.floats(0, 100))
def test_durations_too_short_to_matter_are_right_within_a_microsecond(
    values: list[float], percent: float
) -> None:
    histogram = LatencyHistogram()
    for value in values:
        histogram.add(value)
    exact = float(np.percentile(values, percent))
    assert abs(histogram.percentile(percent) - exact) <= SHORTEST_S


def test_a_day_long_duration_keeps_the_maximum_exact() -> None:
    histogram = LatencyHistogram()
    histogram.add(5 * LONGEST_S)
    assert histogram.max_s == 5 * LONGEST_S
    assert histogram.percentile(50) == 5 * LONGEST_S


def test_a_million_frames_take_no_more_memory_than_a_thousand() -> None:
    histogram = LatencyHistogram()
    values = np.random.default_rng(7).lognormal(-4, 1, 51_000).tolist()
    for value in values[:1000]:
        histogram.add(value)
    tracemalloc.start()
    for value in values[1000:]:
        histogram.add(value)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Fifty thousand floats of 8 bytes would be 400 kB; counts above 256 are 28-byte integers.
    assert grown < 10_000


@pytest.mark.parametrize("wrong", [-1e-9, math.nan, math.inf])
def test_what_is_no_duration_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        LatencyHistogram().add(wrong)


def test_an_empty_histogram_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="no duration"):
        LatencyHistogram().percentile(50)


@pytest.mark.parametrize("percent", [-1, 100.5, math.nan])
def test_a_percentile_is_between_0_and_100(percent: float) -> None:
    histogram = LatencyHistogram()
    histogram.add(1.0)
    with pytest.raises(ValueError, match="from 0 to 100"):
        histogram.percentile(percent)


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


def test_drops_and_ages_are_told(result: Callable[..., Result]) -> None:
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
        *("end_to_end_ms", "age_ms", "peak_memory_mb", "engine", "precision", "sources"),
    }
    assert (found["source"], found["mode"], found["model"]) == ("drive.mp4", "recorded", "road4-n")
    assert (found["engine"], found["precision"]) == ("openvino", "bf16")
    assert found["latency_ms"] == {"decode": {"p50": 2.0, "p90": 2.0, "p99": 2.0, "max": 2.0}}
    assert found["age_ms"] is None


def rendered(telemetry: Telemetry) -> str:
    out = io.StringIO()
    Console(file=out, width=100).print(render_summary(telemetry.summary()))
    return out.getvalue()


def test_people_read_a_headline_and_a_table(result: Callable[..., Result]) -> None:
    telemetry = Telemetry(
        source="drive.mp4", mode="live", model="road4-n", clock=clock_of(0, 1, 2, 3)
    )
    for _ in range(2):
        telemetry.add(result(timings={"decode": 0.002, "inference": 0.0255}, age_s=0.05))
    text = rendered(telemetry)
    assert "road4-n · live · 2 frames · 0 dropped · 3.0 s · 1.0 fps" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["inference", "25.50", "25.50", "25.50", "25.50"] in rows
    assert ["end", "to", "end", "27.50", "27.50", "27.50", "27.50"] in rows
    assert ["age", "of", "results", "50.00", "50.00", "50.00", "50.00"] in rows


def test_a_source_named_like_markup_is_shown_as_it_is() -> None:
    assert "[bold]dash[/x].mp4" in rendered(Telemetry(source="[bold]dash[/x].mp4"))


def test_a_run_without_frames_can_be_shown() -> None:
    assert "0 frames" in rendered(Telemetry(source="empty.mp4"))


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
