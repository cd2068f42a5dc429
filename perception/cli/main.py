"""The command line: thin words over the packages.

Exit codes: 0 done, 1 a bug of ours, 2 the user's mistake or unusable input, 130 interrupted.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import re
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from oneglance.perception.pipeline import Mode
from oneglance.streams.errors import DataError, OneglanceError, SinkError, UsageError
from oneglance.streams.options import ConnectOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oneglance.models.training.recipe import Depth

EXIT_BUG = 1
EXIT_UNUSABLE = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    help="One network, one pass: pedestrians, cars, road signs and traffic lights.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Engine = Annotated[str, typer.Option(help="onnxruntime, or openvino (an extra).")]
Precision = Annotated[
    str, typer.Option(help="What it computes in: fp32, or bf16 (openvino, where the CPU has it).")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks and debug logs.")]


@app.command()
def run(
    source: Annotated[
        list[str] | None,
        typer.Argument(
            help="Video file, folder or glob of images, camera number, rtsp, http or udp URL; "
            "'rendered:' (the default) is a drive drawn by oneglance itself."
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="Name in the zoo, or an ONNX file.")] = "road4-n",
    mode: Annotated[
        Mode, typer.Option(help="recorded: every frame; live: newest wins.")
    ] = Mode.AUTO,
    tasks: Annotated[
        str | None, typer.Option(help="Only these: pedestrian,car,sign,light.")
    ] = None,
    conf: Annotated[float, typer.Option(help="Least confidence of a box, 0 to 1.")] = 0.25,
    threads: Annotated[int | None, typer.Option(help="Processors one inference may use.")] = None,
    engine: Engine = "onnxruntime",
    precision: Precision = "fp32",
    track: Annotated[bool, typer.Option(help="Give objects ids (ByteTrack).")] = True,
    jsonl: Annotated[
        str | None, typer.Option(metavar="FILE|-", help="Write JSON Lines, one object a frame.")
    ] = None,
    video: Annotated[Path | None, typer.Option(help="Write an annotated video.")] = None,
    max_frames: Annotated[int | None, typer.Option(help="Stop after this many frames.")] = None,
    json_summary: Annotated[Path | None, typer.Option(help="Write the closing figures.")] = None,
    timeout: Annotated[
        float, typer.Option(help="Longest wait, in seconds, for a camera or host to answer.")
    ] = 10.0,
    stall: Annotated[
        float, typer.Option(help="A camera or host that gives no frame for as long is lost.")
    ] = 5.0,
    transport: Annotated[str, typer.Option(help="Of RTSP: tcp or udp.")] = "tcp",
    hwaccel: Annotated[
        str | None, typer.Option(help="Decode with this accelerator (cuda, vaapi, …) or fail.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Find pedestrians, cars, signs and lights in videos, images or a live stream."""
    from oneglance.perception.runner import DEFAULT_SOURCE, Run, RunOptions
    from oneglance.perception.sinks.jsonl import STANDARD_OUTPUT

    _configure(debug)
    # With JSON Lines on standard output, what is for people goes to standard error.
    console = Console(stderr=jsonl == STANDARD_OUTPUT)
    options = RunOptions(
        sources=tuple(source or [DEFAULT_SOURCE]),
        model=model,
        mode=mode,
        tasks=tasks,
        confidence=conf,
        threads=threads,
        engine=engine,
        precision=precision,
        track=track,
        jsonl=jsonl,
        video=video,
        max_frames=max_frames,
        json_summary=json_summary,
        opening=ConnectOptions(
            timeout_s=timeout, stall_s=stall, transport=transport, hwaccel=hwaccel
        ),
    )
    job = Run(options, console)
    try:
        job.execute()
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted: outputs are closed and valid")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    finally:
        job.report()


@app.command()
def models() -> None:
    """List the models that come with oneglance."""
    from oneglance.models.zoo import list_zoo

    table = Table("model", "input", "classes", "size", "what it is", box=None)
    for entry in list_zoo():
        megabytes = entry.path.stat().st_size / 1e6
        table.add_row(entry.name, entry.input, entry.classes, f"{megabytes:.1f} MB", entry.summary)
    Console().print(table)


@app.command()
def render(
    out: Annotated[Path, typer.Option(help="Folder to write the data set to.")],
    frames: Annotated[int, typer.Option(min=2, help="How many images.")] = 240,
    seed: Annotated[int, typer.Option(help="Another seed, other drives.")] = 0,
    debug: Debug = False,
) -> None:
    """Write frames of the rendered drive as a labelled data set."""
    from oneglance.streams.rendered.dataset import write_dataset

    _configure(debug)
    write_dataset(out, frames=frames, seed=seed)
    Console().print(f"{frames} labelled images in {out} (data.yaml, images/, labels/)")


@app.command()
def train(
    data: Annotated[list[Path], typer.Argument(help="Data set files (data.yaml).")],
    base: Annotated[str, typer.Option(help="Pretrained YOLO weights (.pt), or none.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, recipe and model.pt.")],
    epochs: Annotated[int, typer.Option(min=1)] = 20,
    size: Annotated[str, typer.Option(metavar="WxH", help="Input size.")] = "640x384",
    learning_rate: Annotated[float, typer.Option(help="Peak rate of AdamW.")] = 4e-4,
    classes: Annotated[
        str, typer.Option(help="What to find: tasks, and kinds such as light_red.")
    ] = "pedestrian,car,sign,light",
    train_layers: Annotated[
        str, typer.Option("--train", help="last, head, neck or all; auto: by the data's amount.")
    ] = "all",
    head: Annotated[
        str, typer.Option(help="New classes start from related pretrained rows, or as new.")
    ] = "related",
    class_rate: Annotated[
        float, typer.Option(help="The class branches learn so many times as fast.")
    ] = 1.0,
    unlabelled: Annotated[
        str,
        typer.Option(
            help="What an image teaches of tasks it does not label: skipped (nothing), absent, "
            "or distilled (what the pretrained network says)."
        ),
    ] = "skipped",
    weigh: Annotated[
        str, typer.Option(help="What counts equally in the loss: every box, or every task.")
    ] = "box",
    keep: Annotated[
        float,
        typer.Option(
            help="So much of the pretrained weights the result keeps, 0 to 1; may be changed "
            "afterwards."
        ),
    ] = 0.0,
    repeat: Annotated[
        str | None, typer.Option(help="How often an epoch shows each data set, as 2,1.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse labels that could be mended, too.")
    ] = False,
    seed: Annotated[int, typer.Option()] = 0,
    debug: Debug = False,
) -> None:
    """Fine-tune a pretrained network; run again to resume."""
    _configure(debug)
    _need_training()
    from oneglance.models.tasks import parse_classes
    from oneglance.models.training.fit.finetune import finetune
    from oneglance.models.training.recipe import (
        Recipe,
        parse_depth,
        parse_rows,
        parse_unlabelled,
        parse_weigh,
    )

    recipe = Recipe(
        epochs=epochs,
        size=_parse_size(size),
        learning_rate=learning_rate,
        train=_advised(data) if train_layers == "auto" else parse_depth(train_layers),
        rows=parse_rows(head),
        class_rate=class_rate,
        unlabelled=parse_unlabelled(unlabelled),
        weigh=parse_weigh(weigh),
        repeats=_parse_repeats(repeat),
        seed=seed,
        keep=keep,
    )
    weights = finetune(
        data,
        base=None if base == "none" else Path(base),
        recipe=recipe,
        out=out,
        classes=parse_classes(classes.split(",")),
        strict=strict,
    )
    Console().print(f"trained: {weights} (how: {out / 'recipe.json'})")


@app.command()
def average(
    runs: Annotated[list[Path], typer.Argument(help="Folders of trainings from the same base.")],
    out: Annotated[Path, typer.Option(help="Folder for recipe and model.pt.")],
    debug: Debug = False,
) -> None:
    """Average the weights of several trainings: mostly better than they are on average."""
    _configure(debug)
    _need_training()
    from oneglance.models.training.fit.averaging import average as average_runs

    weights = average_runs(runs, out=out)
    Console().print(f"averaged: {weights} (of what: {out / 'recipe.json'})")


@app.command()
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
            "9 every task weighs the same, 10 trained as long as all together."
        ),
    ] = "1,2,3,4,5,6",
    share: Annotated[float, typer.Option(help="Of each set's training images, 0 to 1.")] = 1.0,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show all arms and how long they take; run none.")
    ] = False,
    seconds_per_image: Annotated[
        float | None, typer.Option(min=0, help="For the estimate, instead of measuring it.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Measure what one network, pretraining, depth, mask and data bring; run again to go on."""
    _configure(debug)
    _need_training()
    from oneglance.models.training.study.arms import StudyOptions
    from oneglance.models.training.study.plan import show_plan
    from oneglance.models.training.study.runner import open_study, run

    console = Console(highlight=False, soft_wrap=True)
    options = StudyOptions(
        epochs=epochs,
        seeds=_parse_numbers(seeds, "--seeds"),
        size=_parse_size(size),
        questions=_parse_numbers(questions, "--questions"),
        share=share,
    )
    asked = open_study(data, base=base, out=out, options=options)
    if plan:
        show_plan(asked, console, seconds_per_image=seconds_per_image)
        return
    try:
        report = run(asked, tell=console.print, seconds_per_image=seconds_per_image)
    except KeyboardInterrupt:
        console.print(f"stopped: the same command goes on; so far: {out / 'report.md'}")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    console.print(f"studied: {report}")


@app.command()
def export(
    weights: Annotated[Path, typer.Argument(help="model.pt of a training run.")],
    out: Annotated[Path, typer.Option(help="ONNX file to write.")],
    name: Annotated[
        str | None, typer.Option(help="The model's name; the file's by default.")
    ] = None,
    size: Annotated[str, typer.Option(metavar="WxH", help="Input size.")] = "640x384",
    head: Annotated[
        str, typer.Option(help="one_to_many (NMS at run time) or one_to_one.")
    ] = "one_to_many",
    classes: Annotated[
        str | None, typer.Option(help="Only these of the classes it was trained for.")
    ] = None,
    colours: Annotated[
        list[Path] | None,
        typer.Option(help="A data set with colours of lights: tell them by their pixels."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Write a self-describing ONNX file and prove it equal to torch."""
    _configure(debug)
    _need_training()
    from oneglance.models.metadata import Head
    from oneglance.models.tasks import parse_classes
    from oneglance.models.training.data.datasets import read_dataset
    from oneglance.models.training.export import (
        MAX_BOX_DIFFERENCE_PX,
        MAX_SCORE_DIFFERENCE,
    )
    from oneglance.models.training.export import export as export_model
    from oneglance.models.training.fit.light_colours import fit_colours
    from oneglance.models.training.recipe import training_facts

    if head not in set(Head):
        raise UsageError(f"unknown head '{head}' (heads: {', '.join(Head)})")
    parity = export_model(
        weights,
        out,
        name=name or out.stem,
        size=_parse_size(size),
        head=Head(head),
        training=training_facts(weights),
        only=None if classes is None else parse_classes(classes.split(",")),
        colours=fit_colours([read_dataset(file) for file in colours]) if colours else None,
    )
    Console().print(
        f"{out}: largest difference from torch {parity.boxes_px:.5f} px, {parity.scores:.2e} in "
        f"score (allowed: {MAX_BOX_DIFFERENCE_PX} px, {MAX_SCORE_DIFFERENCE:g})"
    )


@app.command()
def audit(
    data: Annotated[list[Path], typer.Argument(help="Data set files (data.yaml).")],
    size: Annotated[str, typer.Option(metavar="WxH", help="Training input.")] = "640x384",
    strict: Annotated[bool, typer.Option("--strict", help="Any problem is an error.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Show every problem.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the facts too.")] = None,
    debug: Debug = False,
) -> None:
    """Look through data sets: what they hold, what is wrong, how to train with them."""
    _configure(debug)
    try:
        from oneglance.models.training.audit.report import audit_files, show
    except ModuleNotFoundError as error:
        raise _missing("eval", error.name) from None

    found = audit_files(data, _parse_size(size))
    show(found, Console(), every=every)
    if json_file is not None:
        _write_json(json_file, found.as_dict())
    if strict and found.problems:
        where = ", ".join(map(str, data))
        raise DataError(f"problems in {where}: {len(found.problems)} (--strict makes them errors)")


@app.command(name="eval")
def evaluate(
    model: Annotated[str, typer.Argument(help="Name in the zoo, or an ONNX file.")],
    data: Annotated[Path, typer.Argument(help="Data set file (data.yaml).")],
    split: Annotated[str, typer.Option(help="train or val.")] = "val",
    engine: Engine = "onnxruntime",
    precision: Precision = "fp32",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures too.")] = None,
    debug: Debug = False,
) -> None:
    """COCO mAP for each task, from the ONNX file through the same Detector users run."""
    _configure(debug)
    try:
        from oneglance.models.training.evaluation.coco import evaluate_file
    except ModuleNotFoundError as error:
        raise _missing("eval", error.name) from None

    evaluation = evaluate_file(model, data, split=split, engine=engine, precision=precision)
    table = Table("task", "mAP50", "mAP50-95", "boxes", box=None)
    for task, accuracy in evaluation.tasks.items():
        table.add_row(
            task.value, f"{accuracy.map50:.3f}", f"{accuracy.map50_95:.3f}", str(accuracy.boxes)
        )
    Console().print(table)
    for task, kind in evaluation.kinds.items():
        Console().print(
            f"{task}: {kind.share:.1%} of {kind.found} found are told right "
            f"({kind.untold} are told no kind)"
        )
    Console().print(f"{evaluation.images} images of {data} ({split}), {engine} {precision}")
    if json_file is not None:
        asked = {"model": model, "engine": engine, "precision": precision, "data": str(data)}
        _write_json(json_file, {**asked, **evaluation.as_dict()})


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
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


def _write_json(file: Path, content: dict[str, object]) -> None:
    try:
        file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise SinkError(f"cannot write {file}: {error.strerror}") from None


def _parse_size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise UsageError(f"--size is WxH, like 640x384, not '{text}'")
    return int(width), int(height)


def _advised(data: Sequence[Path]) -> Depth:
    from oneglance.models.training.audit.audit import advised_depth
    from oneglance.models.training.data.datasets import read_dataset

    advice = advised_depth([read_dataset(file) for file in data])
    Console().print(f"training {advice.train}: {' '.join(advice.reasons)}")
    return advice.train


def _parse_repeats(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", text):
        raise UsageError(f"--repeat is one number from 1 for each data set, like 2,1, not '{text}'")
    return tuple(int(word) for word in text.split(","))


def _parse_numbers(text: str, option: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise UsageError(f"{option} is a list of numbers, like 0,1, not '{text}'")
    return tuple(int(word) for word in text.split(","))


def _need_training() -> None:
    for name in ("torch", "ultralytics", "onnx", "onnxslim"):
        if importlib.util.find_spec(name) is None:
            raise _missing("train", name)


def _missing(extra: str, package: str | None) -> UsageError:
    return UsageError(
        f"{package} is not installed: pip install 'oneglance[{extra}]' "
        "(from a clone: pip install '.[" + extra + "]')"
    )


def _configure(debug: bool) -> None:
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """A polite kill ends a run as Ctrl-C does: files closed, figures printed."""
    del number, frame
    raise KeyboardInterrupt


def main() -> None:
    """Entry point: run the command and turn how it ended into an exit code."""
    sys.exit(_exit_code())


def _exit_code() -> int:
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        app(prog_name="oneglance")
    except OneglanceError as error:
        _show_traceback()
        errors.print(f"[bold red]error:[/] {_printable(error)}")
        return EXIT_UNUSABLE
    except Exception as error:  # noqa: BLE001 - the last door: whatever is left is our bug
        _show_traceback()
        errors.print(
            f"[bold red]internal error:[/] {type(error).__name__}: {_printable(error)}\n"
            "This is a bug in oneglance. Run again with --debug and report what it prints."
        )
        return EXIT_BUG
    return 0


def _show_traceback() -> None:
    if "--debug" in sys.argv:
        from oneglance.streams.redaction import redact

        # Line by line: what is hidden may reach as far as the text does.
        lines = traceback.format_exc().splitlines(keepends=True)
        sys.stderr.writelines(map(redact, lines))


def _printable(error: Exception) -> str:
    from rich.markup import escape

    from oneglance.streams.redaction import redact

    return escape(redact(str(error)))
