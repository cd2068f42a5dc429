"""How long to wait before trying a lost source again."""

from __future__ import annotations

from dataclasses import dataclass

from oneglance.streams.errors import Reason, UsageError

HOPELESS = frozenset({Reason.AUTH})
"""Failures that trying again soon cannot mend: a password does not become right, and a camera
locks out who insists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Waits that double from ``first_s`` to ``ceiling_s``, each shortened by chance.

    ``jitter``: the share of a wait that chance may take off, so that cameras behind one switch
    do not all come back at once. ``healthy_s``: a connection that lasted as long was good, and
    the next wait is ``first_s`` again.

    Raises:
        UsageError: a wait below 0, a ceiling below the first wait, a jitter outside 0..1.
    """

    first_s: float = 0.5
    ceiling_s: float = 30.0
    factor: float = 2.0
    jitter: float = 0.25
    healthy_s: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.first_s <= self.ceiling_s:
            raise UsageError(
                f"back-off must satisfy 0 < first_s <= ceiling_s, not {self.first_s} and "
                f"{self.ceiling_s}"
            )
        if not 0 <= self.jitter <= 1 or self.factor < 1:
            raise UsageError(
                f"back-off needs a jitter in 0..1 and a factor from 1, not {self.jitter} and "
                f"{self.factor}"
            )

    def wait_s(self, failures: int, reason: Reason, *, chance: float) -> float:
        """Seconds to wait after ``failures`` (from 1) in a row, the last for ``reason``.

        ``chance``: in 0..1; 0 gives the whole wait, 1 takes all of the jitter off.
        """
        if reason in HOPELESS:
            whole = self.ceiling_s
        else:
            # Beyond some 1000 failures the power would overflow a float.
            whole = self.first_s
            for _ in range(min(failures - 1, 64)):
                whole = min(whole * self.factor, self.ceiling_s)
        return whole * (1 - self.jitter * chance)


class Attempts:
    """Counts failures in a row, and forgets them after a healthy while. Without a clock."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self.failures = 0

    def failed(self, reason: Reason, *, played_s: float, chance: float) -> float:
        """Another failure, after ``played_s`` of frames; seconds to wait before trying again."""
        if played_s >= self._backoff.healthy_s:
            self.failures = 0
        self.failures += 1
        return self._backoff.wait_s(self.failures, reason, chance=chance)
