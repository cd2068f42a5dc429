"""What is reported of a run, and when somebody is told."""

from __future__ import annotations

import pytest

from oneglance.perception.health import DropWatch, Watchdog
from oneglance.perception.mode import Live
from oneglance.streams import UsageError


def told(watch: DropWatch, steps: list[tuple[float, int]]) -> list[float]:
    """When the alarm was raised; a step is a time and the drops before one delivered frame."""
    return [s for s, dropped in steps if watch.note(s, delivered=1, dropped=dropped)]


def test_more_than_a_fifth_dropped_is_told_once() -> None:
    watch = DropWatch(share=0.2, window_s=10)
    # 1 dropped of 5, then 1 of 4: 20 % is allowed, 25 % is not.
    calm = [(index * 0.1, int(index % 4 == 3)) for index in range(40)]
    assert told(watch, calm) == []
    assert watch.share(4.0) == pytest.approx(0.2)
    busy = [(20 + index * 0.1, int(index % 3 == 2)) for index in range(60)]
    alarms = told(watch, busy)
    assert len(alarms) == 1
    assert alarms[0] < 22


def test_it_is_told_again_after_all_was_well() -> None:
    watch = DropWatch(share=0.2, window_s=1)
    storm = [(index * 0.02, 1) for index in range(20)]
    calm = [(1 + index * 0.05, 0) for index in range(40)]
    again = [(10 + s, dropped) for s, dropped in storm]
    assert [s >= 10 for s in told(watch, storm + calm + again)] == [False, True]


def test_a_share_of_a_few_frames_is_no_news() -> None:
    watch = DropWatch(share=0.2, window_s=10)
    assert told(watch, [(0.0, 8)]) == []
    assert watch.share(0.0) is None
    assert told(watch, [(0.1, 0)]) == [0.1]  # 8 of 10


def test_what_is_past_is_forgotten() -> None:
    watch = DropWatch(share=0.2, window_s=10)
    told(watch, [(0.0, 100)])
    assert watch.share(0.5) == pytest.approx(100 / 101)
    assert watch.share(11.0) is None


def test_an_inference_that_takes_too_long_is_told_once() -> None:
    watchdog = Watchdog(10)
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
        Live(**wrong)
