"""``oneglance mine``: from a fleet's results to the frames that are worth a person's labels."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from oneglance.perception.cli.common import Debug, configure, say
from oneglance.perception.cli.terminal import Terminal


def mine(
    results: Annotated[
        Path, typer.Argument(help="What 'batch' wrote, or JSON Lines of 'run --jsonl'.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the data set.")],
    frames: Annotated[int, typer.Option(help="How many frames at most.")] = 200,
    against: Annotated[
        Path | None,
        typer.Option(help="Results of another model on the same clips: where the two disagree."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Another model that looks at a frame a second now, like road4-n-960."),
    ] = None,
    clips: Annotated[
        list[str] | None,
        typer.Option(help="Where the clips are now, as 'batch' takes them; may be repeated."),
    ] = None,
    sure: Annotated[float, typer.Option(help="Least confidence of a pre-label, 0 to 1.")] = 0.5,
    conditions: Annotated[
        bool,
        typer.Option(help="Look at a frame a second for what is dark, glaring, hazy or unusual."),
    ] = True,
    debug: Debug = False,
) -> None:
    """Pick the frames of a run that are worth labelling, as a data set with pre-labels."""
    from oneglance.perception.mining.job import MineOptions
    from oneglance.perception.mining.job import mine as mine_frames

    configure(debug)
    options = MineOptions(
        results=results,
        out=out,
        frames=frames,
        against=against,
        model=model,
        clips=clips or (),
        sure=sure,
        conditions=conditions,
    )
    bar = Progress(
        TextColumn("clips"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Terminal(stderr=True),
        transient=True,
        disable=sys.stderr is None or not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task("clips", total=None)
        found = mine_frames(
            options, lambda done, count: bar.update(task, completed=done, total=count)
        )
    sources = len({one.clip for one in found.picked})
    say(f"{len(found.picked)} frames of {sources} clips in {out}: look at {out / 'index.html'}")
    listed = ", ".join(f"{count} {reason}" for reason, count in found.reasons().most_common())
    say(f"picked for (a frame may have several reasons): {listed}")
    if found.unread:
        name, why = next(iter(found.unread.items()))
        say(f"clips that could not be read: {len(found.unread)} of {found.clips} ({name}: {why})")
