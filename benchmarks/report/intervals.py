"""The statistics: percentiles that refuse to guess, ratios with the interval they deserve."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Samples = Sequence[float] | npt.NDArray[np.float64]

Rounds = Sequence[Samples]
"""Samples of one arm: one sequence for each round."""

DRAWS = 4000
CONFIDENCE = 0.95


class TooFewSamples(Exception):
    """A percentile was asked of so few samples that it would be a guess."""


def least_samples(percent: float) -> int:
    """How many samples a percentile needs: two expected beyond it on its thinner side.

    >>> [least_samples(p) for p in (50, 90, 99)]
    [4, 20, 200]
    """
    beyond = min(percent, 100 - percent) / 100
    return math.ceil(round(2 / beyond, 6))


def percentile(samples: Sequence[float], percent: float) -> float:
    """Linear between order statistics, as ``numpy.percentile``.

    Raises:
        TooFewSamples: see ``least_samples``.
    """
    needed = least_samples(percent)
    if len(samples) < needed:
        raise TooFewSamples(f"p{percent:g} needs {needed} samples, there are {len(samples)}")
    return float(np.percentile(samples, percent))


def median(samples: Samples) -> float:
    """The middle of what there is, be it one sample."""
    return float(np.median(samples))


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and the bounds of its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def ratio(
    numerator: Rounds,
    denominator: Rounds,
    *,
    of: Callable[[Samples], float] = median,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """Median over rounds of ``of(numerator) / of(denominator)``, with its bootstrap interval.

    The arms ran in turns, so round ``i`` of one is paired with round ``i`` of the other: a
    machine that was slow for a while was slow for both. Each draw takes rounds with
    replacement, then samples within each of them: samples of one round are not independent,
    and resampling them alone would make the interval far too narrow.

    Raises:
        ValueError: no rounds, or not as many on both sides.
    """
    pairs = [
        (np.asarray(a, np.float64), np.asarray(b, np.float64))
        for a, b in zip(numerator, denominator, strict=True)
    ]
    if not pairs:
        raise ValueError("no rounds to compare")
    value = float(np.median([of(a) / of(b) for a, b in pairs]))
    random = np.random.default_rng(seed)
    # Ratios of resampled rounds, once; the rounds are then drawn among them.
    inner = 200 if any(len(a) > 1 or len(b) > 1 for a, b in pairs) else 1
    ratios = np.array(
        [[of(_again(a, random)) / of(_again(b, random)) for _ in range(inner)] for a, b in pairs]
    )
    chosen = random.integers(len(pairs), size=(draws, len(pairs)))
    drawn = np.median(ratios[chosen, random.integers(inner, size=chosen.shape)], axis=1)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return Interval(value, float(low), float(high))


def _again(
    samples: npt.NDArray[np.float64], random: np.random.Generator
) -> npt.NDArray[np.float64]:
    return samples if len(samples) == 1 else random.choice(samples, len(samples))


def spread(samples: Sequence[float], *, draws: int = DRAWS, seed: int = 0) -> Interval:
    """Median of independent samples (one a round) with its bootstrap interval."""
    values = np.asarray(samples, np.float64)
    random = np.random.default_rng(seed)
    drawn = np.median(random.choice(values, (draws, len(values))), axis=1)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return Interval(median(samples), float(low), float(high))
