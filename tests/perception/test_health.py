"""What is reported of a run, and when an alert is raised."""

from __future__ import annotations

import json

import pytest

from oneglance.perception.health import DropRateMonitor, Health, InferenceWatchdog, SourceHealth
from oneglance.perception.mode import Live
from oneglance.streams import State, UsageError


def reported(monitor: DropRateMonitor, steps: list[tuple[float, int]]) -> list[float]:
    """When the alarm was raised; a step is a time and the drops before one delivered frame."""
    return [s for s, dropped in steps if monitor.note(s, delivered=1, dropped=dropped)]


def test_more_than_a_fifth_dropped_is_reported_once() -> None:
    monitor = DropRateMonitor(share=0.2, window_s=10)
    # 1 dropped of 5, then 1 of 4: 20 % is allowed, 25 % is not.
    calm = [(index * 0.1, int(index % 4 == 3)) for index in range(40)]
    assert reported(monitor, calm) == []
    assert monitor.share(4.0) == pytest.approx(0.2)
    busy = [(20 + index * 0.1, int(index % 3 == 2)) for index in range(60)]
    alarms = reported(monitor, busy)
    assert len(alarms) == 1
    assert alarms[0] < 22


def test_it_is_reported_again_after_all_was_well() -> None:
    monitor = DropRateMonitor(share=0.2, window_s=1)
    storm = [(index * 0.02, 1) for index in range(20)]
    calm = [(1 + index * 0.05, 0) for index in range(40)]
    again = [(10 + s, dropped) for s, dropped in storm]
    assert [s >= 10 for s in reported(monitor, storm + calm + again)] == [False, True]


def test_a_share_of_a_few_frames_is_no_news() -> None:
    monitor = DropRateMonitor(share=0.2, window_s=10)
    assert reported(monitor, [(0.0, 8)]) == []
    assert monitor.share(0.0) is None
    assert reported(monitor, [(0.1, 0)]) == [0.1]  # 8 of 10


def test_what_is_past_is_forgotten() -> None:
    monitor = DropRateMonitor(share=0.2, window_s=10)
    reported(monitor, [(0.0, 100)])
    assert monitor.share(0.5) == pytest.approx(100 / 101)
    assert monitor.share(11.0) is None


def test_an_inference_that_takes_too_long_is_reported_once() -> None:
    watchdog = InferenceWatchdog(10)
    watchdog.begin(1, 0.0)
    watchdog.begin(2, 4.0)
    assert (watchdog.longest_s(9.0), watchdog.newly_stuck(9.0)) == (9.0, False)
    assert [watchdog.newly_stuck(s) for s in (10.1, 11, 15, 16)] == [True, False, True, False]
    watchdog.end(1)
    assert watchdog.longest_s(16.0) == 12.0
    watchdog.end(2)
    assert watchdog.longest_s(16.0) is None
    watchdog.begin(1, 20.0)
    assert [watchdog.newly_stuck(s) for s in (25, 31)] == [False, True]


@pytest.mark.parametrize("wrong", [{"stuck_s": 0}, {"window_s": 0}, {"drop_share": 1.5}])
def test_useless_limits_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="live mode needs"):
        Live(**wrong)  # type: ignore[arg-type]


def source(name: str, **facts: object) -> SourceHealth:
    usual = {"state": State.LIVE, "state_s": 9.0, "fps_declared": None, "fps_measured": 24.96}
    usual |= {"age_s": 0.04, "produced": 100, "delivered": 90, "dropped": {"newer frame": 8}}
    usual |= {"corrupt": 2, "reconnects": 0, "drop_share": 0.08, "last_error": None}
    return SourceHealth(source=name, **{**usual, **facts})  # type: ignore[arg-type]


def test_health_is_ready_for_json() -> None:
    health = Health(sources=(source("front"),), inference_s=None, stuck=False)
    found = json.loads(json.dumps(health.as_dict(), allow_nan=False))
    assert found["sources"][0]["state"] == "live"
    assert found["sources"][0]["dropped"] == {"newer frame": 8}
