"""An audit as tables that people read."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from oneglance.models.tasks import Task
from oneglance.models.training.audit.audit import SMALL_PX, Audit, SetAudit, audit
from oneglance.models.training.data.datasets import read_dataset
from oneglance.models.training.data.labels import Problem
from oneglance.streams.errors import DataError
from oneglance.streams.redaction import redact

SHOWN = 10
"""Problems shown of each set; ``every=True`` shows all."""


def audit_files(files: Sequence[Path], size: tuple[int, int]) -> Audit:
    """``audit`` for data set files, with a progress bar where standard error is a terminal.

    Raises:
        DataError: a file cannot be read as a data set, or a side of ``size`` is not positive.
    """
    if min(size) < 1:
        raise DataError(f"size {size[0]}x{size[1]}: both sides must be positive")
    datasets = [read_dataset(file) for file in files]
    with Progress(
        TextColumn("looking at images"),
        BarColumn(),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as progress:
        task = progress.add_task("images", total=None)
        return audit(
            datasets,
            size=size,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )


def show(found: Audit, console: Console, *, every: bool = False) -> None:
    """Print ``found``: what each set holds, what is wrong, and the three answers."""
    width, height = found.size
    console.print(_tasks(found))
    console.print(f"[dim]small: under {SMALL_PX} px (√area) at {width}x{height}[/]")
    console.print(_images(found))
    for one in found.sets:
        _print_partial(one, console)
        _print_unused(one, console)
    _print_problems(found, console, every=every)
    _print_answers(found, console)


def _tasks(found: Audit) -> Table:
    table = Table("set", "split", "task", box=None, title="Tasks", title_justify="left")
    for column in ("images", "boxes", "small", "boxes/image"):
        table.add_column(column, justify="right")
    table.add_column("classes")
    for one in found.sets:
        for split, facts in one.splits.items():
            for task, held in facts.tasks.items():
                table.add_row(
                    escape(one.name),
                    split,
                    f"{task.value} (in part)" if task in one.partial else task.value,
                    str(held.images),
                    str(held.boxes),
                    f"{held.small_share:.0%}" if held.boxes else "",
                    f"{held.boxes / facts.images:.2f}",
                    escape(_counts(held.classes)) if set(held.classes) != {task.value} else "",
                )
            unlabelled = [task.value for task in Task if task not in facts.tasks]
            if unlabelled:
                words = f"[dim]{', '.join(unlabelled)}[/]"
                table.add_row(
                    escape(one.name), split, words, "", "", "", "", "[dim]not labelled[/]"
                )
        table.add_section()
    return table


def _counts(counts: Mapping[str, int]) -> str:
    most_first = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {count}" for name, count in most_first)


def _images(found: Audit) -> Table:
    table = Table("set", "split", box=None, title="Images", title_justify="left")
    for column in ("images", "without a box", "without a file", "looking alike"):
        table.add_column(column, justify="right")
    table.add_column("commonest sizes")
    for one in found.sets:
        for split, facts in one.splits.items():
            sizes = list(facts.sizes.items())
            more = f", {len(sizes) - 2} more" if len(sizes) > 2 else ""
            table.add_row(
                escape(one.name),
                split,
                str(facts.images),
                str(facts.background),
                str(facts.unlabelled),
                str(one.alike) if split == "train" else "",
                ", ".join(f"{w}x{h} ({n})" for (w, h), n in sizes[:2]) + more,
            )
    return table


def _print_partial(one: SetAudit, console: Console) -> None:
    if one.partial:
        tasks = ", ".join(sorted(one.partial))
        console.print(
            f"{escape(one.name)}: labels {tasks} in part: what has a box is one, what has none may "
            "be one too. Boxes teach, places without one teach nothing of it, and 'eval' reports "
            "recall and no mAP"
        )


def _print_unused(one: SetAudit, console: Console) -> None:
    """Boxes that training does not learn to find, and what it takes them for instead."""
    negatives: Counter[str] = Counter()
    regions: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    for facts in one.splits.values():
        negatives.update(facts.negatives)
        regions.update(facts.regions)
        left_out.update(facts.left_out)
    for counts, why in (
        (negatives, "background, being none of our classes"),
        (regions, "ignore regions"),
        (left_out, "unused, their task not being labelled throughout"),
    ):
        if counts:
            console.print(f"{escape(one.name)}: {why}: {escape(_counts(counts))}")


def _print_problems(found: Audit, console: Console, *, every: bool) -> None:
    if not found.problems:
        console.print("\n[bold]Problems[/]: none")
        return
    refused = sum(not problem.usable for problem in found.problems)
    console.print(
        f"\n[bold]Problems[/]: {len(found.problems)}"
        + (f", {refused} of which training refuses" if refused else ", none stops a training")
    )
    near_duplicates = found.problems[-len(found.near_duplicates) :] if found.near_duplicates else []
    for title, problems in [
        *((one.name, one.problems) for one in found.sets),
        ("images in both splits", tuple(near_duplicates)),
    ]:
        if problems:
            console.print(f"  {escape(title)}: {len(problems)}")
            _print_some(problems, console, every=every)


def _print_some(problems: Iterable[Problem], console: Console, *, every: bool) -> None:
    ordered = sorted(problems, key=lambda problem: problem.usable)
    shown = ordered if every else ordered[:SHOWN]
    for problem in shown:
        mark = "[yellow]![/]" if problem.usable else "[red]✗[/]"
        console.print(f"    {mark} {escape(redact(str(problem)))}", soft_wrap=True, highlight=False)
    if len(ordered) > len(shown):
        console.print(f"      … and {len(ordered) - len(shown)} more (--all shows them)")


def _print_answers(found: Audit, console: Console) -> None:
    console.print("\n[bold]Are the tasks' amounts similar?[/] " + found.amounts.verdict)
    for reason in found.amounts.reasons:
        console.print(f"  {escape(reason)}")
    console.print("[bold]Is the input's domain similar to the pretraining's (COCO)?[/]")
    for one in found.sets:
        if one.domain is not None:
            console.print(
                f"  {escape(one.name)}: {one.domain.verdict}: "
                f"{escape('; '.join(one.domain.reasons))}"
            )
    console.print(
        f"[bold]Which layers to train?[/] {found.layers.train} "
        f"(--trainable-layers {found.layers.train})"
    )
    for reason in found.layers.reasons:
        console.print(f"  {escape(reason)}")
