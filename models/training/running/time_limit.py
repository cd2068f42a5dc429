"""When a training with a time limit stops, and how many epochs fit into it: pure, no torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

RESERVE = 0.03
"""Share of the limit that is left for the last checkpoint and the export."""


@dataclass(slots=True)
class TimeLimit:
    """``minutes`` from its making on; ``clock`` gives seconds.

    What is prepared before the first step (merging, caching) counts as well, for whoever has a
    machine for a quarter of an hour has it for that too.
    """

    minutes: float
    clock: Callable[[], float] = time.monotonic
    _begun: float = field(init=False)
    _epochs: list[float] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._begun = self.clock()

    @property
    def left_s(self) -> float:
        """Seconds until a training must stop; negative when it should have."""
        return self.minutes * 60 * (1 - RESERVE) - (self.clock() - self._begun)

    @property
    def over(self) -> bool:
        """Whether it is time to stop."""
        return self.left_s <= 0

    def epochs_that_fit(self, done: int, wanted: int, epoch_s: float) -> int:
        """How many epochs of ``wanted`` will be done in time: at least the ``done`` ones.

        ``epoch_s``: how long the last one took. The first of a session warms up (caches,
        kernels chosen), so it counts only until there is a second.
        """
        self._epochs.append(epoch_s)
        later = self._epochs[1:] or self._epochs
        fit = int(max(0.0, self.left_s) / max(sum(later) / len(later), 1e-9))
        return min(wanted, done + fit)
