"""Commands that make a model: train, average, export."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from oneglance.models.metadata import Head
from oneglance.models.training.execution import Amp, Cache, Execution
from oneglance.models.training.recipe import (
    GradientSurgery,
    HeadInit,
    LossWeight,
    Recipe,
    TrainableLayers,
    Unlabelled,
    check_sides,
    training_facts,
)
from oneglance.models.zoo import resolve_model
from oneglance.perception.cli.common import (
    Debug,
    configure,
    missing,
    need_training,
    parse_size,
    say,
)
from oneglance.streams.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oneglance.models.training.running.plan import TrainingPlan


class _Layers(StrEnum):
    """``TrainableLayers``, or what the data's amount advises."""

    AUTO = "auto"
    LAST = "last"
    HEAD = "head"
    NECK = "neck"
    ALL = "all"


def train(
    data: Annotated[list[Path], typer.Argument(help="Data set files (data.yaml).")],
    base: Annotated[str, typer.Option(help="Pretrained YOLO weights (.pt), or none.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, recipe and model.pt.")],
    epochs: Annotated[int, typer.Option(min=1)] = 20,
    size: Annotated[str, typer.Option(metavar="WxH", help="Input size.")] = "640x384",
    learning_rate: Annotated[float, typer.Option(help="Peak rate of AdamW.")] = 4e-4,
    classes: Annotated[
        str, typer.Option(help="What to find: tasks, and subclasses such as light_red.")
    ] = "pedestrian,car,sign,light",
    trainable_layers: Annotated[
        _Layers, typer.Option(help="Which layers train; auto: by the data's amount.")
    ] = _Layers.ALL,
    head_init: Annotated[
        HeadInit, typer.Option(help="Where the last layer's weights of each class start.")
    ] = HeadInit.PRETRAINED,
    class_rate: Annotated[
        float, typer.Option(help="The class branches learn so many times as fast.")
    ] = 1.0,
    unlabelled: Annotated[
        Unlabelled,
        typer.Option(
            help="What an image teaches of tasks it does not label: nothing, that there is none, "
            "or what the pretrained network predicts."
        ),
    ] = Unlabelled.IGNORE,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(
            help="model.pt of a single-task training that teaches its classes (born-again); may "
            "be repeated, once for each task."
        ),
    ] = None,
    loss_weight: Annotated[
        LossWeight,
        typer.Option(
            help="What counts equally in the loss: every box, every task, or every task by how "
            "well it is learnt."
        ),
    ] = LossWeight.BOX,
    balance: Annotated[
        float,
        typer.Option(help="Unless --loss-weight is box, how far: 0 is every box, 1 every task."),
    ] = 1.0,
    gradient_surgery: Annotated[
        GradientSurgery,
        typer.Option(
            help="What becomes of tasks' gradients that conflict: added up, or projected first "
            "(PCGrad: a backward pass a task, about three times the time)."
        ),
    ] = GradientSurgery.NONE,
    task_branches: Annotated[
        bool,
        typer.Option(
            "--task-branches",
            help="Give the head a layer for each task: a few per cent more FLOPs, see --plan.",
        ),
    ] = False,
    alpha: Annotated[
        float,
        typer.Option(
            help="Share of the fine-tuned weights in the result, above 0 to 1; the rest is the "
            "pretrained ones' (WiSE-FT). May be changed afterwards."
        ),
    ] = 1.0,
    weather: Annotated[
        float,
        typer.Option(
            help="Share of training images that are shown by night, in haze, rain or glare, "
            "blurred or compressed, 0 to 1."
        ),
    ] = 0.0,
    oversample: Annotated[
        str | None, typer.Option(help="How often an epoch shows each data set, as 2,1.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse labels that could be mended, too.")
    ] = False,
    seed: Annotated[int, typer.Option()] = 0,
    batch: Annotated[int, typer.Option(min=1, help="Images a step, on all devices together.")] = 16,
    device: Annotated[
        str, typer.Option(help="auto, cpu, mps, or a GPU's number; several as 0,1.")
    ] = "auto",
    workers: Annotated[int, typer.Option(help="Processes that load images, for each GPU.")] = 8,
    amp: Annotated[
        Amp, typer.Option(help="Mixed precision: auto takes bf16 where the device has it.")
    ] = Amp.AUTO,
    cache: Annotated[
        Cache, typer.Option(help="Where decoded images are kept between epochs.")
    ] = Cache.RAM,
    minutes: Annotated[
        float | None,
        typer.Option(help="Stop after so many; the same command goes on. What is there is usable."),
    ] = None,
    shorten: Annotated[
        bool, typer.Option("--shorten", help="Plan fewer epochs to be done within --minutes.")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show steps, memory and time; train nothing.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Fine-tune a pretrained network; run again to resume."""
    configure(debug)
    need_training()
    from oneglance.models.tasks import parse_classes
    from oneglance.models.training.fit.finetune import finetune

    recipe = Recipe(
        epochs=epochs,
        size=parse_size(size),
        learning_rate=learning_rate,
        trainable=_advised(data)
        if trainable_layers is _Layers.AUTO
        else TrainableLayers(trainable_layers.value),
        head_init=head_init,
        class_rate=class_rate,
        unlabelled=unlabelled,
        loss_weight=loss_weight,
        balance=balance,
        gradient_surgery=gradient_surgery,
        task_branches=task_branches,
        oversample=_parse_oversample(oversample),
        seed=seed,
        alpha=alpha,
        weather=weather,
        batch=batch,
    )
    execution = Execution(
        device=device, workers=workers, amp=amp, cache=cache, minutes=minutes, shorten=shorten
    )
    if plan:
        from oneglance.models.training.running.plan import plan_training

        network = None if base == "none" else Path(base)
        _show_plan(plan_training(data, recipe=recipe, execution=execution, base=network))
        return
    weights = finetune(
        data,
        base=None if base == "none" else Path(base),
        recipe=recipe,
        out=out,
        classes=parse_classes(classes.split(",")),
        strict=strict,
        execution=execution,
        teachers=teacher or (),
    )
    say(f"trained: {weights} (how: {out / 'recipe.json'})")
    if stopped := training_facts(weights).get("stopped"):
        say(
            f"stopped by --minutes after {stopped['epochs_done']} of {stopped['of']} epochs: "
            "the same command goes on"
        )


def _show_plan(plan: TrainingPlan) -> None:
    branches = ""
    if plan.branch_flops:
        share = plan.branch_flops / (plan.flops - plan.branch_flops)
        branches = f", {share:.1%} more than without task branches"
    say(f"{plan.flops / 1e9:.2f} GFLOPs an image at run time (four tasks){branches}")
    say(f"{plan.images} images an epoch, {plan.steps_per_epoch} steps; {plan.steps} steps in all")
    say(
        f"{plan.bytes_per_image / 1e6:.0f} MB of memory an image, "
        f"{plan.bytes_per_batch / 1e9:.1f} GB a batch; {plan.free_bytes / 1e9:.1f} GB are free "
        f"on {plan.device}"
    )
    say(
        f"{plan.seconds_per_image:.3f} s an image on {plan.device}, loading not counted: about "
        f"{plan.minutes:.0f} min in all"
    )


def average(
    runs: Annotated[list[Path], typer.Argument(help="Folders of trainings from the same base.")],
    out: Annotated[Path, typer.Option(help="Folder for recipe and model.pt.")],
    start: Annotated[
        Path | None,
        typer.Option(
            metavar="WEIGHTS",
            help="Take a share of these too, as of the pretrained ones: against forgetting.",
        ),
    ] = None,
    alpha: Annotated[
        float, typer.Option(help="The share of the trainings beside --start, like 0.75.")
    ] = 1.0,
    debug: Debug = False,
) -> None:
    """Average the weights of several trainings: mostly better than they are on average."""
    configure(debug)
    need_training()
    from oneglance.models.training.fit.averaging import average as average_runs

    weights = average_runs(runs, out=out, start=start, alpha=alpha)
    say(f"averaged: {weights} (of what: {out / 'recipe.json'})")


def export(
    weights: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="model.pt of a training run; with --end-to-end also a name in the zoo or an ONNX "
            "file of ours.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="ONNX file to write.")],
    name: Annotated[
        str | None, typer.Option(help="The model's name; the file's by default.")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="Input size.", show_default="640x384"),
    ] = None,
    head: Annotated[
        Head | None,
        typer.Option(
            help="one_to_many: NMS at run time; one_to_one: none.", show_default="one_to_many"
        ),
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Only these of the classes it was trained for.")
    ] = None,
    colours: Annotated[
        list[Path] | None,
        typer.Option(help="A data set with colours of lights: classify them by their pixels."),
    ] = None,
    end_to_end: Annotated[
        str | None,
        typer.Option(
            metavar="WxH",
            help="One graph from a frame of this size (uint8 BGR) to boxes in its pixels, "
            "letterbox and NMS inside: ONNX Runtime alone runs it.",
        ),
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(help="With --end-to-end: leave out boxes below it.", show_default="0.25"),
    ] = None,
    debug: Debug = False,
) -> None:
    """Write a self-describing ONNX file and prove it equal to torch."""
    configure(debug)
    from oneglance.perception.cli.outputs import check_made

    check_made(out, [weights, *(colours or ())])
    if end_to_end is None and confidence is not None:
        raise UsageError("--confidence is of --end-to-end graphs; others are asked at run time")
    frame = None if end_to_end is None else parse_size(end_to_end, "--end-to-end")
    if frame is None or weights.suffix == ".pt":
        need_training()
        how = _Export(name or out.stem, size or "640x384", head, classes, tuple(colours or ()))
        if frame is None:
            _export_trained(weights, out, how)
            return
        with TemporaryDirectory() as folder:
            file = Path(folder) / "model.onnx"
            _export_trained(weights, file, how)
            _export_end_to_end(file, out, size=frame, confidence=confidence)
        return
    given = {"--name": name, "--size": size, "--head": head, "--classes": classes}
    for option in (option for option, value in (given | {"--colours": colours}).items() if value):
        raise UsageError(f"{option} is for a training run's model.pt; {weights} has its own")
    _export_end_to_end(resolve_model(weights), out, size=frame, confidence=confidence)


@dataclass(frozen=True, slots=True)
class _Export:
    """How a trained network is exported; ``size`` and ``classes`` as they were typed."""

    name: str
    size: str
    head: Head | None
    classes: str | None
    colours: tuple[Path, ...]


def _export_trained(weights: Path, out: Path, how: _Export) -> None:
    from oneglance.models.tasks import parse_classes
    from oneglance.models.training.data.datasets import read_dataset
    from oneglance.models.training.export import MAX_BOX_DIFFERENCE_PX, MAX_SCORE_DIFFERENCE
    from oneglance.models.training.export import export as export_model
    from oneglance.models.training.fit.light_colours import fit_colours
    from oneglance.streams.rendered.reference import reference_images

    size = parse_size(how.size)
    check_sides(size)
    parity = export_model(
        weights,
        out,
        name=how.name,
        size=size,
        head=how.head or Head.ONE_TO_MANY,
        training=training_facts(weights),
        only=None if how.classes is None else parse_classes(how.classes.split(",")),
        colours=fit_colours([read_dataset(file) for file in how.colours]) if how.colours else None,
        reference_images=reference_images(size),
    )
    say(
        f"{out}: largest difference from torch {parity.boxes_px:.5f} px, {parity.scores:.2e} in "
        f"score (allowed: {MAX_BOX_DIFFERENCE_PX} px, {MAX_SCORE_DIFFERENCE:g})"
    )


def _export_end_to_end(
    file: Path, out: Path, *, size: tuple[int, int], confidence: float | None
) -> None:
    if importlib.util.find_spec("onnx") is None:
        raise missing("export", "onnx")
    from oneglance.models.detector import DEFAULT_CONFIDENCE
    from oneglance.models.training.end_to_end import BOUND, MAX_LEVELS, SMALLEST, end_to_end
    from oneglance.streams.rendered.reference import reference_images

    parity = end_to_end(
        file,
        out,
        size=size,
        confidence=DEFAULT_CONFIDENCE if confidence is None else confidence,
        images=reference_images(size) if min(size) >= SMALLEST else (),
    )
    say(
        f"{out}: frames of {size[0]}x{size[1]} in, boxes out; largest difference from the detector "
        f"{parity.levels:.1f} levels of 255 in what the network sees, and from the same input "
        f"{parity.boxes_px:.5f} px, {parity.scores:.2e} in score (allowed: {MAX_LEVELS} levels, "
        f"{BOUND.side_px:g} px, {BOUND.score:g})"
    )


def _advised(data: Sequence[Path]) -> TrainableLayers:
    from oneglance.models.training.audit.audit import advised_layers
    from oneglance.models.training.data.datasets import read_dataset

    advice = advised_layers([read_dataset(file) for file in data])
    say(f"training {advice.train}: {' '.join(advice.reasons)}")
    return advice.train


def _parse_oversample(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", text):
        raise UsageError(
            f"--oversample is one number from 1 for each data set, like 2,1, not '{text}'"
        )
    return tuple(int(word) for word in text.split(","))
