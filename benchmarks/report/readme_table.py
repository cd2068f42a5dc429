"""Put the measured figures into the two READMEs, between their markers, from committed results.

    python -m benchmarks.report.readme_table benchmarks/results/<date>-<device> \\
        benchmarks/results/<date>-<device>-study
    python -m benchmarks.report.readme_table --check     # exit 1: a README shows other figures

``README.md`` gets a table of absolute figures: of the first folder, and of the second one network
beside four whose files a study trained. ``benchmarks/README.md`` gets every claim of the first.
The first marker of each remembers the folders, so that ``--check`` needs no argument.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import facts
from benchmarks.report import results, side_by_side
from benchmarks.report.pages import markdown
from benchmarks.report.results import NONE, Part, Table
from oneglance.models.tasks import Task
from oneglance.streams.errors import DataError, OneglanceError
from oneglance.streams.outputs import write_file

BEGIN = re.compile(r"<!-- benchmark: ?(?P<folders>.*?) ?-->")
END = "<!-- /benchmark -->"

ARMS = {
    "oneglance run": "`oneglance run`",
    "oneglance run, OpenVINO bf16": "`oneglance run`, OpenVINO bf16",
    "ultralytics predict": "ultralytics `predict`, the same file",
    "tutorial: OpenCV + ONNX Runtime": "a tutorial's loop, the same file",
}
"""Arms of the throughput part that the README shows, and what it calls them."""

LOAD = "4×"

Parts = Mapping[str, Part]
Content = Callable[[list[Parts], list[str]], str]


def absolute(parts: list[Parts], folders: list[str]) -> str:
    """Rates, latency, memory and accuracy, at most ten lines; Markdown."""
    ours, one_or_four = parts[0], parts[-1]
    rows = [_arm(ours, label, name) for label, name in ARMS.items() if "throughput" in ours]
    if "live" in ours:
        rows.append(_live(ours["live"]))
    if {"one_vs_four", "accuracy"} <= set(one_or_four):
        rows += _one_and_four(one_or_four)
    columns = ("", "frames/s", "p50 ms", "p99 ms", "MB", f"mAP50: {', '.join(Task)}")
    where = (
        f"{_where(ours)}; [the whole report]({folders[0]}/report.md). ms: between two results; "
        "for the live source the age of a result; for one and four networks ([trained alike]"
        f"({folders[-1]}/report.md)) from the file to the boxes, a frame at a time."
    )
    table = Table("", columns, tuple(row for row in rows if row is not None), where)
    return "\n".join([*markdown(table), *_warnings(parts)])


def _arm(parts: Parts, label: str, name: str) -> tuple[str, ...] | None:
    row = _row(parts["throughput"], "peak MB", label)
    if row is None:
        return None
    own = label == "oneglance run" and "accuracy" in parts
    accuracy = _accuracy(parts["accuracy"], "one") if own else NONE
    rate = row["frames/s"].split()[0]
    return name, rate, row["p50 ms"], row["p99 ms"], row["peak MB"], accuracy


def _live(part: Part) -> tuple[str, ...] | None:
    row = _row(part, "age p50 ms", LOAD)
    if row is None:
        return None
    name = f"live, {row['source fps']} frames/s come, {row['dropped'].split()[0]} dropped"
    memory = row["memory MB"].split()[-1]
    return name, row["result fps"], row["age p50 ms"], row["age p99 ms"], memory, NONE


def _one_and_four(parts: Parts) -> list[tuple[str, ...]]:
    timed, rows = parts["one_vs_four"], list[tuple[str, ...]]()
    names = {"one": "one network for four tasks", "four": "four networks, at their best"}
    for many, name in names.items():
        setting = side_by_side.best_setting(timed, many)
        row = _row(timed, "p99 ms", setting.label) if setting is not None else None
        cost = _row(timed, "PSS MB", setting.label) if setting is not None else None
        if row is not None and cost is not None:
            figures = (row["frames/s"], row["p50 ms"], row["p99 ms"], cost["PSS MB"])
            rows.append((name, *figures, _accuracy(parts["accuracy"], many)))
    return rows


def _row(part: Part, column: str, label: str) -> dict[str, str] | None:
    """The line that begins with ``label`` of the part's table that has ``column``."""
    for found in part.tables:
        if column in found.columns:
            for row in found.rows:
                if row[0] == label:
                    return dict(zip(found.columns, row, strict=True))
    return None


def _accuracy(part: Part, many: str) -> str:
    found = [results.figure_of(part, f"accuracy.{many}.{task.value}.map50") for task in Task]
    return ", ".join(NONE if figure is None else f"{figure.median:.2f}" for figure in found)


def claims(parts: list[Parts], folders: list[str]) -> str:
    """Every claim with its goal, and where it was measured; Markdown."""
    rows = []
    for claim in (claim for part in parts[0].values() for claim in part.claims):
        unit = "×" if claim.unit == "×" else f" {claim.unit}"
        met = {True: "yes", False: "**no**", None: ""}[claim.met]
        rows.append((claim.label, f"{claim.value:.3g}{unit}", claim.goal or NONE, met))
    where = f"{_where(parts[0])}; [the whole report]({folders[0]}/report.md)."
    columns = ("claim", "measured", "goal", "met")
    return "\n".join([*markdown(Table("", columns, tuple(rows), where)), *_warnings(parts)])


def _where(parts: Parts) -> str:
    first = next(iter(parts.values())).facts
    return (
        f"{first['device']}, {first['CPUs allowed']} allowed, {first['model']}, "
        f"{first['input size']}, {first['date']}, commit {first['commit']}"
    )


def _warnings(parts: list[Parts]) -> list[str]:
    facts_of_all = [part.facts for found in parts for part in found.values()]
    return [f"\n**{w}**" for w in sorted({f["warning"] for f in facts_of_all if "warning" in f})]


READMES: Mapping[str, Content] = {"README.md": absolute, "benchmarks/README.md": claims}


def updated(readme: str, folders: list[str], content: str) -> str:
    """``readme`` with ``content`` between its markers.

    Raises:
        DataError: the markers are missing, or the end stands before the beginning.
    """
    begin = BEGIN.search(readme)
    end = readme.find(END, begin.end()) if begin else -1
    if begin is None or end < 0:
        raise DataError(
            f"a README has no place for the table: put '<!-- benchmark: -->' and '{END}' "
            "on lines of their own where it belongs"
        )
    marker = f"<!-- benchmark: {' '.join(folders)} -->"
    return f"{readme[: begin.start()]}{marker}\n{content}\n{readme[end:]}"


def remembered(readme: str) -> list[str]:
    """The folders that a README's table came from, as seen from its own.

    Raises:
        DataError: no marker, or one without a folder.
    """
    begin = BEGIN.search(readme)
    if begin is None or not begin["folders"]:
        raise DataError("a README does not say which results its table came from")
    return begin["folders"].split()


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    arguments.add_argument("folders", type=Path, nargs="*", metavar="FOLDER")
    arguments.add_argument("--root", type=Path, default=facts.ROOT, help="the clone")
    arguments.add_argument("--check", action="store_true")
    options = arguments.parse_args()
    try:
        root = options.root.resolve()
        stale = [
            name
            for name, content in READMES.items()
            if _renew(root / name, content, options.folders, check=options.check)
        ]
    except OneglanceError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    for name in READMES:
        print(f"{name}: {'old' if options.check and name in stale else 'up to date'}")
    sys.exit(int(options.check and bool(stale)))


def _renew(file: Path, content: Content, folders: list[Path], *, check: bool) -> bool:
    """Whether ``file`` had other figures; writes the new ones unless it is a check."""
    try:
        readme = file.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}") from None
    here = file.parent
    where = [f.resolve() for f in folders] or [(here / name) for name in remembered(readme)]
    for folder in where:
        if not folder.is_relative_to(here):
            raise DataError(
                f"{folder} is outside {here}: a README can only point to committed results"
            )
    names = [folder.relative_to(here).as_posix() for folder in where]
    fresh = updated(readme, names, content([results.read_folder(f) for f in where], names))
    if not check:
        write_file(file, fresh)
    return fresh != readme


if __name__ == "__main__":
    main()
