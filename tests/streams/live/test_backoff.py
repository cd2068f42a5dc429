"""How long to wait before the next attempt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneglance.streams import UsageError
from oneglance.streams.errors import Reason
from oneglance.streams.live.backoff import Attempts, Backoff

PLAIN = Backoff(first_s=0.5, ceiling_s=30, factor=2, jitter=0.25, healthy_s=10)


def test_waits_double_up_to_the_ceiling() -> None:
    waits_s = [PLAIN.wait_s(n, Reason.REFUSED, chance=0) for n in range(1, 10)]
    assert waits_s == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_chance_takes_off_a_quarter_at_most() -> None:
    assert PLAIN.wait_s(3, Reason.LOST, chance=0) == 2
    assert PLAIN.wait_s(3, Reason.LOST, chance=0.5) == 2 * (1 - 0.125)
    assert PLAIN.wait_s(3, Reason.LOST, chance=1) == 1.5


def test_a_refused_password_waits_the_longest_at_once() -> None:
    assert PLAIN.wait_s(1, Reason.AUTH, chance=0) == 30


@given(st.integers(1, 10**9), st.sampled_from(list(Reason)), st.floats(0, 1))
def test_a_wait_is_above_zero_and_never_above_the_ceiling(
    failures: int, reason: Reason, chance: float
) -> None:
    assert 0 < PLAIN.wait_s(failures, reason, chance=chance) <= 30


def test_a_healthy_while_makes_the_next_wait_short_again() -> None:
    attempts = Attempts(PLAIN)
    waits_s = [attempts.failed(Reason.LOST, played_s=s, chance=0) for s in (0, 0, 9.9, 10, 0)]
    assert waits_s == [0.5, 1, 2, 0.5, 1]


@pytest.mark.parametrize(
    "wrong",
    [{"first_s": 0}, {"first_s": 31}, {"jitter": 1.1}, {"jitter": -0.1}, {"factor": 0.9}],
)
def test_a_useless_backoff_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="back-off"):
        Backoff(**wrong)
