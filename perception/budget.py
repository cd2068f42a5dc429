"""How a live run keeps the age of its results under a budget: pure logic, apart from time.

The steps that a run can do are in order of cost: the model that was chosen, the same network with
smaller inputs, the smallest at every second frame only. A result older than the budget goes a step
down, at once. Up goes a run that has been well below the budget for a while, and only where
the dearer step should stay below it, too. A step up that did not last makes the next one wait
twice as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oneglance.streams.errors import UsageError

ROOM = 0.8
"""Share of the budget that a dearer step may be expected to need; the rest is for bad days."""

HOLD_S = 3.0
"""Shortest time between any change and a step up."""

LONGEST_HOLD_S = 60.0

FEWEST = 20
"""Results without which nobody knows how a step does."""


@dataclass(frozen=True, slots=True)
class Step:
    """What looks at the frames, and at every how many; ``inference_ms``: of one, measured here
    before the run."""

    model: str
    every: int
    inference_ms: float

    def __str__(self) -> str:
        return self.model if self.every == 1 else f"{self.model} at every {_ordinal(self.every)}"


@dataclass(frozen=True, slots=True)
class Change:
    """A run went from one step to another, because of a result of ``age_ms``."""

    before: Step
    after: Step
    is_down: bool
    age_ms: float
    budget_ms: float

    def __str__(self) -> str:
        if self.is_down:
            why = f"a result was {self.age_ms:.0f} ms old, over the budget of {self.budget_ms:g} ms"
        else:
            why = f"results keep well below the budget of {self.budget_ms:g} ms"
        return f"{why}: {self.after} looks from now on, not {self.before}"


@dataclass(frozen=True, slots=True)
class Exceeded:
    """A result was older than the budget, and there is no cheaper step."""

    step: Step
    age_ms: float
    budget_ms: float

    def __str__(self) -> str:
        return (
            f"a result was {self.age_ms:.0f} ms old, over the budget of {self.budget_ms:g} ms, and "
            f"nothing is cheaper than {self.step}"
        )


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """How a run does with its budget. ``step``: the one it is at, of ``steps``, the best first;
    ``model`` and ``every`` are that step's. ``down`` and ``up``: steps taken so far. ``over``:
    results older than the budget. ``memory_mb``: what loading the steps' models took, in 10⁶
    bytes; None where the system does not say."""

    budget_ms: float
    step: int
    model: str
    every: int
    down: int
    up: int
    over: int
    steps: tuple[Step, ...]
    memory_mb: float | None = None


class AgeBudget:
    """Decides which step a run is at. For one thread; ``status`` from any.

    >>> steps = [Step("large", 1, 40.0), Step("small", 1, 10.0)]
    >>> budget = AgeBudget(100.0, steps, now_s=0.0)
    >>> budget.note(0.09, now_s=1.0)
    >>> print(budget.note(0.12, now_s=1.1).after)
    small
    """

    def __init__(self, budget_ms: float, steps: Sequence[Step], *, now_s: float) -> None:
        """``steps``: the best first, each cheaper than the one before. The run begins at the best
        that leaves room.

        Raises:
            UsageError: one inference at the cheapest step takes longer than the budget.
        """
        last = steps[-1]
        if last.inference_ms > budget_ms:
            raise UsageError(
                f"a budget of {budget_ms:g} ms cannot be held: one inference of {last.model}, the "
                f"smallest of these weights here, takes {last.inference_ms:.1f} ms on this "
                "machine. Give a larger budget, a faster engine or a smaller model"
            )
        self.budget_ms = budget_ms
        self.steps = tuple(steps)
        roomy = (i for i, step in enumerate(steps) if step.inference_ms <= ROOM * budget_ms)
        self._at = next(roomy, len(steps) - 1)
        self._down = self._up = self._over = 0
        self._changed_s = self._calm_s = now_s
        self._calm, self._oldest_ms = 0, 0.0  # results since _calm_s, and the oldest of them
        self._hold_s = HOLD_S
        self._was_up = self._exceeded = False

    @property
    def step(self) -> Step:
        """Where the run is."""
        return self.steps[self._at]

    def note(self, age_s: float, *, now_s: float) -> Change | Exceeded | None:
        """A result has come out, ``age_s`` old; the step that is taken because of it, if any, or
        that there is none to take (said once, until the run has been a step further up)."""
        age_ms = 1e3 * age_s
        is_over = age_ms > self.budget_ms
        self._over += is_over
        if now_s - age_s < self._changed_s:
            return None  # captured before the last step: it says nothing of this one
        if self._was_up and now_s - self._changed_s >= self._hold_s:
            self._was_up, self._hold_s = False, HOLD_S  # that step up has proved itself
        if is_over and self._at + 1 < len(self.steps):
            return self._go(1, age_ms, now_s)
        if self._at and self._is_calm(age_ms, now_s):
            return self._go(-1, age_ms, now_s)
        if is_over and not self._exceeded:
            self._exceeded = True
            return Exceeded(self.step, age_ms, self.budget_ms)
        return None

    def status(self, *, memory_mb: float | None = None) -> BudgetStatus:
        """How the run does now."""
        at = self._at
        step = self.steps[at]
        return BudgetStatus(
            budget_ms=self.budget_ms,
            step=at,
            model=step.model,
            every=step.every,
            down=self._down,
            up=self._up,
            over=self._over,
            steps=self.steps,
            memory_mb=memory_mb,
        )

    def _is_calm(self, age_ms: float, now_s: float) -> bool:
        """Count one more result; whether the run can be expected to do the step further up."""
        self._calm += 1
        self._oldest_ms = max(self._oldest_ms, age_ms)
        is_long = self._calm >= FEWEST and now_s - self._calm_s >= self._hold_s
        room_ms = ROOM * self.budget_ms
        is_roomy = age_ms * self._dearer() <= room_ms
        if is_roomy and not is_long:
            return False
        if is_roomy and self._expected_ms(now_s) <= room_ms:
            return True
        self._begin_calm(now_s)
        return False

    def _dearer(self) -> float:
        """How many times longer an inference takes a step further up."""
        return self.steps[self._at - 1].inference_ms / self.steps[self._at].inference_ms

    def _expected_ms(self, now_s: float) -> float:
        """How old results should become a step further up: where an inference takes longer than
        the next frame takes to come, that one waits for it, too."""
        working_ms = self._oldest_ms * self._dearer()
        spacing_ms = 1e3 * (now_s - self._calm_s) / self._calm
        return working_ms + (spacing_ms if working_ms > spacing_ms else 0.0)

    def _begin_calm(self, now_s: float) -> None:
        self._calm_s, self._calm, self._oldest_ms = now_s, 0, 0.0

    def _go(self, by: int, age_ms: float, now_s: float) -> Change:
        before = self.step
        is_down = by > 0
        if is_down and self._was_up:  # up was too much: longer until the next attempt
            self._hold_s = min(2 * self._hold_s, LONGEST_HOLD_S)
        self._at += by
        self._down += is_down
        self._up += not is_down
        self._was_up = not is_down
        self._exceeded &= is_down
        self._changed_s = now_s
        self._begin_calm(now_s)
        return Change(before, self.step, is_down, age_ms, self.budget_ms)


def _ordinal(number: int) -> str:
    ending = (
        "th" if number % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    )
    return f"{number}{ending} frame"
