"""What got worse between two results: exit code 1 and its names when something did.

    python -m benchmarks.report.compare BEFORE AFTER     (two results files, or two folders)

Worse means: the 95 % interval of after over before leaves no room for equality, and the change
is larger than --least. Where a figure has a single sample, only --least speaks, doubled.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.report import pages, results
from benchmarks.report.intervals import Interval
from benchmarks.report.results import Figure, Part, Table
from oneglance.streams.errors import DataError, OneglanceError

LEAST = 0.05
"""Smallest change worth a word: 5 %."""


@dataclass(frozen=True, slots=True)
class Change:
    """One figure before and after; ``ratio`` is after over before."""

    figure: Figure
    before: float
    after: float
    ratio: Interval
    verdict: str


def compare(before: Part, after: Part, *, least: float = LEAST) -> list[Change]:
    """Every figure that both have; ``verdict``: better, worse or the same."""
    old = {figure.name: figure for figure in before.figures}
    return [_change(old[new.name], new, least) for new in after.figures if new.name in old]


def _change(old: Figure, new: Figure, least: float) -> Change:
    before, after = old.median, new.median
    value = after / before if before else float(after != before) + 1.0
    if min(len(old.samples), len(new.samples)) == 1:
        found, least = Interval(value, value, value), 2 * least
    elif abs(value - 1) <= least:  # whatever the interval, it is not worth a word
        found = Interval(value, value, value)
    else:
        found = independent_ratio(new, old)
    verdict = "same"
    if abs(value - 1) > least and (found.low > 1 or found.high < 1):
        verdict = "better" if (value > 1) == (new.better == "higher") else "worse"
    return Change(new, before, after, found, verdict)


def independent_ratio(new: Figure, old: Figure, *, draws: int = 500, seed: int = 0) -> Interval:
    """Median of ``new`` over that of ``old``, rounds and samples drawn apart on each side.

    Unlike arms of one run these never took turns, so their rounds are not pairs.
    """
    random = np.random.default_rng(seed)
    drawn = [_drawn(new, random) / _drawn(old, random) for _ in range(draws)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(new.median / old.median, float(low), float(high))


def _drawn(figure: Figure, random: np.random.Generator) -> float:
    """Median of rounds drawn with replacement and of samples drawn within each."""
    chosen = random.integers(len(figure.rounds), size=len(figure.rounds))
    samples = [random.choice(figure.rounds[i], len(figure.rounds[i])) for i in chosen]
    return float(np.median(np.concatenate(samples)))


def other_circumstances(before: Part, after: Part) -> list[str]:
    """Facts that must agree for a comparison to mean something, and do not."""
    names = ("device", "CPUs allowed", "model sha256", "input size", "precision", "clip")
    pairs = ((name, before.facts.get(name), after.facts.get(name)) for name in names)
    return [f"{name}: {old} before, {new} after" for name, old, new in pairs if old != new]


def _load(path: Path) -> dict[str, Part]:
    if path.is_dir():
        return results.read_folder(path)
    part = results.read(path)
    return {part.part: part}


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    arguments.add_argument("before", type=Path)
    arguments.add_argument("after", type=Path)
    arguments.add_argument("--least", type=float, default=LEAST)
    options = arguments.parse_args()
    try:
        worse = _run(options.before, options.after, options.least)
    except OneglanceError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(1 if worse else 0)


def _run(before: Path, after: Path, least: float) -> bool:
    old, new = _load(before), _load(after)
    both = [name for name in old if name in new]
    if not both:
        raise DataError(f"{before} and {after} have no part in common")
    changes: list[Change] = []
    for name in both:
        for difference in other_circumstances(old[name], new[name]):
            print(f"warning: {name}: {difference}")
        changes += compare(old[name], new[name], least=least)
    changed = [change for change in changes if change.verdict != "same"]
    rows = [
        (
            change.figure.name,
            f"{change.before:.4g} {change.figure.unit}",
            f"{change.after:.4g} {change.figure.unit}",
            f"{change.ratio.value:.3f} [{change.ratio.low:.3f} to {change.ratio.high:.3f}]",
            change.verdict,
        )
        for change in changed
    ]
    if rows:
        columns = ("figure", "before", "after", "after / before", "")
        print("\n".join(pages.markdown(Table("", columns, tuple(rows)))))
    print(f"{len(changes)} figures compared, {len(changes) - len(changed)} the same within noise")
    return any(change.verdict == "worse" for change in changes)


if __name__ == "__main__":
    main()
