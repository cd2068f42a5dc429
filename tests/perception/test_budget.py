"""The budget's decisions, on a simulated live loop: ages and a clock, no sleeping."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneglance.perception.budget import FEWEST, HOLD_S, AgeBudget, Change, Exceeded, Step
from oneglance.perception.stride import Stride
from oneglance.streams import UsageError

STEPS = (
    Step("road4-n-960", 1, 50.0),
    Step("road4-n", 1, 22.0),
    Step("road4-n-416", 1, 10.0),
    Step("road4-n-416", 2, 10.0),
)


@dataclass
class Played:
    """What a simulated run did: ``ages_ms`` of results, ``changes`` with their time."""

    ages_ms: list[float] = field(default_factory=list)
    changes: list[tuple[float, Change]] = field(default_factory=list)
    exceeded: list[Exceeded] = field(default_factory=list)

    @property
    def p99_ms(self) -> float:
        return float(np.percentile(self.ages_ms, 99))


def play(
    budget: AgeBudget, load: Callable[[float], float], *, seconds: float, fps: float = 30.0
) -> Played:
    """The loop in live mode: newest wins, one frame in work at a time, ``load`` times slower than
    when the steps were timed."""
    played, stride, now_s, taken = Played(), Stride(budget.step.every), 0.0, -1
    while now_s < seconds:
        newest = math.floor(now_s * fps + 1e-9)
        if newest <= taken:
            newest = taken + 1
            now_s = newest / fps
        taken = newest
        if stride.is_due("front"):
            now_s += load(now_s) * budget.step.inference_ms / 1e3
        now_s += 1e-3  # all the rest
        age_s = now_s - newest / fps
        played.ages_ms.append(1e3 * age_s)
        news = budget.note(age_s, now_s=now_s)
        if isinstance(news, Change):
            played.changes.append((now_s, news))
            stride.every = budget.step.every
        elif news is not None:
            played.exceeded.append(news)
    return played


def doubling(period_s: float) -> Callable[[float], float]:
    """1, then 2, then 1 again, each for ``period_s``."""
    return lambda time_s: 1.0 + (time_s // period_s % 2)


def test_under_a_load_that_doubles_and_halves_p99_of_the_age_keeps_below_the_budget() -> None:
    budget = AgeBudget(120.0, STEPS, now_s=0.0)
    played = play(budget, doubling(20.0), seconds=200.0)
    assert played.p99_ms <= 120.0
    assert max(played.ages_ms) <= 2 * 120.0, "the frame that was in work when the load doubled"
    status = budget.status()
    assert status.down >= 5, "a step down each time that the load doubles"
    assert status.up >= 4, "and up again each time that it halves"
    assert status.down == sum(change.is_down for _, change in played.changes)
    assert status.up == sum(not change.is_down for _, change in played.changes)
    assert status.over == sum(age_ms > 120.0 for age_ms in played.ages_ms)


def test_a_step_up_waits_for_the_hysteresis_and_one_down_does_not() -> None:
    budget = AgeBudget(120.0, STEPS, now_s=0.0)
    played = play(budget, doubling(20.0), seconds=120.0)
    times = [0.0, *(time_s for time_s, _ in played.changes)]
    for (time_s, change), before_s in zip(played.changes, times, strict=False):
        if not change.is_down:
            assert time_s - before_s >= HOLD_S
    status = budget.status()
    assert status.down > 0
    assert status.over <= 2 * status.down, "the first that is too old, and what was on its way"


def test_a_load_that_changes_faster_than_the_hysteresis_moves_nothing_after_the_first() -> None:
    budget = AgeBudget(60.0, STEPS, now_s=0.0)
    played = play(budget, doubling(1.0), seconds=60.0)
    assert sum(not change.is_down for _, change in played.changes) <= 1
    assert played.p99_ms <= 60.0


def test_a_step_up_that_did_not_last_makes_the_next_one_wait_longer() -> None:
    steps = (Step("large", 1, 20.0), Step("small", 1, 19.0))
    budget = AgeBudget(60.0, steps, now_s=0.0)
    now_s, ups = 0.0, []
    while now_s < 100.0:  # the large one is far slower here than when it was timed
        now_s += 0.05
        news = budget.note(0.09 if budget.step is steps[0] else 0.03, now_s=now_s)
        if isinstance(news, Change) and not news.is_down:
            ups.append(now_s)
    waits = np.diff(ups)
    assert len(waits) >= 3
    assert (waits[1:] > 1.5 * waits[:-1]).all()


def test_a_result_that_was_captured_before_a_step_says_nothing_of_it() -> None:
    budget = AgeBudget(50.0, STEPS[1:], now_s=0.0)
    assert budget.note(0.06, now_s=1.0) is not None
    assert budget.note(0.07, now_s=1.02) is None
    assert budget.status().step == 1
    assert budget.status().over == 2, "it was too old all the same"


def test_a_single_result_over_the_budget_is_enough_to_go_down() -> None:
    budget = AgeBudget(100.0, STEPS, now_s=0.0)
    assert budget.note(0.1, now_s=1.0) is None
    news = budget.note(0.101, now_s=1.1)
    assert isinstance(news, Change)
    assert str(news) == (
        "a result was 101 ms old, over the budget of 100 ms: road4-n looks from now on, not "
        "road4-n-960"
    )


def test_a_few_results_are_not_enough_to_go_up_however_much_time_has_passed() -> None:
    budget = AgeBudget(100.0, STEPS, now_s=0.0)
    budget.note(0.2, now_s=1.0)
    for number in range(FEWEST - 1):
        assert budget.note(0.01, now_s=100.0 + 10 * number) is None
    assert budget.note(0.01, now_s=1000.0) is not None


@pytest.mark.parametrize(("budget_ms", "step"), [(1000.0, 0), (63.0, 0), (62.0, 1), (12.0, 3)])
def test_a_run_begins_at_the_best_step_that_leaves_room(budget_ms: float, step: int) -> None:
    assert AgeBudget(budget_ms, STEPS, now_s=0.0).status().step == step


def test_a_budget_below_one_inference_of_the_smallest_model_is_refused() -> None:
    with pytest.raises(UsageError, match=r"9 ms cannot be held.*road4-n-416.*takes 10\.0 ms"):
        AgeBudget(9.0, STEPS, now_s=0.0)


def test_where_nothing_is_cheaper_that_is_said_once_until_it_was_better() -> None:
    budget = AgeBudget(15.0, STEPS[2:], now_s=0.0)
    for number in range(5):
        budget.note(0.02, now_s=1.0 + number)
    news = [budget.note(0.02, now_s=10.0 + number) for number in range(5)]
    assert news == [None] * 5
    assert budget.status().step == 1
    assert budget.status().over == 10


def test_steps_say_in_words_what_they_look_at() -> None:
    assert str(STEPS[0]) == "road4-n-960"
    words = [str(Step("m", every, 1.0)) for every in (2, 3, 4, 12, 22)]
    assert words == [f"m at every {word} frame" for word in ("2nd", "3rd", "4th", "12th", "22nd")]


loads = st.lists(
    st.tuples(st.floats(8.0, 30.0), st.sampled_from([0.5, 1.0, 2.0])), min_size=1, max_size=8
)


@given(loads=loads, budget_ms=st.floats(60.0, 400.0), fps=st.floats(10.0, 60.0))
def test_whatever_the_load_does_the_age_is_held_and_nothing_oscillates(
    loads: Sequence[tuple[float, float]], budget_ms: float, fps: float
) -> None:
    """The cheapest step takes 20 ms at twice the load, and a frame waits for one more at most:
    every budget here can be held."""
    ends_s = np.cumsum([seconds for seconds, _ in loads])

    def load(time_s: float) -> float:
        return loads[min(int(np.searchsorted(ends_s, time_s, side="right")), len(loads) - 1)][1]

    budget = AgeBudget(budget_ms, STEPS, now_s=0.0)
    played = play(budget, load, seconds=float(ends_s[-1]), fps=fps)
    status = budget.status()
    # Each time that the load grows a step or two each cost the frame in work and the next.
    assert status.over <= 4 * len(loads)
    assert len(played.ages_ms) < 800 or played.p99_ms <= budget_ms
    assert not played.exceeded
    before_s = 0.0
    for time_s, change in played.changes:
        assert change.is_down or time_s - before_s >= HOLD_S
        before_s = time_s
    # No up and down again but where the load grew.
    grew = sum(after > before for (_, before), (_, after) in pairwise(loads))
    assert status.up <= 3 * (len(loads) + 1)
    assert status.down <= 3 * (grew + 1) + len(STEPS)
