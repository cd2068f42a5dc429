"""Which frames the network looks at, where it need not look at every one."""

from __future__ import annotations

from collections import Counter

from oneglance.perception.protocols import PredictingTracker, TrackerLike
from oneglance.streams.errors import UsageError


class Stride:
    """Every Nth frame of each source, its first among them. For one thread at a time.

    Counted are the frames that are handed out: those that a live run dropped do not count.

    >>> stride = Stride(3)
    >>> [stride.is_due("front") for _ in range(5)]
    [True, False, False, True, False]
    """

    def __init__(self, every: int) -> None:
        """Raises:
        UsageError: ``every`` is below 1.
        """
        if every < 1:
            raise UsageError(
                f"every must be at least 1 (the network looks at every frame), not {every}"
            )
        self.every = every
        self._passed: Counter[str] = Counter()

    def is_due(self, source: str) -> bool:
        """Whether the network looks at the next frame of ``source``."""
        passed = self._passed[source]
        self._passed[source] = (passed + 1) % self.every
        return passed == 0


def stride_for(every: int, tracker: TrackerLike | None) -> Stride:
    """The stride of a run, whose ``tracker`` predicts what is not looked at.

    Raises:
        UsageError: ``every`` is below 1, or the tracker cannot predict.
    """
    stride = Stride(every)
    if tracker is not None and every > 1 and not isinstance(tracker, PredictingTracker):
        raise UsageError(
            f"{type(tracker).__name__} has no predict(timestamp_s=…), so frames that the network "
            "does not look at would have no boxes: run it with every=1"
        )
    return stride
