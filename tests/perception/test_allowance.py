"""An output's share of the CPUs' time, without any time going by."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneglance.perception.allowance import Allowance
from oneglance.streams import UsageError


def test_the_next_result_is_written_when_the_last_is_paid_for() -> None:
    allowance = Allowance(0.25, cpus=2)
    assert allowance.has_room(100.0)
    allowance.took(0.5, 100.0)
    assert not allowance.has_room(100.99)
    assert allowance.has_room(101.0)


def test_what_was_not_used_is_not_saved_up() -> None:
    allowance = Allowance(0.5, cpus=1)
    allowance.took(1.0, 0.0)
    allowance.took(1.0, 1000.0)
    assert not allowance.has_room(1001.9)
    assert allowance.has_room(1002.0)


def test_a_burst_may_owe_a_little() -> None:
    allowance = Allowance(0.1, cpus=1, owed_s=0.25)
    allowance.took(0.02, 0.0)
    assert allowance.has_room(0.0)
    allowance.took(0.02, 0.0)
    assert not allowance.has_room(0.0)
    assert allowance.has_room(0.15)


def test_a_debt_may_have_an_end() -> None:
    allowance = Allowance(0.01, cpus=1, longest_s=0.5)
    allowance.took(60.0, 0.0)
    assert allowance.paid_s == 0.5


@given(
    share=st.floats(0.001, 1.0),
    cpus=st.integers(1, 64),
    costs=st.lists(st.floats(0.0001, 2.0), min_size=2, max_size=50),
)
def test_whatever_results_cost_the_share_is_kept_over_the_whole_run(
    share: float, cpus: int, costs: list[float]
) -> None:
    allowance = Allowance(share, cpus=cpus)
    now_s, at_work_s = 0.0, 0.0
    for cost_s in costs:
        while not allowance.has_room(now_s):
            now_s += cost_s / (share * cpus) / 7
        # All but the last result is paid for before the next one.
        assert at_work_s <= share * cpus * now_s + 1e-6
        allowance.took(cost_s, now_s)
        at_work_s += cost_s


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="above 0 and at most 1"):
        Allowance(share, cpus=2)
