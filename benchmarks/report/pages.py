"""Results as pages: one for each part, and ``report.md`` with plots for a folder of them.

python -m benchmarks.report.pages benchmarks/results/<date>-<device>
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.report import goals, results, side_by_side
from benchmarks.report.results import Claim, Part, Table
from oneglance.streams.errors import OneglanceError
from oneglance.streams.output_folder import OutputFolder

CIRCUMSTANCES = ("commit", "date", "CPUs busy before")
"""Facts of every part that a table of their own compares."""


def page(part: Part) -> str:
    """A part's results in Markdown, its circumstances first."""
    return "\n".join([f"# {part.title}", "", *_facts(part.facts), "", *_body(part)]) + "\n"


def whole(parts: Mapping[str, Part], plots: Iterable[tuple[str, str]]) -> str:
    """The report of all parts: facts, goals, plots (title and file name), each part, holes."""
    first = next(iter(parts.values()))
    lines = ["# Benchmark", "", *_facts(first.facts, leave_out={"command"}), ""]
    lines += _differences(parts)
    claims = [claim for part in parts.values() for claim in part.claims]
    lines += ["## The goals", "", *goals.sentences(parts), ""]
    lines += ["## What we claim and what was measured", "", *_claims(claims), ""]
    together = side_by_side.table(parts)
    if together is not None:
        lines += [f"## {together.title}", "", *markdown(together), ""]
    for title, file in plots:
        lines += [f"![{title}]({file})", ""]
    for part in parts.values():
        lines += [f"## {part.title}", "", f"`{part.facts.get('command', '?')}`", ""]
        lines += [*_own_facts(part, first.facts), *_body(part), ""]
    missing = [name for name in results.PARTS if name not in parts]
    if missing:
        lines += ["## Not measured", "", f"Parts that were not run: {', '.join(missing)}.", ""]
    return "\n".join(lines)


def _body(part: Part) -> list[str]:
    lines = [f"Inside the timer: {part.timer}.", ""]
    if part.claims:
        lines += [*_claims(part.claims), ""]
    for table in part.tables:
        lines += [f"**{table.title}**", "", *markdown(table), ""]
    if part.holes:
        lines += ["Holes:", "", *(f"- {hole}" for hole in part.holes), ""]
    lines += ["What these numbers do not show:", "", *(f"- {gap}" for gap in part.silent_on)]
    return lines


def _facts(facts: Mapping[str, Any], *, leave_out: Iterable[str] = ()) -> list[str]:
    lines = []
    if "warning" in facts:
        lines += [f"**Warning: {facts['warning']}.**", ""]
    rows = []
    for name, value in facts.items():
        if name == "warning" or name in leave_out:
            continue
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        rows.append((name, f"`{text}`" if name == "command" else str(text)))
    return lines + markdown(Table("", ("fact", "value"), tuple(rows)))


def _own_facts(part: Part, header: Mapping[str, Any]) -> list[str]:
    """What the part alone reports, or reports otherwise than the header does."""
    own = {
        name: value
        for name, value in part.facts.items()
        if name not in (*CIRCUMSTANCES, "command", "warning") and header.get(name) != value
    }
    return [*_facts(own), ""] if own else []


def _differences(parts: Mapping[str, Part]) -> list[str]:
    """Parts measured at another commit, day or load than the first say so."""
    rows = tuple(
        (
            part.part,
            *(str(part.facts.get(name, "?")) for name in CIRCUMSTANCES),
            f"{part.took_s:.0f} s",
        )
        for part in parts.values()
    )
    lines = markdown(Table("", ("part", *CIRCUMSTANCES, "took"), rows))
    busy = [part.part for part in parts.values() if "warning" in part.facts]
    if busy:
        lines += ["", f"**The machine was busy before: {', '.join(busy)}.**"]
    return [*lines, ""]


def _claims(claims: Iterable[Claim]) -> list[str]:
    rows = []
    for claim in claims:
        unit = "" if claim.unit == "×" else f" {claim.unit}"
        interval = (
            f"{claim.low:.3g} to {claim.high:.3g}" if claim.low < claim.high else results.NONE
        )
        verdict = {True: "met", False: "**missed**", None: ""}[claim.met]
        value = f"{claim.value:.3g}{'×' if claim.unit == '×' else unit}"
        rows.append((claim.label, value, interval, claim.goal, verdict))
    columns = ("claim", "measured", "95 % interval", "goal", "")
    return markdown(Table("", columns, tuple(rows)))


def markdown(table: Table) -> list[str]:
    """The table's lines; columns after the first are numbers and stand right."""
    head = "| " + " | ".join(table.columns) + " |"
    rule = "| --- |" + " ---: |" * (len(table.columns) - 1)
    if table.columns[:1] == ("fact",):
        rule = "| --- | --- |"
    rows = [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table.rows
    ]
    note = ["", table.note] if table.note else []
    return [head, rule, *rows, *note]


def write_report(folder: Path) -> Path:
    """Write ``report.md`` and its plots into a results folder.

    Raises:
        DataError: nothing there, or a broken file.
        SinkError: the folder cannot be written.
    """
    from benchmarks.report.plots import draw_all

    parts = results.read_folder(folder)
    place = OutputFolder(folder, results.MADE_BY)
    place.claim()
    return place.write("report.md", whole(parts, draw_all(parts, folder)))


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    arguments.add_argument("folder", type=Path)
    try:
        print(write_report(arguments.parse_args().folder))
    except OneglanceError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
