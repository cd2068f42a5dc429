"""Which frames the network looks at, where it need not look at every one."""

from __future__ import annotations

from collections import Counter

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
