"""What several commands share: options, parsing, logging, and what a missing extra says."""

from __future__ import annotations

import importlib.util
import json
import logging
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from oneglance.perception.cli.signals import heard
from oneglance.perception.cli.terminal import Terminal, take_standard_output
from oneglance.streams.errors import UsageError
from oneglance.streams.options import ConnectOptions, Damaged, Transport
from oneglance.streams.outputs import has_current_folder, write_file

EXIT_BUG = 1
EXIT_UNUSABLE = 2
EXIT_INTERRUPTED = 130

CONNECT = ConnectOptions()
"""What sources are opened with where nobody asks for anything else."""

Model = Annotated[str, typer.Option(help="Name in the zoo, or an ONNX file.")]
Tasks = Annotated[str | None, typer.Option(help="Only these: pedestrian,car,sign,light.")]
Confidence = Annotated[float, typer.Option(help="Least confidence of a box, 0 to 1.")]
Threads = Annotated[int | None, typer.Option(help="CPUs one inference may use.")]
Track = Annotated[bool, typer.Option(help="Give objects ids (ByteTrack).")]
Engine = Annotated[
    str,
    typer.Option(help="onnxruntime, openvino (an extra), a plugin's, or auto: the fastest here."),
]
Precision = Annotated[
    str | None,
    typer.Option(
        help="What it computes in: fp32 (default), bf16 (openvino, where the CPU has it) or "
        "int8 (openvino, a quantised file)."
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="What it runs on: cpu, or with onnxruntime cuda, tensorrt, tensorrt-rtx, coreml, "
        "directml, with openvino gpu, npu; see 'oneglance engines'."
    ),
]
EngineCache = Annotated[
    Path | None,
    typer.Option(help="Folder in which TensorRT keeps what it compiled; else the user's cache."),
]
Budget = Annotated[
    float | None,
    typer.Option(
        metavar="MS",
        help="Live: keep results younger than this by looking with smaller inputs of the same "
        "weights, then at every 2nd frame.",
    ),
]
Timeout = Annotated[
    float, typer.Option(help="Longest wait, in seconds, for a camera or host to answer.")
]
Stall = Annotated[
    float, typer.Option(help="A camera or host that gives no frame for as long is lost.")
]
RtspTransport = Annotated[Transport, typer.Option(help="Of RTSP.")]
DamagedFrames = Annotated[
    Damaged, typer.Option(help="Frames that are damaged, or depend on damaged ones.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks and debug logs.")]


def configure(debug: bool) -> None:
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


class _Reported:
    """Whether the user knows already that the command was interrupted."""

    interruption = False


def interrupted(text: str = "interrupted") -> typer.Exit:
    """Report it once; the exit to be raised."""
    heard()
    if not _Reported.interruption:
        _Reported.interruption = True
        Terminal(stderr=True, markup=False, highlight=False, soft_wrap=True).print(text)
    return typer.Exit(EXIT_INTERRUPTED)


def was_reported() -> bool:
    """Whether ``interrupted`` was called for this command."""
    return _Reported.interruption


def forget() -> None:
    """Another command begins."""
    _Reported.interruption = False
    take_standard_output(taken=False)


def say(text: str) -> None:
    """Print a line that may hold paths, unshortened, whatever characters are in them."""
    Terminal(markup=False, highlight=False, soft_wrap=True).print(text)


def write_json(file: Path, content: object) -> None:
    """Write a file of figures, or print it for ``-``.

    Raises:
        SinkError: it cannot be written.
    """
    from oneglance.perception.sinks.files import is_standard_output, write_standard_output

    text = json.dumps(content, indent=2) + "\n"
    if is_standard_output(file):
        write_standard_output(text)
    else:
        write_file(file, text)


def parse_size(text: str, option: str = "--size") -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not all(re.fullmatch(r"[0-9]{1,6}", side) for side in (width, height)):
        raise UsageError(f"{option} is WxH, like 640x384, not '{text}'")
    return int(width), int(height)


def parse_numbers(text: str, option: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise UsageError(f"{option} is a list of numbers, like 0,1, not '{text}'")
    return tuple(int(word) for word in text.split(","))


def need_training() -> None:
    """Refuse to train where it cannot be done.

    Raises:
        UsageError: a package is missing, or torch could not be loaded: its oneMKL ends the process
            where the current folder was removed.
    """
    if not has_current_folder():
        raise UsageError("the current folder was removed; change to another one (cd)")
    for name in ("torch", "ultralytics", "onnx", "onnxslim"):
        if importlib.util.find_spec(name) is None:
            raise missing("train", name)


def missing(extra: str, package: str | None) -> UsageError:
    return UsageError(
        f"{package} is not installed: pip install 'oneglance[{extra}]' "
        "(from a clone: pip install '.[" + extra + "]')"
    )
