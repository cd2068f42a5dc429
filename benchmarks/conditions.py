"""What a model keeps under night, rain, fog and others, written into its card.

    oneglance eval road4-n ../shared/data/gtsdb/data.yaml --conditions --json runs/gtsdb.json
    python -m benchmarks.conditions runs/gtsdb.json

The card ``models/zoo/NAME.md`` has the table between its two ``conditions`` marks.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import facts
from benchmarks.options import in_sentences
from oneglance.streams.errors import UsageError
from oneglance.streams.outputs import write_file

ZOO = Path(__file__).resolve().parent.parent / "models" / "zoo"
BEGIN, END = "<!-- conditions -->", "<!-- /conditions -->"


def main() -> None:
    """Write the table of a measurement into the card of the model that was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("measured", type=Path, help="what 'oneglance eval --conditions' wrote")
    args = parser.parse_args()
    with in_sentences():
        _write(args.measured)


def _write(measured_in: Path) -> None:
    try:
        found = json.loads(measured_in.read_text(encoding="utf-8"))
    except ValueError:
        raise UsageError(f"{measured_in} is no JSON file that is whole") from None
    if not isinstance(found, dict) or "conditions" not in found:
        raise UsageError(f"{measured_in} has no conditions: measure with --conditions")
    card = ZOO / f"{found['model']}.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    if not (BEGIN in text and END in text):
        raise UsageError(f"write {card} first, with a line {BEGIN} and a line {END}")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    measured = datetime.fromtimestamp(measured_in.stat().st_mtime, UTC).date().isoformat()
    table = "\n".join(lines(found, f"{measured}, {facts.device()}"))
    write_file(card, f"{before}{BEGIN}\n{table}\n{END}{after}")
    print(table)


def lines(found: dict[str, Any], where: str) -> list[str]:
    """The table of ``found``, what ``oneglance eval --conditions --json`` writes, as markdown."""
    tasks = list(found["rpc"])
    data = Path(found["data"]).parent.name
    title = (
        f"On the {found['images']} val images of {data} ({found['engine']} {found['precision']}, "
        f"{where}), mAP50 at three severities, and in brackets how much of the clean score is "
        "left at the middle one:"
    )
    rows = [
        title,
        "",
        f"| | {' | '.join(tasks)} |",
        f"| --- {'| --- ' * len(tasks)}|",
        _row("clean", [f"{found['tasks'][task]['map50']:.3f}" for task in tasks]),
    ]
    for condition, severities in found["conditions"].items():
        cells = []
        for task in tasks:
            scores = [severity[task]["map50"] for severity in severities.values()]
            kept = severities["middle"][task]["map50"] / found["tasks"][task]["map50"]
            cells.append(f"{' '.join(f'{score:.3f}' for score in scores)} ({kept:.0%})")
        rows.append(_row(condition, cells))
    worst = [found["worst"]["middle"][task] for task in tasks]
    cells = [f"{each['condition']} ({each['kept']:.0%})" for each in worst]
    rows.append(_row("worst at middle severity", cells))
    rows.append(_row("mPC (mAP50-95)", [f"{found['mpc'][task]:.3f}" for task in tasks]))
    rows.append(_row("rPC", [f"{found['rpc'][task]:.0%}" for task in tasks]))
    for size in ("small", "medium", "large"):
        of_size = (found["tasks"][task]["by_size"].get(size) for task in tasks)
        cells = ["-" if score is None else f"{score:.3f}" for score in of_size]
        rows.append(_row(f"{size} objects, clean (mAP50-95)", cells))
    return rows


def _row(name: str, cells: list[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
