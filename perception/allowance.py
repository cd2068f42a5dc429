"""How much of the CPUs' time an output may take."""

from __future__ import annotations

from oneglance.streams.errors import UsageError


def check_share(share: float) -> None:
    """See that ``share`` is one of the CPUs' time.

    Raises:
        UsageError: it is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise UsageError(
            f"the share of an output must be above 0 and at most 1, like 0.02, not {share:g}"
        )


class Allowance:
    """How much CPU time a sink may take: a ``share`` of what ``cpus`` CPUs have.

    Pure logic on monotonic seconds. What a result takes cannot be known before: more come
    when all that were written have been paid for.
    """

    def __init__(
        self, share: float, *, cpus: int, owed_s: float = 0.0, longest_s: float = float("inf")
    ) -> None:
        """``owed_s``: it may begin when all is paid for so soon, for results come in bursts;
        ``longest_s``: it is never longer until all is paid for.

        Raises:
            UsageError: as ``check_share``.
        """
        check_share(share)
        self._rate, self._owed_s, self._longest_s = share * cpus, owed_s, longest_s
        self.paid_s = float("-inf")
        """When all that it took is paid for."""

    def has_room(self, now_s: float) -> bool:
        """Whether it may begin now."""
        return now_s >= self.paid_s - self._owed_s

    def took(self, cpu_s: float, now_s: float) -> None:
        """It has just taken so much CPU time."""
        paid_s = max(self.paid_s, now_s) + cpu_s / self._rate
        self.paid_s = min(paid_s, now_s + self._longest_s)
