"""The learning curve: a power law through error against images, and what more images would bring.

Error (1 - mAP50-95) falls as ``a · n^-b + c``: measured for many networks and tasks (Hestness et
al. 2017, "Deep Learning Scaling is Predictable, Empirically"). ``c`` is what no data removes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FLOORS = 60
"""How many values of ``c``, from 0 to almost the smallest error, are tried."""

LEAST_POINTS = 3


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """``a · n^-b + c`` for D fits at once; each is an array of D numbers, none below 0."""

    a: Floats
    b: Floats
    c: Floats

    def error(self, images: Sequence[float] | Floats) -> Floats:
        """D×N: the error of each fit for each number of images."""
        n = np.asarray(images, np.float64)
        return self.a[:, None] * n[None] ** -self.b[:, None] + self.c[:, None]


def fit(images: Sequence[float], errors: Floats) -> PowerLaw:
    """The laws nearest to D×N ``errors`` at N numbers of images, by least squares in the error.

    For each floor ``c`` a straight line through logarithms gives ``a`` and ``b``; the best floor
    is taken. Errors that do not fall with more images get ``b`` = 0: their mean.

    Raises:
        ValueError: fewer than 3 numbers of images, or one twice.
    """
    n = np.asarray(images, np.float64)
    if len(set(n.tolist())) < max(LEAST_POINTS, len(n)):
        raise ValueError(f"a curve needs {LEAST_POINTS} different numbers of images, not {images}")
    x = np.log(n) - np.log(n).mean()
    smallest = errors.min(axis=1)
    best = np.full(len(errors), np.inf)
    law = np.zeros((3, len(errors)))
    for share in np.linspace(0, 0.99, FLOORS):
        c = share * smallest
        y = np.log(np.maximum(errors - c[:, None], 1e-9))
        slope = np.minimum((x * y).sum(axis=1) / (x * x).sum(), 0.0)
        a = np.exp(y.mean(axis=1) - slope * np.log(n).mean())
        flat = slope == 0
        a, c = np.where(flat, errors.mean(axis=1), a), np.where(flat, 0.0, c)
        found = PowerLaw(a, -slope, c)
        loss = ((found.error(n) - errors) ** 2).sum(axis=1)
        # A floor must earn its place: with equal fits the smaller one stays.
        better = loss < best * (1 - 1e-6)
        best[better] = loss[better]
        law[:, better] = np.stack([a, -slope, c])[:, better]
    return PowerLaw(*law)


@dataclass(frozen=True, slots=True)
class Extrapolation:
    """What the law says of ``images`` and of twice as many, scores in 0..1.

    ``gain``: how much higher the score would be with twice the images, ``low`` to ``high`` being
    95 % of the draws. ``band``: N×3 of images, low and high score, for drawing.
    """

    images: float
    gain: float
    low: float
    high: float
    law: tuple[float, float, float]
    band: tuple[tuple[float, float, float, float], ...]

    @property
    def verdict(self) -> str:
        """Whether there is enough: twice as much would surely bring less than a point."""
        if self.high < POINT:
            return "enough data"
        return "not enough data" if self.low > POINT else "whether there is enough is open"


POINT = 0.01
"""A point of mAP, in 0..1; a gain below it is not worth as much labelling again."""


def extrapolate(images: Sequence[float], scores: Floats, drawn: Floats) -> Extrapolation:
    """Extrapolate N ``scores``; ``drawn`` is D×N, the same of D draws (images and seeds)."""
    law = fit(images, 1 - scores[None])
    most = max(images)
    laws = fit(images, 1 - drawn)
    gains = laws.error([most]) - laws.error([2 * most])
    low, high = np.percentile(gains, (2.5, 97.5))
    grid = np.geomspace(min(images), 2 * most, 40)
    edges = 1 - np.percentile(laws.error(grid), (97.5, 2.5), axis=0)
    middle = 1 - law.error(grid)[0]
    return Extrapolation(
        images=float(most),
        gain=float((law.error([most]) - law.error([2 * most]))[0, 0]),
        low=float(low),
        high=float(high),
        law=(float(law.a[0]), float(law.b[0]), float(law.c[0])),
        band=tuple(zip(grid.tolist(), middle.tolist(), *edges.tolist(), strict=True)),
    )
