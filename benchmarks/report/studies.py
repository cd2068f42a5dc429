"""Several studies that ask the same: one report of all of them, with a plot for each question.

    python -m benchmarks.report.studies benchmarks/results/one-or-four

Reads what ``oneglance study`` wrote as ``report.json``, kept in the folder under a name for each
run, and the title from its ``README.md``; writes ``report.md`` and ``question<number>.png``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report.pages import markdown
from benchmarks.report.results import NONE, Table
from oneglance.streams.errors import DataError, OneglanceError, SinkError
from oneglance.streams.outputs import write_file

FACTS = ("date", "commit", "input size", "epochs", "seeds", "minutes in all", "device")
"""What a run differs from another in."""

MINUS = "\N{MINUS SIGN}"

NOTE = (
    "Points: left and right arm of each comparison, their difference and, in brackets, 95 % of "
    "draws of the val images, and of the seeds where there are several."
)


Gap = tuple[float, float, float]
"""A difference: value, low, high."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One line of a study's table: two arms' scores in 0..1 and their difference."""

    what: str
    left: float
    right: float
    difference: Gap

    @property
    def cell(self) -> str:
        """The line as text, in points."""
        value, low, high = (_signed(v) for v in self.difference)
        return f"{100 * self.left:.1f} {MINUS} {100 * self.right:.1f}: {value} ({low} to {high})"


Runs = Mapping[str, Mapping[str, Any]]
"""By the run's name, its report."""

Compared = Mapping[str, tuple[Comparison, ...]]
"""By the run's name, the lines of one table."""


def read_runs(folder: Path) -> dict[str, dict[str, Any]]:
    """The studies in ``folder``, by the names of their files.

    Raises:
        DataError: none there, or a file that is no study's report.
    """
    runs = {}
    for file in sorted(folder.glob("*.json")):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"cannot read the study {file}: {error}") from None
        if not isinstance(content, dict) or not {"facts", "answers"} <= set(content):
            raise DataError(f"{file} is no report.json of 'oneglance study'")
        runs[file.stem] = content
    if not runs:
        raise DataError(f"{folder} holds no study: put a report.json there, named for its run")
    return runs


def page(title: str, runs: Runs, plots: Mapping[str, str]) -> str:
    """The report in Markdown. ``plots``: by question, the file of its plot."""
    lines = [f"# {title}", "", "## The runs", "", *_facts(runs), ""]
    for name, run in runs.items():
        lines += [f"- {name}: `{run['facts'].get('command', '?')}`"]
    lines += ["", NOTE, ""]
    for question, heading in questions(runs).items():
        lines += [f"## {heading}", ""]
        for name, run in runs.items():
            sentences = run["answers"].get(question, {}).get("sentences", ())
            lines += [f"- {name}: {sentence}" for sentence in sentences]
        if question in plots:
            lines += ["", f"![{heading}]({plots[question]})"]
        for label, compared in tables(runs, question).items():
            lines += ["", f"**{label}**", "", *markdown(_table(compared))]
        lines += [""]
    lines += ["## Every arm", "", "mAP50 / mAP50-95 / F1 in points, by set and task:", ""]
    for name, run in runs.items():
        lines += [f"**{name}**", "", *markdown(_scores(run["arms"])), ""]
    first = next(iter(runs.values()))
    lines += ["## What these numbers do not show", ""]
    lines += [f"- {gap}" for gap in first.get("does_not_show", ())]
    return "\n".join(lines) + "\n"


def questions(runs: Runs) -> dict[str, str]:
    """Every question that a run asks, by number, in their order."""
    found = {q: answer["title"] for run in runs.values() for q, answer in run["answers"].items()}
    return {q: found[q] for q in sorted(found, key=int)}


def tables(runs: Runs, question: str) -> dict[str, Compared]:
    """A question's comparisons: by what is compared, then by run."""
    found: dict[str, dict[str, tuple[Comparison, ...]]] = {}
    for name, run in runs.items():
        for label, lines in _comparisons(run["answers"].get(question, {})):
            found.setdefault(label, {})[name] = lines
    return dict(found)


def _drawn(found: Mapping[str, Compared]) -> tuple[str, dict[str, dict[str, Gap]]]:
    """What of a question is drawn, in words, and the differences: the first table, by run; or all
    of them where they are of several recipes ("equal epochs, PCGrad")."""
    first = next(iter(found))
    of_recipes = ", " in first
    gaps = {
        _series(label, name, alone=len(compared) == 1) if of_recipes else name: {
            line.what: line.difference for line in lines
        }
        for label, compared in found.items()
        if label == first or (of_recipes and ", " in label)
        for name, lines in compared.items()
    }
    return ("" if of_recipes else f" ({first})"), gaps


def _series(label: str, run: str, *, alone: bool) -> str:
    return label if alone else f"{label} ({run})"


def _comparisons(
    content: Mapping[str, Any], before: str = ""
) -> Iterator[tuple[str, tuple[Comparison, ...]]]:
    for key, value in content.items():
        label = f"{before}{key}".replace("_", " ")
        if isinstance(value, dict):
            yield from _comparisons(value, f"{label}, ")
        elif isinstance(value, list):
            lines = tuple(_comparison(line) for line in value if _is_whole(line))
            if lines:
                yield label, lines


def _is_whole(line: Any) -> bool:
    """Whether it compares two arms that are both there."""
    return isinstance(line, dict) and all(
        isinstance(line.get(side), dict) for side in ("left", "right", "difference")
    )


def _comparison(line: Mapping[str, Any]) -> Comparison:
    gap = line["difference"]
    return Comparison(
        line["what"],
        line["left"]["value"],
        line["right"]["value"],
        (gap["value"], gap["low"], gap["high"]),
    )


def _facts(runs: Runs) -> list[str]:
    rows = [(fact, *(str(r["facts"].get(fact, NONE)) for r in runs.values())) for fact in FACTS]
    return markdown(Table("", ("of the run", *runs), tuple(rows)))


def _table(compared: Compared) -> Table:
    things = list(dict.fromkeys(line.what for lines in compared.values() for line in lines))
    by_run = [{line.what: line.cell for line in lines} for lines in compared.values()]
    rows = tuple((what, *(cells.get(what, NONE) for cells in by_run)) for what in things)
    return Table("", ("what", *compared), rows)


def _scores(arms: Sequence[Mapping[str, Any]]) -> Table:
    scores = {arm["name"]: {_of(s): s for s in arm.get("scores", ())} for arm in arms}
    keys = list(dict.fromkeys(key for found in scores.values() for key in found))
    rows = tuple(
        (name, *(_points(found[key]) if key in found else NONE for key in keys))
        for name, found in scores.items()
    )
    return Table("", ("arm", *keys), rows)


def _of(score: Mapping[str, Any]) -> str:
    return f"{score['set']}: {score['task']}"


def _points(score: Mapping[str, Any]) -> str:
    known = (score.get(name) for name in ("map50", "map50_95", "f1"))
    return " / ".join(NONE if v is None else f"{100 * v:.1f}" for v in known)


def _signed(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", MINUS)


def write_report(folder: Path) -> Path:
    """Write ``report.md`` and its plots into ``folder``; returns the page.

    Raises:
        DataError: no study there, or no title.
        SinkError: the folder cannot be written.
    """
    from benchmarks.report.plots import draw_differences

    runs = read_runs(folder)
    readme = folder / "README.md"
    title = readme.read_text(encoding="utf-8").splitlines()[0] if readme.is_file() else ""
    if not title.startswith("# "):
        raise DataError(f"{readme} must begin with the report's title: '# …'")
    plots = {}
    try:
        for question, heading in questions(runs).items():
            found = tables(runs, question)
            file = f"question{question}.png"
            if found:
                what, gaps = _drawn(found)
                draw_differences(f"{heading}{what}", gaps, folder / file)
                plots[question] = file
        write_file(folder / "report.md", page(title.removeprefix("# "), runs, plots))
    except OSError as error:
        raise SinkError(f"cannot write the report in {folder}: {error.strerror}") from None
    return folder / "report.md"


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    arguments.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    try:
        for folder in arguments.parse_args().folders:
            print(write_report(folder))
    except OneglanceError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
