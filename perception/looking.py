"""Who looks at a frame: one detector at every Nth, or under a budget whichever is in time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np

from oneglance.models.region import Region
from oneglance.perception.budget import AgeBudget, BudgetStatus, Change, Exceeded, Step
from oneglance.perception.protocols import (
    Detect,
    DetectorLike,
    PredictingTracker,
    TakesPlanes,
    TrackerLike,
    takes_planes,
    timed_detect,
)
from oneglance.perception.readers.frame_reader import FrameReader
from oneglance.perception.stride import Stride, stride_for
from oneglance.perception.summary import memory_mb
from oneglance.streams.errors import UsageError

_TIMES = 5
_BLANK = (384, 640, 3)


@dataclass(frozen=True, slots=True)
class Look:
    """How a frame is looked at: see ``timed_detect`` and ``takes_planes``."""

    detect: Detect
    takes_planes: TakesPlanes


class Looking:
    """The detector that looks at frames, and at which; ``look`` and ``stride`` are those of now.

    Under a budget ``note`` goes to another step between two frames: all models are loaded and have
    run before the first frame, so that a step costs nothing.
    """

    def __init__(
        self,
        detector: DetectorLike,
        *,
        tracker: TrackerLike | None,
        every: int = 1,
        region: Region | None = None,
    ) -> None:
        """Raises:
        UsageError: ``every`` is below 1, or the tracker cannot predict.
        """
        self.stride: Stride = stride_for(every, tracker)
        self.may_predict = every > 1
        """Whether some frames may have the tracker's predictions only."""
        self._region, self._tracker = region, tracker
        self.look = self._looks(detector)
        self._first = detector
        self._looks_by_step: tuple[Look, ...] = (self.look,)
        self._budget: AgeBudget | None = None
        self._memory_mb: float | None = None

    def hold(self, budget_ms: float, reader: FrameReader, *, now_s: float) -> None:
        """Keep the ages of what ``reader`` gives under a budget, from ``now_s`` on; loads the
        smaller models that the detector has (``smaller()``) and times them all.

        Raises, and closes the reader:
            UsageError: the budget is no time, below one inference of the smallest model, or for a
                recorded run.
            ModelError: a smaller model cannot be loaded.
        """
        with ExitStack() as unless_held:
            unless_held.callback(reader.close)
            check_budget(budget_ms, live=reader.live)
            self._load(budget_ms, now_s)
            unless_held.pop_all()

    def _load(self, budget_ms: float, now_s: float) -> None:
        before_mb = memory_mb()
        smaller: Callable[[], tuple[DetectorLike, ...]] | None
        smaller = getattr(self._first, "smaller", None)
        detectors = [self._first, *(smaller() if smaller is not None else ())]
        every = self.stride.every
        steps = [Step(each.name, every, 1e3 * _inference_s(each)) for each in detectors]
        looks = [self._looks(each) for each in detectors]
        if self._tracker is None or isinstance(self._tracker, PredictingTracker):
            steps.append(replace(steps[-1], every=2 * every))
            looks.append(looks[-1])
            self.may_predict = self._tracker is not None
        after_mb = memory_mb()
        if before_mb is not None and after_mb is not None:
            self._memory_mb = round(max(0.0, after_mb - before_mb), 1)
        self._budget = AgeBudget(budget_ms, steps, now_s=now_s)
        self._looks_by_step = tuple(looks)
        self._use(self._budget)

    @property
    def step(self) -> Step | None:
        """Where a run with a budget is."""
        return None if self._budget is None else self._budget.step

    def note(self, age_s: float | None, *, now_s: float) -> Change | Exceeded | None:
        """A result has come out; the step that was taken because of it, or that none could be."""
        if self._budget is None or age_s is None:
            return None
        news = self._budget.note(age_s, now_s=now_s)
        if isinstance(news, Change):
            self._use(self._budget)
        return news

    def status(self) -> BudgetStatus | None:
        """How a run does with its budget; None without one. From any thread."""
        return None if self._budget is None else self._budget.status(memory_mb=self._memory_mb)

    def _use(self, budget: AgeBudget) -> None:
        step = budget.status().step
        self.look = self._looks_by_step[step]
        self.stride.every = budget.steps[step].every

    def _looks(self, detector: DetectorLike) -> Look:
        return Look(timed_detect(detector, self._region), takes_planes(detector, self._region))


def check_budget(budget_ms: float, *, live: bool = True) -> None:
    """See that a run can have such a budget.

    Raises:
        UsageError: it is no time, or the run is recorded.
    """
    if not 0 < budget_ms < math.inf:
        raise UsageError(f"a budget is milliseconds above 0, not {budget_ms:g}")
    if not live:
        raise UsageError(
            "a budget is for live runs: in a recorded one results have no age, and every frame "
            "waits its turn. Play it live (mode live), or leave the budget out"
        )


def _inference_s(detector: DetectorLike) -> float:
    """Seconds of an inference, the quickest of a few; after this it is ready to look."""
    own: Callable[[], float] | None = getattr(detector, "inference_s", None)
    if own is not None:
        return max(own(), 1e-6)
    blank = np.zeros(_BLANK, np.uint8)
    times = []
    for _ in range(_TIMES + 1):
        started = time.perf_counter()
        detector(blank)
        times.append(time.perf_counter() - started)
    return max(min(times), 1e-6)
