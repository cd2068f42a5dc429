"""``oneglance replay``: a recorded run again, and whether the same is seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from oneglance.perception.cli.common import (
    Debug,
    Engine,
    Model,
    Precision,
    Tasks,
    configure,
    say,
    write_json,
)
from oneglance.perception.cli.terminal import Terminal
from oneglance.streams.output_folder import OutputFolder

if TYPE_CHECKING:
    from oneglance.perception.replay.comparison import Comparison

EXIT_DIFFERENT = 1


def replay(
    run: Annotated[Path, typer.Argument(help="RUN.jsonl or RUN.mcap, written by 'oneglance run'.")],
    source: Annotated[
        str | None, typer.Argument(help="What was run; by default what the file says.")
    ] = None,
    model: Model = "road4-n",
    tasks: Tasks = None,
    conf: Annotated[float, typer.Option(help="Least confidence of a box, as it was run.")] = 0.25,
    engine: Engine = "onnxruntime",
    precision: Precision = None,
    iou: Annotated[float, typer.Option(help="A box that overlaps less has moved.")] = 0.8,
    score: Annotated[float, typer.Option(help="How far a confidence may shift.")] = 0.05,
    share: Annotated[
        float, typer.Option(help="Share of a task's boxes that may differ, 0 to 1.")
    ] = 0.01,
    out: Annotated[Path | None, typer.Option(help="Folder for images of the worst frames.")] = None,
    worst: Annotated[int, typer.Option(min=1, max=50, help="How many of them.")] = 5,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures too; - prints them.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Run a recording again and compare with a recorded run; exit code 1 when it differs."""
    configure(debug)
    import cv2

    from oneglance.models.detector import Detector
    from oneglance.models.tasks import Task, parse_tasks
    from oneglance.perception.cli.outputs import check_report, refuse_read
    from oneglance.perception.replay.comparison import Tolerance
    from oneglance.perception.replay.playing import image_of
    from oneglance.perception.replay.playing import replay as play
    from oneglance.perception.replay.runs import read_run, source_of
    from oneglance.streams.opening import files_read, open_stream

    tolerance = Tolerance(iou=iou, score=score, share=share)
    if json_file is not None:
        refuse_read(json_file, [run, model, *([] if source is None else [source])])
    folder = None if out is None else OutputFolder(out, "replay")
    if folder is not None:
        folder.check([run])
    cv2.setNumThreads(1)
    wanted = None if tasks is None else parse_tasks(tasks.split(","))
    detector = Detector.load(
        model,
        confidence=conf,
        tasks=wanted,
        threads=1,
        engine=engine,
        precision=precision,
    )
    recorded = read_run(
        run,
        source=source,
        classes=detector.classes,
        tasks=tuple(Task) if wanted is None else wanted,
    )
    played = source_of(recorded, run, source)
    if folder is not None:
        folder.check([run, *files_read(played)])
    if json_file is not None:
        check_report(json_file, [played])
    comparison, shown = play(
        recorded,
        open_stream(played),
        detector,
        tolerance=tolerance,
        least_confidence=conf,
        keep=worst,
    )
    _show(comparison)
    if json_file is not None:
        write_json(json_file, comparison.as_dict())
    if folder is not None and (shown or folder.marked):
        images = {f"frame-{each.difference.index:06}.jpg": each for each in shown}
        folder.refill(
            (name, cv2.imencode(".jpg", image_of(each))[1].tobytes())
            for name, each in images.items()
        )
        for name, each in images.items():
            say(f"{each.difference.kinds.total()} differences: {folder.name / name}")
    if not comparison.is_within:
        raise typer.Exit(EXIT_DIFFERENT)


def _show(comparison: Comparison) -> None:
    from oneglance.perception.replay.comparison import Kind

    words = ("task", "boxes", "now", *Kind, "max shift", "")
    table = Table(*words, box=None, padding=(0, 1, 0, 0))
    for task, totals in comparison.tasks.items():
        figures = (totals.before, totals.after, *(totals.kinds[k] for k in Kind))
        within = "same" if totals.is_within(comparison.tolerance) else "differs"
        table.add_row(task.value, *map(str, figures), f"{totals.largest_shift:.3f}", within)
    Terminal().print(table)
    facts = [f"{comparison.frames} frames compared"]
    facts.append(f"{comparison.other_counts} with other counts")
    if comparison.lost:
        facts.append(f"{comparison.lost} frames of the run do not come any more")
    if comparison.retimed:
        facts.append(f"{comparison.retimed} come at another time")
    say(", ".join(facts))
    say("within the tolerance" if comparison.is_within else "beyond the tolerance")
