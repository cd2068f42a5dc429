"""Parts one after the other, each written when it is done."""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks import facts
from benchmarks.gpu.parts import FRAMES, PARTS, Part
from benchmarks.processes import Arm, ArmFailed, run_arm
from oneglance.models.engines.onnxruntime import import_onnxruntime
from oneglance.models.engines.providers import PROVIDERS, check_provider, installed_runtimes
from oneglance.models.zoo import resolve_model
from oneglance.streams.errors import DataError, OneglanceError, UsageError
from oneglance.streams.output_folder import OutputFolder
from oneglance.streams.outputs import write_file

FILE = "gpu.json"

COLD_S = 90.0
"""What a part may take at the least: on a machine that was just started, importing torch and
loading CUDA's libraries from its disk take longer than measuring."""
LIBRARIES = (
    *("onnxruntime", "onnxruntime-gpu", "onnxruntime-ep-nv-tensorrt-rtx", "tensorrt", "torch"),
    *("onnx", "numpy", "opencv-python", "opencv-python-headless", "av"),
)
NOT_SHOWN = (
    "Another card, driver or clock; power; several processes on one card; accuracy beyond the "
    "reference frames that the file carries."
)

Results = dict[str, Any]


def run(asked: argparse.Namespace) -> None:
    """Measure, or say what would be measured.

    Raises:
        OneglanceError: no such model, no GPU, or a results folder that is not ours.
    """
    model = resolve_model(asked.model)
    if asked.plan:
        print(plan(asked.model))
        return
    card = find_gpu()
    folder = asked.out or facts.RESULTS / f"{datetime.now(UTC):%Y-%m-%d}-gpu"
    out = OutputFolder(folder, "benchmark")
    out.claim()
    found = begin(folder / FILE, _circumstances(asked.model, card), again=asked.again)
    started = time.monotonic()
    for part in PARTS:
        if "figures" in found["parts"].get(part.name, {}):
            print(f"{part.title}: measured before", file=sys.stderr)
            continue
        left_s = asked.seconds - (time.monotonic() - started)
        found["parts"][part.name] = measured(part, model, left_s)
        write(found, folder)
    print(f"results: {folder / FILE}")


def find_gpu() -> str:
    """Name, driver and memory of the first NVIDIA GPU.

    Raises:
        UsageError: there is none.
    """
    command = [
        "nvidia-smi",
        "--query-gpu=name,driver_version,memory.total",
        "--format=csv,noheader",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        if name := torch_gpu().name:  # a container may have the card without that program
            return name
        raise _no_gpu("nvidia-smi cannot be run") from None
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        said = " ".join((done.stdout + done.stderr).split()) or "nothing"
        raise _no_gpu(f"nvidia-smi says: {said[:200]}")
    return lines[0].strip()


def _no_gpu(why: str) -> UsageError:
    return UsageError(
        f"there is no NVIDIA GPU here that can be used ({why}): this benchmark measures one; "
        "--plan says what it would do"
    )


@dataclass(frozen=True, slots=True)
class TorchGpu:
    """The first card that torch can use, by ``name``; or why there is none."""

    name: str
    problem: str


@cache
def torch_gpu() -> TorchGpu:
    """Asked in a process of its own: torch keeps gigabytes, and a driver that it does not fit may
    end the process."""
    if importlib.util.find_spec("torch") is None:
        return TorchGpu("", "torch not installed")
    command = [sys.executable, "-c", _ASK_TORCH]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=COLD_S, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return TorchGpu("", f"torch cannot be imported within {COLD_S:g} s")
    name, _, version = done.stdout.strip().partition("\n")
    if done.returncode or not version:
        last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        return TorchGpu("", f"torch finds no card: {last[:200]}")
    if name == "none":
        return TorchGpu("", f"torch {version} finds no card that it can use")
    return TorchGpu(name, "")


_ASK_TORCH = """
import torch
found = torch.cuda.is_available() and torch.cuda.get_device_name(0)
print(found or "none")
print(torch.__version__, "for CUDA", torch.version.cuda)
"""


def plan(model: str) -> str:
    """What would be measured here, in order, and what is missing for the rest."""
    problems = [_problem(part) for part in PARTS]
    about_s = sum(p.about_s for p, no in zip(PARTS, problems, strict=True) if not no)
    lines = [
        f"{model}: each part a process of its own, {FRAMES} timed calls; about {about_s} s in all"
    ]
    for part, problem in zip(PARTS, problems, strict=True):
        state = f"not here: {problem}" if problem else "would be measured"
        lines.append(f"- {part.name}: {part.title} ({part.by}), about {part.about_s} s: {state}")
    return "\n".join(lines)


def begin(file: Path, circumstances: Results, *, again: bool) -> Results:
    """The results so far, where they are of the same commit, card and model; else none.

    Raises:
        DataError: the file there holds something else.
    """
    fresh: Results = {"facts": circumstances, "parts": {}, "not shown": NOT_SHOWN}
    if again or not file.exists():
        return fresh
    try:
        found: Results = json.loads(file.read_text(encoding="utf-8"))
        same = all(
            found["facts"][key] == circumstances[key] for key in ("commit", "device", "model")
        )
        found["parts"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise DataError(
            f"{file} is not what this benchmark writes, or damaged: remove it, or give --again"
        ) from None
    return found if same else fresh


def measured(part: Part, model: Path, left_s: float) -> Results:
    """What a part found, or why it could not be measured."""
    problem = _problem(part)
    what: Results = {"title": part.title, "computed by": part.by, "precision": part.precision}
    if problem:
        return what | {"missing": problem}
    if left_s <= 0:
        return what | {"missing": "no time was left for it; run it again, it goes on from here"}
    print(f"{part.title}: about {part.about_s} s …", file=sys.stderr, flush=True)
    words = part.words(str(model), FRAMES)
    most_s = max(30.0, min(left_s, max(COLD_S, 3.0 * part.about_s)))
    try:
        figures = run_arm(Arm(part.name, part.title, "benchmarks.gpu", words, timeout_s=most_s))
    except ArmFailed as error:
        print(f"  not measured: {error}", file=sys.stderr, flush=True)
        return what | {"missing": str(error)}
    return what | {"figures": figures}


def _problem(part: Part) -> str:
    """What is missing here for a part, as far as can be seen without the card; "" for nothing."""
    if missing := part.missing():
        return f"{', '.join(missing)} not installed"
    if part.runtime != "onnxruntime":
        return torch_gpu().problem
    if part.device not in PROVIDERS:
        return ""
    try:
        check_provider(import_onnxruntime(), part.device)
    except OneglanceError as error:
        return str(error)
    return ""


def write(found: Results, folder: Path) -> None:
    """The results and a page of them."""
    write_file(folder / FILE, json.dumps(found, indent=2) + "\n")
    write_file(folder / "gpu.md", page(found))


def page(found: Results) -> str:
    """The results for people."""
    lines = ["# The network on an NVIDIA GPU", ""]
    lines += [f"- {key}: {value}" for key, value in found["facts"].items()]
    lines += ["", "| part | computed by | found |", "| --- | --- | --- |"]
    for part in found["parts"].values():
        figures = part.get("figures", {})
        words = "; ".join(f"{key} {value}" for key, value in figures.items())
        text = words or f"not measured: {part['missing']}"
        lines.append(f"| {part['title']} | {part['computed by']} | {text.replace('|', '/')} |")
    lines += ["", "Inside the timer: one call, copies to the card and back included; of the loop "]
    lines[-1] += "everything from decoding to tracking."
    lines += [f"Not shown: {found['not shown']}", ""]
    return "\n".join(lines)


def _circumstances(model: str, card: str) -> Results:
    return {
        "command": facts.command(),
        "commit": facts.commit(),
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M UTC}",
        "device": card,
        "host": facts.device(),
        "model": model,
        "libraries": facts.versions(LIBRARIES),
        "ONNX Runtime packages": ", ".join(installed_runtimes()) or "none",
    }
