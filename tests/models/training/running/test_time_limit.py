from __future__ import annotations

from oneglance.models.training.running.time_limit import RESERVE, TimeLimit


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_part_of_the_limit_is_left_for_what_comes_after_the_last_step() -> None:
    clock = Clock()
    limit = TimeLimit(10, clock=clock)
    assert limit.left_s == 600 * (1 - RESERVE)
    clock.now += 590
    assert limit.over


def test_epochs_are_planned_by_those_that_were_not_the_first_of_the_session() -> None:
    clock = Clock()
    limit = TimeLimit(10, clock=clock)
    clock.now += 100
    assert limit.epochs_that_fit(1, 50, epoch_s=100) == 1 + 4  # 482 s left
    clock.now += 20
    assert limit.epochs_that_fit(2, 50, epoch_s=20) == 2 + 23  # 462 s left
    assert limit.epochs_that_fit(2, 10, epoch_s=20) == 10


def test_when_time_is_over_no_epoch_more_fits() -> None:
    clock = Clock()
    limit = TimeLimit(1, clock=clock)
    clock.now += 100
    assert limit.epochs_that_fit(3, 9, epoch_s=30) == 3
