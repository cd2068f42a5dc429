"""What importing us does: little, quickly, and never torch."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Set
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("benchmarks", "models", "perception", "streams")
DOORS = ("oneglance.models", "oneglance.perception", "oneglance.streams")
HEAVY = {"torch", "torchvision", "ultralytics", "onnx", "onnxslim", "matplotlib", "scipy"}
"""Also those that supervision brings: half a second that start-up should not cost."""
ENGINES = {"onnxruntime", "openvino"}
EXTRAS = {"mcap", "prometheus_client", "rosbags", "starlette", "uvicorn", "websockets"}


def modules_of(room: str) -> list[str]:
    """Every module of a room that this installation can import, the training room's left out."""
    left_out = {"training", "plugin_package"}
    if importlib.util.find_spec("starlette") is None:
        left_out.add("server")  # the extra ``serve``
    found = []
    for file in sorted((ROOT / room).rglob("*.py")):
        words = file.relative_to(ROOT).with_suffix("").parts
        if not left_out & set(words):
            found.append(".".join(("oneglance", *words)).removesuffix(".__init__"))
    return found


def fresh(program: str) -> str:
    """What a new interpreter prints when it runs ``program``."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=os.sep,  # in the root of the project a bare `import models` would find ours
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@cache
def loaded_by(*names: str) -> set[str]:
    """The top-level packages that importing ``names`` loads."""
    program = f"import json, sys, {', '.join(names)}; print(json.dumps(list(sys.modules)))"
    return {module.split(".")[0] for module in json.loads(fresh(program))}


@pytest.mark.parametrize("door", DOORS)
def test_a_door_opens_without_anything_heavy(door: str) -> None:
    loaded = loaded_by(door)
    assert "oneglance" in loaded
    assert not loaded & (HEAVY | ENGINES | EXTRAS)


@pytest.mark.parametrize("room", ["models", "perception", "streams"])
def test_no_module_outside_training_imports_torch_or_an_engine(room: str) -> None:
    modules = modules_of(room)
    assert len(modules) > 5
    assert not loaded_by(*modules) & (HEAVY - {"matplotlib", "scipy"} | ENGINES)


@pytest.mark.parametrize("room", ["models", "perception", "streams"])
def test_no_module_imports_what_the_extra_for_batches_brings(room: str) -> None:
    assert not loaded_by(*modules_of(room)) & {"pyarrow", "fsspec", "aiohttp", "s3fs"}


def test_streams_open_without_opencv_and_pyav() -> None:
    assert not loaded_by("oneglance.streams") & {"cv2", "av", "onnxruntime"}


def test_streams_know_nobody_and_models_know_no_stream() -> None:
    program = "import json, sys, {}; print(json.dumps(list(sys.modules)))"
    streams = json.loads(fresh(program.format("oneglance.streams")))
    assert not [m for m in streams if m.startswith(("oneglance.models", "oneglance.perception"))]
    models = json.loads(fresh(program.format("oneglance.models")))
    assert not [m for m in models if m.startswith("oneglance.perception")]


def test_no_modules_import_each_other() -> None:
    """Not even within functions, or for their types alone."""
    files = [file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))]
    names = {module_name(file): file for file in files}
    graph = {name: imported_by(file, names.keys()) - {name} for name, file in names.items()}
    assert len(graph) > 300
    assert tuple(TopologicalSorter(graph).static_order())  # raises CycleError, which names them


def module_name(file: Path) -> str:
    words = file.relative_to(ROOT).with_suffix("").parts
    prefix = () if words[0] == "benchmarks" else ("oneglance",)
    return ".".join((*prefix, *words)).removesuffix(".__init__")


def imported_by(file: Path, known: Set[str]) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            of = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= of & known or {node.module}
    return found & known


def test_importing_the_plugin_takes_less_than_a_second() -> None:
    # CPU time: the same as on the wall, but for what else the machine is doing.
    program = """
import time
started_s = time.process_time()
import oneglance.perception
print(time.process_time() - started_s)
"""
    assert min(float(fresh(program)) for _ in range(3)) < 1.0


def test_importing_changes_nothing_of_the_program_around() -> None:
    program = """
import logging, signal, threading, warnings
def state():
    return (
        threading.active_count(), logging.root.handlers[:], logging.root.level,
        [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)], warnings.filters[:],
    )
import numpy, cv2, onnxruntime  # they are free to do as they like
before, cv2_threads = state(), cv2.getNumThreads()
import oneglance.models, oneglance.perception, oneglance.perception.cli.main, oneglance.streams
assert state() == before, (state(), before)
assert cv2.getNumThreads() == cv2_threads
"""
    assert fresh(program) == ""


@pytest.mark.parametrize("door", DOORS)
def test_what_a_door_offers_is_there_and_explained(door: str) -> None:
    package = importlib.import_module(door)
    assert package.__doc__
    offered = package.__all__
    assert offered == sorted(set(offered), key=offered.index)  # each once
    for name in offered:
        assert not name.startswith("_")
        thing = getattr(package, name)
        assert thing.__module__.startswith("oneglance."), name
        assert vars(thing).get("__doc__") if inspect.isclass(thing) else inspect.getdoc(thing), (
            f"{door}.{name} is not explained"
        )


@pytest.mark.parametrize("door", DOORS)
def test_a_door_offers_all_that_it_imports(door: str) -> None:
    package = importlib.import_module(door)
    for name in package.__all__:  # some are imported when they are asked for
        getattr(package, name)
    imported = {
        name
        for name, thing in vars(package).items()
        if not name.startswith("_") and not inspect.ismodule(thing)
    }
    assert imported == set(package.__all__)
