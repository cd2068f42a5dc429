"""What a part of the benchmark found, as data: written to JSON, read back, compared."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.report import intervals
from benchmarks.report.intervals import Interval
from oneglance.streams.errors import DataError
from oneglance.streams.output_folder import OutputFolder

FORMAT = 1

MADE_BY = "benchmark"
"""What the mark of a results folder says (see ``oneglance.streams.outputs``)."""

NONE = "—"
"""What a table shows where there is no figure."""

PARTS = (
    "throughput",
    "one_vs_four",
    "curves",
    "accuracy",
    "loop",
    "peers",
    "live",
    "floor",
    "sizes",
    "sinks",
    "viewers",
    "batch",
    "engines",
    "end_to_end",
)
"""In the order in which they run and are reported."""


@dataclass(frozen=True, slots=True)
class Figure:
    """Samples of one quantity of one arm, a sequence for each round.

    ``better`` is ``higher`` or ``lower``: what ``compare.py`` calls worse is the other.
    """

    name: str
    label: str
    unit: str
    better: str
    rounds: tuple[tuple[float, ...], ...]

    @property
    def samples(self) -> list[float]:
        """All rounds together."""
        return [sample for samples in self.rounds for sample in samples]

    @property
    def median(self) -> float:
        """The middle of all samples."""
        return intervals.median(self.samples)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One number that the project is held to: a ratio or a quantity, its spread and its goal.

    ``low`` and ``high`` bound the 95 % bootstrap interval (the value itself where there is
    none). At most one of ``at_least`` and ``at_most`` is set; with neither there is no goal.
    """

    name: str
    label: str
    value: float
    low: float
    high: float
    unit: str = "×"
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the value meets its goal; None without one."""
        if self.at_least is not None:
            return self.value >= self.at_least
        if self.at_most is not None:
            return self.value <= self.at_most
        return None

    @property
    def goal(self) -> str:
        """The goal in words; empty without one."""
        if self.at_least is not None:
            return f"≥ {self.at_least:g} {self.unit}"
        return "" if self.at_most is None else f"≤ {self.at_most:g} {self.unit}"


@dataclass(frozen=True, slots=True)
class Table:
    """Text in rows, ready to print; every row is as long as ``columns``."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: {row} does not fit {self.columns}")


@dataclass(slots=True, kw_only=True)
class Part:
    """One part of the benchmark.

    ``timer``: what is inside the timer. ``silent_on``: what the numbers do not show.
    ``holes``: what should be here and is not, and why. ``facts``: see ``facts.gather``.
    """

    part: str
    title: str
    timer: str
    facts: dict[str, Any] = field(default_factory=dict)
    silent_on: list[str] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    holes: list[str] = field(default_factory=list)
    took_s: float = 0.0

    def add(
        self,
        name: str,
        label: str,
        rounds: Sequence[Sequence[float]],
        *,
        unit: str,
        better: str = "lower",
    ) -> Figure:
        """Keep a figure (under ``part.name``) and return it."""
        figure = Figure(f"{self.part}.{name}", label, unit, better, tuple(tuple(r) for r in rounds))
        self.figures.append(figure)
        return figure

    def claim(
        self,
        name: str,
        label: str,
        found: Interval | float,
        **goal: Any,
    ) -> Claim:
        """Keep a claim (under ``part.name``) and return it; ``goal``: fields of ``Claim``."""
        interval = found if isinstance(found, Interval) else Interval(found, found, found)
        claim = Claim(
            name=f"{self.part}.{name}",
            label=label,
            value=interval.value,
            low=interval.low,
            high=interval.high,
            **goal,
        )
        self.claims.append(claim)
        return claim

    def percentiles(self, samples: Sequence[float]) -> tuple[str, str, str]:
        """p50, p90 and p99 as text; one that too few samples carry is a dash and a hole."""
        cells = []
        for percent in (50, 90, 99):
            try:
                cells.append(f"{intervals.percentile(samples, percent):.1f}")
            except intervals.TooFewSamples as error:
                cells.append(NONE)
                if str(error) not in self.holes:
                    self.holes.append(str(error))
        return cells[0], cells[1], cells[2]


def figure_of(part: Part, name: str) -> Figure | None:
    """The figure of that name, the part's own before it included."""
    return next((figure for figure in part.figures if figure.name == name), None)


def claim_of(part: Part, name: str) -> Claim | None:
    """The part's claim of that name (without the part's own); None where it makes none."""
    return next((claim for claim in part.claims if claim.name == f"{part.part}.{name}"), None)


def write(part: Part, folder: Path) -> Path:
    """Write ``<folder>/<part>.json``.

    Raises:
        SinkError: the file cannot be written.
    """
    file = folder / f"{part.part}.json"
    text = json.dumps({"format": FORMAT, **asdict(part)}, indent=1, allow_nan=False)
    place = OutputFolder(folder, MADE_BY)
    place.claim()
    return place.write(file.name, _one_line_a_round(text) + "\n")


def _one_line_a_round(text: str) -> str:
    """Lists of numbers on one line each: a results file is read in diffs."""
    return re.sub(r"\[\s+([-+.\deE,\s]+?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text)


def read(file: Path) -> Part:
    """What ``write`` wrote.

    Raises:
        DataError: no such file, not JSON, or not a results file of this format.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read results file {file}: {error.strerror}") from None
    except ValueError as error:
        raise DataError(f"{file} is not a results file: it is not JSON ({error})") from None
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise DataError(f"{file} is not a results file of format {FORMAT}: measure again")
    try:
        return Part(
            **{
                **content,
                "claims": [Claim(**c) for c in content["claims"]],
                "tables": [_table(t) for t in content["tables"]],
                "figures": [_figure(f) for f in content["figures"]],
            }
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file} is a broken results file: {error}") from None


def _table(content: dict[str, Any]) -> Table:
    rows = tuple(tuple(map(str, row)) for row in content["rows"])
    return Table(content["title"], tuple(content["columns"]), rows, content["note"])


def _figure(content: dict[str, Any]) -> Figure:
    rounds = tuple(tuple(map(float, samples)) for samples in content.pop("rounds"))
    if not all(math.isfinite(sample) for samples in rounds for sample in samples):
        raise ValueError(f"{content['name']} holds a sample that is not finite")
    return Figure(**content, rounds=rounds)


def read_folder(folder: Path) -> dict[str, Part]:
    """Every part's results in ``folder``, in the order of ``PARTS``.

    Raises:
        DataError: no such folder, nothing in it, or a broken file.
    """
    if not folder.is_dir():
        raise DataError(f"no results folder {folder}")
    found = {part: folder / f"{part}.json" for part in PARTS}
    parts = {part: read(file) for part, file in found.items() if file.exists()}
    if not parts:
        raise DataError(f"{folder} holds no results ({', '.join(PARTS)}: none has a .json there)")
    return parts
