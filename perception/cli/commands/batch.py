"""``oneglance batch``: many recordings into Parquet."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from oneglance.perception.cli.common import (
    EXIT_UNUSABLE,
    Confidence,
    Debug,
    Engine,
    Model,
    Precision,
    configure,
    interrupted,
    say,
)
from oneglance.perception.cli.terminal import Terminal

if TYPE_CHECKING:
    from oneglance.perception.batch.job import BatchSummary


def batch(
    uris: Annotated[
        list[str],
        typer.Argument(
            metavar="URI…",
            help="Video files, glob patterns, lists (.txt, .csv), s3://, gs://, az://, https://.",
        ),
    ],
    out: Annotated[
        str, typer.Option(metavar="DIR|s3://…", help="For the tables; what is there goes on.")
    ],
    address: Annotated[
        str | None,
        typer.Option(
            metavar="local|auto|ray://HOST:PORT",
            help="Ray cluster that does the work, or one begun here (extra 'ray').",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes, each with a network (default: one a CPU).")
    ] = None,
    gpus: Annotated[float, typer.Option(help="GPUs that Ray gives to each worker.")] = 0.0,
    every: Annotated[int, typer.Option(help="Look at each so-many-th frame alone.")] = 1,
    model: Model = "road4-n",
    conf: Confidence = 0.25,
    engine: Engine = "onnxruntime",
    precision: Precision = None,
    track: Annotated[bool, typer.Option(help="Give objects ids, unique within a clip.")] = True,
    resume: Annotated[
        bool, typer.Option("--resume/--fresh", help="Go on, or remove the tables and begin anew.")
    ] = True,
    cache: Annotated[
        bool, typer.Option(help="Copy what lies elsewhere whole before it is played.")
    ] = False,
    split: Annotated[
        float,
        typer.Option(metavar="MINUTES", help="Play longer clips in parts; 0: none. Same rows."),
    ] = 10.0,
    commit: Annotated[
        float, typer.Option(help="Seconds between parts: what a kill can cost.")
    ] = 60.0,
    stall: Annotated[
        float, typer.Option(help="Seconds without a frame after which a clip is given up.")
    ] = 120.0,
    debug: Debug = False,
) -> None:
    """Run many recordings through the network, into Parquet tables (the extra 'batch')."""
    from oneglance.models.cpus import available_cpus
    from oneglance.perception.batch.clip import Settings
    from oneglance.perception.batch.job import BatchOptions, BatchSummary, run_batch

    configure(debug)
    share = max(1, available_cpus() // (workers or available_cpus()))
    options = BatchOptions(
        uris=uris,
        out=out,
        settings=Settings(
            model=model,
            engine=engine,
            precision=precision,
            confidence=conf,
            track=track,
            every=every,
            cache=cache,
            split_s=60 * split,
            cpus=share if workers is None or workers >= 1 else 1,
        ),
        workers=workers,
        address=address,
        gpus=gpus,
        fresh=not resume,
        commit_s=commit,
        stall_s=stall,
    )
    summary = BatchSummary()
    try:
        with _Bar() as bar:
            run_batch(options, summary, bar.show)
    except KeyboardInterrupt:
        _report(summary)
        raise interrupted(
            "interrupted: the tables are valid, and the same command goes on"
        ) from None
    _report(summary)
    if summary.done and summary.broken_count == summary.done and not summary.frames:
        Terminal(stderr=True).print("error: no clip could be played")
        raise typer.Exit(EXIT_UNUSABLE)


def _report(summary: BatchSummary) -> None:
    rate = summary.frames / summary.took_s if summary.took_s else 0.0
    skipped = f", {summary.skipped} were finished before" if summary.skipped else ""
    left = f", {summary.left} are left" if summary.left else ""
    say(
        f"{summary.done} clips{skipped}{left}: {summary.frames} frames, "
        f"{summary.seconds / 3600:.2f} h, {summary.detections} detections in "
        f"{summary.took_s:.1f} s ({rate:.1f} frames/s)"
    )
    if summary.done > 1:
        say("slowest:")
        for row in summary.slowest:
            say(f"  {row.took:.1f} s  {row.uri}")
    if summary.broken_count:
        say(f"broken: {summary.broken_count}")
        for row in summary.broken:
            say(f"  {row.error}")
        if summary.broken_count > len(summary.broken):
            say("  … the rest is in the table clips")


class _Bar:
    """Clips, frames, hours and the time left, on a terminal only."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("clips"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Terminal(stderr=True),
            transient=True,
            disable=sys.stderr is None or not sys.stderr.isatty(),
        )
        self._task = self._progress.add_task("clips", total=None, rate="")

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, summary: BatchSummary, frames: int) -> None:
        """How far it has come."""
        if self._progress.disable:
            return
        rate = frames / summary.took_s if summary.took_s else 0.0
        self._progress.update(
            self._task,
            total=summary.clips - summary.skipped,
            completed=summary.done,
            rate=f"{frames} frames, {summary.seconds / 3600:.2f} h, {rate:.0f} frames/s",
        )
