"""Commands that compare: the study of trainings, and the benchmark of this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from oneglance.perception.cli.common import (
    EXIT_INTERRUPTED,
    Debug,
    configure,
    need_training,
    parse_numbers,
    parse_size,
)
from oneglance.perception.cli.terminal import Terminal
from oneglance.streams.errors import UsageError


def study(
    data: Annotated[list[Path], typer.Argument(help="Data set files (data.yaml).")],
    base: Annotated[Path, typer.Option(help="Pretrained YOLO weights (.pt).")],
    out: Annotated[Path, typer.Option(help="Folder for arms, report.md and report.json.")],
    epochs: Annotated[int, typer.Option(min=1)] = 6,
    seeds: Annotated[str, typer.Option(help="Each arm is trained with each.")] = "0,1",
    size: Annotated[str, typer.Option(metavar="WxH", help="Input size.")] = "416x256",
    questions: Annotated[
        str,
        typer.Option(
            help="1 one or four networks, 2 pretrained or scratch, 3 layers and amounts, 4 masked "
            "loss, 5 enough data, 6 distillation, 7 forgetting, 8 rare tasks shown more often, "
            "9 every task has the same loss weight, 10 trained as long as all together, "
            "11 balance of the tasks against single-task models, 12 labels declared partial."
        ),
    ] = "1,2,3,4,5,6",
    without: Annotated[
        str, typer.Option(metavar="ARM,…", help="Arms not to train; --plan names them all.")
    ] = "",
    share: Annotated[float, typer.Option(help="Of each set's training images, 0 to 1.")] = 1.0,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show all arms and how long they take; run none.")
    ] = False,
    seconds_per_image: Annotated[
        float | None, typer.Option(min=0, help="For the estimate, instead of measuring it.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Measure what one network, pretraining, layers, mask and data bring; run again to resume."""
    configure(debug)
    need_training()
    from oneglance.models.training.study.arms import StudyOptions
    from oneglance.models.training.study.plan import show_plan
    from oneglance.models.training.study.runner import open_study, run

    console = Terminal(markup=False, highlight=False, soft_wrap=True)
    options = StudyOptions(
        epochs=epochs,
        seeds=parse_numbers(seeds, "--seeds"),
        size=parse_size(size),
        questions=parse_numbers(questions, "--questions"),
        without=tuple(name for word in without.split(",") if (name := word.strip())),
        share=share,
    )
    asked = open_study(data, base=base, out=out, options=options)
    if plan:
        show_plan(asked, console, seconds_per_image=seconds_per_image)
        return
    try:
        report = run(asked, say=console.print, seconds_per_image=seconds_per_image)
    except KeyboardInterrupt:
        console.print(f"stopped: the same command goes on; so far: {out / 'report.md'}")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    console.print(f"studied: {report}")


def benchmark(context: typer.Context) -> None:
    """Measure this machine: one network against four, the loop, peers (needs a clone)."""
    import subprocess

    found_there = {**os.environ, "PYTHONPATH": str(_benchmarks().parent)}
    command = [sys.executable, "-P", "-m", "benchmarks.everything", *context.args]
    done = subprocess.run(command, env=found_there, check=False)  # noqa: S603
    raise typer.Exit(done.returncode)


def _benchmarks() -> Path:
    """The folder of the benchmark's scripts, which is not installed.

    Raises:
        UsageError: neither where we are nor where oneglance is installed from is a clone.
    """
    for root in (Path.cwd(), Path(__file__).resolve().parents[2]):
        if (root / "benchmarks" / "everything.py").is_file():
            return root / "benchmarks"
    raise UsageError(
        "the benchmark's scripts are not installed: clone the repository and run "
        "'oneglance benchmark' in it"
    )
