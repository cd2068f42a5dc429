"""Durations counted in buckets: percentiles of a run, constant in size however long it is."""

from __future__ import annotations

import math
from collections.abc import Sequence

RELATIVE_ERROR = 0.01
"""Largest relative error of a percentile of durations between ``SHORTEST_S`` and ``LONGEST_S``."""

SHORTEST_S = 1e-6
LONGEST_S = 1e5

_GROWTH = 1.019  # a bucket's middle is at most 0.94 % from its edges
_LOG_GROWTH = math.log(_GROWTH)
_BUCKETS = 2 + math.ceil(math.log(LONGEST_S / SHORTEST_S) / _LOG_GROWTH)


class LatencyHistogram:
    """Durations in logarithmic buckets: percentiles of any number of them in 11 kB.

    A percentile is that of ``numpy.percentile`` (linear between order statistics) within
    ``RELATIVE_ERROR``; durations below ``SHORTEST_S`` count as anything up to it, durations
    above ``LONGEST_S`` only make ``max_s`` exact. Reading from another thread is safe.

    >>> histogram = LatencyHistogram()
    >>> for milliseconds in range(1, 102):
    ...     histogram.add(milliseconds / 1e3)
    >>> round(histogram.percentile(50), 3), histogram.max_s, histogram.count
    (0.051, 0.101, 101)
    """

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.count = 0
        self.sum_s = 0.0
        self.min_s = math.inf
        self.max_s = 0.0

    def add(self, duration_s: float) -> None:
        """Count one duration.

        Raises:
            ValueError: negative, infinite or not a number.
        """
        if not 0.0 <= duration_s < math.inf:
            raise ValueError(f"{duration_s} s is not a duration")
        self._counts[_bucket(duration_s)] += 1
        self.count += 1
        self.sum_s += duration_s
        self.min_s = min(self.min_s, duration_s)
        self.max_s = max(self.max_s, duration_s)

    def percentile(self, percent: float) -> float:
        """The duration in seconds that ``percent`` (0 to 100) of all do not exceed.

        Raises:
            ValueError: nothing was counted, or ``percent`` is out of range.
        """
        if not self.count:
            raise ValueError("no duration was counted")
        if not 0 <= percent <= 100:
            raise ValueError(f"a percentile is from 0 to 100, not {percent}")
        rank = percent / 100 * (self.count - 1)
        below = self._ranked(math.floor(rank))
        above = self._ranked(math.ceil(rank))
        return below + (above - below) * (rank - math.floor(rank))

    def cumulative(self, bounds_s: Sequence[float]) -> tuple[tuple[int, ...], int]:
        """How many durations do not exceed each of ``bounds_s``, and how many there are in all, of
        one moment. A duration within ``RELATIVE_ERROR`` of a bound may count on either side.

        >>> histogram = LatencyHistogram()
        >>> for duration_s in (0.002, 0.02, 0.2):
        ...     histogram.add(duration_s)
        >>> histogram.cumulative((0.001, 0.01, 0.1))
        ((0, 1, 2), 3)
        """
        counts = tuple(self._counts)
        # A bucket counts where its middle does: that is monotonic, whatever the bounds.
        ends = [_bucket(bound_s) + (_middle_s(_bucket(bound_s)) <= bound_s) for bound_s in bounds_s]
        return tuple(sum(counts[:end]) for end in ends), sum(counts)

    def _ranked(self, rank: int) -> float:
        """About the duration at 0-based ``rank`` of all, sorted."""
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen > rank:
                return min(max(_middle_s(bucket), self.min_s), self.max_s)
        return self.max_s


def _bucket(duration_s: float) -> int:
    if duration_s <= SHORTEST_S:
        return 0
    return min(1 + int(math.log(duration_s / SHORTEST_S) / _LOG_GROWTH), _BUCKETS - 1)


def _middle_s(bucket: int) -> float:
    """The value whose relative distance to both edges of the bucket is the same."""
    if bucket == 0:
        return SHORTEST_S / 2
    lower_s = SHORTEST_S * _GROWTH ** (bucket - 1)
    return lower_s * 2 * _GROWTH / (1 + _GROWTH)
