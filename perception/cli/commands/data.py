"""Commands on data sets: draw one, look through one, score a model on one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from oneglance.perception.cli.common import (
    Debug,
    Engine,
    Precision,
    configure,
    missing,
    parse_size,
    say,
    write_json,
)
from oneglance.perception.cli.terminal import Terminal
from oneglance.streams.errors import DataError, UsageError

if TYPE_CHECKING:
    from oneglance.models.training.evaluation.robustness import Robustness
    from oneglance.models.training.evaluation.subclasses import SubclassAccuracy


def render(
    out: Annotated[Path, typer.Option(help="Folder to write the data set to.")],
    frames: Annotated[int, typer.Option(min=2, help="How many images.")] = 240,
    seed: Annotated[int, typer.Option(help="Another seed, other drives.")] = 0,
    debug: Debug = False,
) -> None:
    """Write frames of the rendered drive as a labelled data set."""
    from oneglance.streams.rendered.dataset import write_dataset

    configure(debug)
    write_dataset(out, frames=frames, seed=seed)
    say(f"{frames} labelled images in {out} (data.yaml, images/, labels/)")


def audit(
    data: Annotated[list[Path], typer.Argument(help="Data set files (data.yaml).")],
    size: Annotated[str, typer.Option(metavar="WxH", help="Training input.")] = "640x384",
    strict: Annotated[bool, typer.Option("--strict", help="Any problem is an error.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Show every problem.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the facts too; - prints them.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="List what this model is sure of and no box covers.")
    ] = None,
    candidates: Annotated[
        Path, typer.Option(help="Folder for that list, with a crop of each to look at.")
    ] = Path("runs/unlabelled"),
    debug: Debug = False,
) -> None:
    """Look through data sets: what they hold, what is wrong, how to train with them."""
    configure(debug)
    from oneglance.perception.cli.outputs import check_report

    if json_file is not None:
        check_report(json_file, data)
    try:
        from oneglance.models.training.audit.report import audit_files, show
    except ModuleNotFoundError as error:
        raise missing("eval", error.name) from None

    found = audit_files(data, parse_size(size))
    show(found, Terminal(), every=every)
    if json_file is not None:
        write_json(json_file, found.as_dict())
    if model is not None:
        _list_unlabelled(model, data, candidates)
    if strict and found.problems:
        where = ", ".join(map(str, data))
        raise DataError(f"problems in {where}: {len(found.problems)} (--strict makes them errors)")


def _list_unlabelled(model: str, data: list[Path], folder: Path) -> None:
    from oneglance.models.detector import Detector
    from oneglance.models.training.audit.unlabelled import (
        SURE,
        unlabelled_objects,
        write_candidates,
    )
    from oneglance.models.training.data.datasets import read_dataset

    datasets = [read_dataset(file) for file in data]
    for dataset in datasets:
        dataset.refuse_output(folder)
    detector = Detector.load(model, confidence=SURE)
    found = [one for dataset in datasets for one in unlabelled_objects(detector, dataset)]
    file = write_candidates(sorted(found, key=lambda one: -one.confidence), folder)
    counts = Counter(one.task.value for one in found)
    listed = ", ".join(f"{count} {task}" for task, count in sorted(counts.items())) or "none"
    Terminal().print(
        f"likely objects without a box ({detector.name}, confidence {SURE:g} and more): {listed}; "
        f"look at {file} and the crops beside it"
    )


def evaluate(
    model: Annotated[str, typer.Argument(help="Name in the zoo, or an ONNX file.")],
    data: Annotated[Path, typer.Argument(help="Data set file (data.yaml).")],
    split: Annotated[str, typer.Option(help="train, val or test.")] = "val",
    engine: Engine = "onnxruntime",
    precision: Precision = None,
    conditions: Annotated[
        bool,
        typer.Option(
            "--conditions", help="Night, rain, fog and others too, 22 times as long; by size."
        ),
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the conditions into a PNG.")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures too; - prints them.")
    ] = None,
    debug: Debug = False,
) -> None:
    """COCO mAP for each task, from the ONNX file through the same Detector users run."""
    configure(debug)
    if plot is not None and not conditions:
        raise UsageError("--plot draws what --conditions measures: give both")
    from oneglance.perception.cli.outputs import check_file, check_report

    if plot is not None:
        check_file(plot, [data, model])
    if json_file is not None:
        check_report(json_file, [data, model])
    try:
        from oneglance.models.training.evaluation.coco import evaluate_file
        from oneglance.models.training.evaluation.robustness import evaluate_file_under_conditions
    except ModuleNotFoundError as error:
        raise missing("eval", error.name) from None

    robustness = None
    if conditions:
        robustness = evaluate_file_under_conditions(
            model, data, split=split, engine=engine, precision=precision
        )
        evaluation = robustness.clean
    else:
        evaluation = evaluate_file(model, data, split=split, engine=engine, precision=precision)
    table = Table("task", "mAP50", "mAP50-95", "boxes", box=None)
    for task, accuracy in evaluation.tasks.items():
        table.add_row(
            task.value, f"{accuracy.map50:.3f}", f"{accuracy.map50_95:.3f}", str(accuracy.boxes)
        )
    Terminal().print(table)
    for task, partial in evaluation.partial.items():
        Terminal().print(
            f"{task} (labelled in part, so no mAP): {partial.recall:.1%} of {partial.boxes} boxes "
            f"found at confidence {partial.confidence:g}; {partial.unmatched_per_image:.2f} "
            "detections an image have no box, right ones among them"
        )
    for task, found in evaluation.subclasses.items():
        say(
            f"{task}: {found.share:.1%} of {found.found} found have the right subclass "
            f"({found.unassigned} have none); {found.assigned_share:.1%} of those that have one"
        )
        _show_subclasses(found)
    if robustness is not None:
        _show_robustness(robustness)
        if plot is not None:
            _plot(robustness, plot)
    ran = f"{evaluation.engine} {evaluation.precision}"
    say(f"{evaluation.images} images of {data} ({split}), {ran}")
    if json_file is not None:
        asked = {
            "model": model,
            "engine": evaluation.engine,
            "precision": evaluation.precision,
            "data": str(data),
        }
        more = {} if robustness is None else robustness.as_dict()
        write_json(json_file, {**asked, **evaluation.as_dict(), **more})


def _show_subclasses(found: SubclassAccuracy) -> None:
    table = Table("subclass", "found", "right", "wrong", "unknown", box=None)
    for name, one in found.of.items():
        counts = (one.correct, one.wrong, one.unassigned)
        shares = (f"{count} ({count / one.found:.0%})" for count in counts)
        table.add_row(name, str(one.found), *shares)
    if found.of:
        Terminal().print(table)


def _show_robustness(found: Robustness) -> None:
    names = [task.value for task in found.tasks]
    sizes = Table("mAP50-95", *names, box=None)
    for size in ("small", "medium", "large"):
        of_size = (found.clean.tasks[task].by_size.get(size) for task in found.tasks)
        sizes.add_row(size, *("-" if score is None else f"{score:.3f}" for score in of_size))
    severities = list(dict.fromkeys(severity for _, severity in found.under))
    under = Table("mAP50", *names, box=None)
    for condition in dict.fromkeys(condition for condition, _ in found.under):
        row = (
            " ".join(f"{found.accuracy(task, condition, s).map50:.2f}" for s in severities)
            for task in found.tasks
        )
        under.add_row(condition, *row)
    worst = (found.worst(task) for task in found.tasks)
    under.add_row("worst", *(f"{condition} {kept:.0%}" for condition, kept in worst))
    under.add_row("mPC", *(f"{found.mpc(task):.3f}" for task in found.tasks))
    under.add_row("rPC", *(f"{found.rpc(task):.1%}" for task in found.tasks))
    terminal = Terminal()
    terminal.print(sizes)
    terminal.print(under)
    listed = ", ".join(severity.name.lower() for severity in severities)
    say(
        f"each condition {listed}; worst: what is left of the clean mAP50 at middle severity; "
        "mPC and rPC, after Michaelis et al. 2019, of mAP50-95"
    )


def _plot(found: Robustness, file: Path) -> None:
    try:
        from oneglance.models.training.evaluation.robustness_plot import draw_robustness
    except ModuleNotFoundError as error:
        raise missing("conditions", error.name) from None

    draw_robustness(found, file)
    say(f"wrote {file}")
