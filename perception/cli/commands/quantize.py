"""``oneglance quantize``: a model in int8, if it passes the accuracy gate."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from oneglance.models.packed_ir import SUFFIX
from oneglance.models.training.float_layers import Kept
from oneglance.models.zoo import resolve_model
from oneglance.perception.cli.common import Debug, configure, missing, say
from oneglance.perception.cli.terminal import Terminal
from oneglance.streams import open_stream
from oneglance.streams.errors import ModelError, UsageError
from oneglance.streams.outputs import make_parent, write_file

if TYPE_CHECKING:
    from oneglance.models.training.quantization import Image, Quantised

EVERY = 10
"""One frame in so many of a source is calibrated with: neighbours are alike."""


def quantize(
    model: Annotated[str, typer.Argument(help="Name in the zoo, or an ONNX file of ours.")],
    data: Annotated[
        list[Path],
        typer.Option(help="Data set file: train images to calibrate with, val for the gate."),
    ],
    out: Annotated[Path, typer.Option(help=f"File to write (….{SUFFIX[1:]}).")],
    source: Annotated[
        list[str] | None, typer.Option(help="A clip to calibrate with, too: every 10th frame.")
    ] = None,
    frames: Annotated[
        int, typer.Option(min=8, help="Train images to calibrate with, of all sets together.")
    ] = 300,
    keep: Annotated[
        Kept,
        typer.Option(
            "--float",
            help="What stays in float at the least: the head; fine layers, too; the neck, too. "
            "Where that does not pass the gate, more is tried.",
        ),
    ] = Kept.HEAD,
    engine: Annotated[str, typer.Option(help="What is to run it: openvino.")] = "openvino",
    debug: Debug = False,
) -> None:
    """Write a model in int8, calibrated on data, unless it finds less than its original."""
    configure(debug)
    if engine != "openvino":
        raise UsageError(
            f"int8 is made for openvino, not for {engine}: onnxruntime runs it slower than fp32"
        )
    for package in ("openvino", "nncf", "faster_coco_eval"):
        if importlib.util.find_spec(package) is None:
            raise missing("quantize", package)
    if out.suffix != SUFFIX:
        raise UsageError(f"--out ends in {SUFFIX} (an OpenVINO IR in one file), not {out.name}")
    from oneglance.models.training.data.datasets import read_dataset
    from oneglance.models.training.quantization import quantize as quantize_model
    from oneglance.perception.cli.outputs import check_made

    file = resolve_model(model)
    check_made(out, [file, *data, *(source or ())])  # before minutes of work
    found = quantize_model(
        file,
        [read_dataset(each) for each in data],
        images=_frames(source or ()),
        frames=frames,
        first=keep,
    )
    for each in (*found.refused, found):
        _show(each)
    if found.problems:
        raise ModelError(
            f"{out} is not written: in int8, {found.kept} in float, {model} does not pass the "
            f"accuracy gate ({'; '.join(found.problems)}). More --frames of what it will see may "
            "help"
        )
    make_parent(out)
    write_file(out, found.content)
    say(
        f"{out}: {len(found.content) / 1e6:.1f} MB in int8, {found.kept} in float, the accuracy "
        "gate passed; run it with --engine openvino --precision int8"
    )


def _frames(sources: list[str] | tuple[str, ...]) -> Iterator[Image]:
    for source in sources:
        with open_stream(source) as stream:
            for frame in stream:
                if frame.index % EVERY == 0:
                    yield frame.image


def _show(found: Quantised) -> None:
    verdict = "does not pass the accuracy gate" if found.problems else "passes the accuracy gate"
    Terminal(highlight=False, soft_wrap=True).print(Text(f"{found.kept} in float: {verdict}"))
    table = Table("set", "task", "boxes", "mAP50-95", "F1", "confidence", box=None)
    for row in found.rows:
        table.add_row(
            row.set_name,
            row.task.value,
            str(row.boxes),
            f"{row.map50_95:.3f} → {row.map50_95_quantised:.3f}",
            f"{row.f1:.3f} → {row.f1_quantised:.3f}",
            f"{row.shift:+.3f}",
        )
    Terminal().print(table)
