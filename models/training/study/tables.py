"""How the study's numbers are put before people: rows of two arms, tables, plots as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from oneglance.models.training.study.arms import QUESTIONS
from oneglance.models.training.study.curves import Extrapolation
from oneglance.models.training.study.statistics import (
    Estimate,
    Ledger,
    Pick,
    difference,
    estimate,
    samples,
)

NONE = "–"  # noqa: RUF001
MINUS = "−"  # noqa: RUF001


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars in groups: by label, then by group, a score in 0..1; ``score`` names the axis."""

    title: str
    scores: Mapping[str, Mapping[str, Estimate]]
    score: str = "mAP50-95 in points"


@dataclass(frozen=True, slots=True)
class Lines:
    """Scores in 0..1 against images: by label, points of (images, score)."""

    title: str
    lines: Mapping[str, Sequence[tuple[float, Estimate]]]


@dataclass(frozen=True, slots=True)
class Curves:
    """Learning curves: by task, the points measured and the law through them, if any."""

    title: str
    points: Mapping[str, Sequence[tuple[float, Estimate]]]
    laws: Mapping[str, Extrapolation]


Plot = Bars | Lines | Curves


@dataclass(frozen=True, slots=True)
class Answer:
    """A question's answer. ``facts``: its numbers, ready for JSON. ``holes``: what is missing."""

    question: int
    sentences: tuple[str, ...]
    tables: tuple[Table, ...]
    plot: Plot | None
    facts: dict[str, Any] = field(default_factory=dict)
    holes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The question."""
        return QUESTIONS[self.question]


@dataclass(frozen=True, slots=True)
class Row:
    """Two arms on one thing scored."""

    what: str
    left: Estimate | None
    right: Estimate | None
    difference: Estimate | None

    def as_dict(self) -> dict[str, Any]:
        numbers = {"left": self.left, "right": self.right, "difference": self.difference}
        return {"what": self.what} | {
            key: None if e is None else e.as_dict() for key, e in numbers.items()
        }


def compare(ledger: Ledger, what: str, stems: tuple[str, str], pick: Pick) -> Row:
    left, right = (samples(ledger, stem, pick) for stem in stems)
    return Row(what, estimate(left), estimate(right), difference(left, right))


def compared(
    rows: Sequence[Row],
    title: str,
    labels: tuple[str, str],
    verdict: Callable[[Estimate], str],
    *,
    score: str = "mAP50-95",
) -> Table:
    columns = (f"{score} in points", *labels, f"{labels[0]} {MINUS} {labels[1]}", "")
    return Table(
        title,
        columns,
        tuple(
            (
                row.what,
                points(row.left),
                points(row.right),
                signed(row.difference),
                NONE if row.difference is None else verdict(row.difference),
            )
            for row in rows
        ),
    )


def points(score: Estimate | None) -> str:
    """A score in points with its interval.

    >>> points(Estimate(0.5, 0.45, 0.56, (0.5,)))
    '50.0 (45.0 to 56.0)'
    """
    if score is None:
        return NONE
    return f"{100 * score.value:.1f} ({100 * score.low:.1f} to {100 * score.high:.1f})"


def signed(gap: Estimate | None) -> str:
    """A difference in points with its interval."""
    if gap is None:
        return NONE
    value, low, high = (
        f"{100 * v:+.1f}".replace("-", MINUS) for v in (gap.value, gap.low, gap.high)
    )
    return f"{value} ({low} to {high})"


def better(gap: Estimate) -> str:
    """Whether the first of two is better, as far as these images show."""
    if gap.low > 0:
        return "better"
    return "worse" if gap.high < 0 else "no difference shown"


def within_a_point(gap: Estimate) -> str:
    """Whether the first of two is at most a point worse."""
    if gap.low >= -0.01:
        return "within a point"
    if gap.high < -0.01:
        return "**more than a point worse**"
    return "within a point, not surely" if gap.value >= -0.01 else "more than a point, not surely"


def those(rows: Sequence[Row], holds: Callable[[Estimate], bool]) -> tuple[list[str], int]:
    """Those whose difference ``holds``, and of how many."""
    known = [(row.what, row.difference) for row in rows if row.difference is not None]
    return [what for what, gap in known if holds(gap)], len(known)


def named(words: Sequence[str]) -> str:
    return f" ({', '.join(words)})" if words else ""


def lefts(rows: Sequence[Row]) -> dict[str, Estimate]:
    """What the first arm of each row scored, for drawing."""
    return {row.what: row.left for row in rows if row.left is not None}


def rights(rows: Sequence[Row]) -> dict[str, Estimate]:
    """What the second arm of each row scored, for drawing."""
    return {row.what: row.right for row in rows if row.right is not None}
