"""Put the measured table into the README, between its markers, from a committed results folder.

    python -m benchmarks.report.readme_table benchmarks/results/<date>-<device>
    python -m benchmarks.report.readme_table --check    # exit 1: the README shows other figures

The README remembers the folder in its first marker, so that ``--check`` needs no argument.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from benchmarks import facts
from benchmarks.report import pages, results
from benchmarks.report.results import Part, Table
from oneglance.streams.errors import DataError, OneglanceError

BEGIN = re.compile(r"<!-- benchmark: ?(?P<folder>\S*?) ?-->")
END = "<!-- /benchmark -->"

README = facts.ROOT / "README.md"


def table(parts: dict[str, Part], folder: str) -> str:
    """The claims of all parts with their goals, and where they were measured; Markdown."""
    claims = [claim for part in parts.values() for claim in part.claims]
    rows = []
    for claim in claims:
        unit = "×" if claim.unit == "×" else f" {claim.unit}"
        met = {True: "yes", False: "**no**", None: ""}[claim.met]
        rows.append((claim.label, f"{claim.value:.3g}{unit}", claim.goal or results.NONE, met))
    first = next(iter(parts.values())).facts
    where = (
        f"{first['device']}, {first['CPUs allowed']} allowed, {first['model']}, "
        f"{first['input size']}, {first['date']}, commit {first['commit']}; "
        f"[the whole report]({folder}/report.md)."
    )
    columns = ("claim", "measured", "goal", "met")
    lines = pages.markdown(Table("", columns, tuple(rows), where))
    warnings = sorted({part.facts["warning"] for part in parts.values() if "warning" in part.facts})
    return "\n".join([*lines, *(f"\n**{warning}**" for warning in warnings)])


def updated(readme: str, folder: str, content: str) -> str:
    """``readme`` with ``content`` between its markers.

    Raises:
        DataError: the markers are missing, or the end stands before the beginning.
    """
    begin = BEGIN.search(readme)
    end = readme.find(END, begin.end()) if begin else -1
    if begin is None or end < 0:
        raise DataError(
            f"README.md has no place for the table: put '<!-- benchmark: -->' and '{END}' "
            "on lines of their own where it belongs"
        )
    marker = f"<!-- benchmark: {folder} -->"
    return f"{readme[: begin.start()]}{marker}\n{content}\n{readme[end:]}"


def remembered(readme: str) -> str:
    """The folder that the README's table came from.

    Raises:
        DataError: no marker, or one without a folder.
    """
    begin = BEGIN.search(readme)
    if begin is None or not begin["folder"]:
        raise DataError("README.md does not say which results its table came from")
    return begin["folder"]


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    arguments.add_argument("folder", type=Path, nargs="?")
    arguments.add_argument("--readme", type=Path, default=README)
    arguments.add_argument("--check", action="store_true")
    options = arguments.parse_args()
    try:
        sys.exit(_run(options.readme, options.folder, check=options.check))
    except OneglanceError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _run(file: Path, folder: Path | None, *, check: bool) -> int:
    try:
        readme = file.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}") from None
    root = file.resolve().parent
    where = root / remembered(readme) if folder is None else folder.resolve()
    if not where.is_relative_to(root):
        raise DataError(
            f"{where} is outside {root}: the README can only point to committed results"
        )
    name = where.relative_to(root).as_posix()
    fresh = updated(readme, name, table(results.read_folder(where), name))
    if check:
        print(
            "the README's table is up to date" if fresh == readme else "the README's table is old"
        )
        return int(fresh != readme)
    file.write_text(fresh, encoding="utf-8")
    print(f"{file.name}: table from {name}")
    return 0


if __name__ == "__main__":
    main()
