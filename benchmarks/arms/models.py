"""Arm: one network or several over the same frames, decode and letterbox shared.

``sequence``: one after the other. ``threads``: each in a thread of its own. ``processes``:
each in a process of its own, the input in shared memory. ``default``: the engine's settings
as they come. ``tuned``: idle threads sleep, and the CPUs are shared out.
"""

from __future__ import annotations

import argparse
import functools
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arms import measuring
from benchmarks.arms.frames import endless
from benchmarks.arms.networks import Network, Settings, Tensor, input_size, load_library
from oneglance.models.cpus import available_cpus
from oneglance.models.engines.loading import DEFAULT_ENGINE, DEFAULT_PRECISION, PRECISIONS
from oneglance.models.letterbox import Boxes, Canvas

Ask = Callable[[Tensor], tuple[list[Boxes], dict[str, float]]]
"""Runs every network on an input: boxes of each, seconds of ``inference`` and ``postprocess``."""

Ready = tuple[Ask, tuple[int, int], list[int]]
"""What asks, the input's (width, height), and the processes that work for us."""


def main() -> None:
    arguments = measuring.parser(__doc__, model=False)
    arguments.add_argument("--models", type=Path, nargs="+", required=True)
    arguments.add_argument("--how", choices=tuple(HOW), required=True)
    arguments.add_argument("--setting", choices=("default", "tuned"), required=True)
    arguments.add_argument("--engine", choices=tuple(PRECISIONS), default=DEFAULT_ENGINE)
    arguments.add_argument("--precision", default=DEFAULT_PRECISION)
    options = arguments.parse_args()
    load_library(options.engine)
    before_mb = measuring.pss_mb()
    settings = settings_of(options, together=options.how != "sequence")
    with HOW[options.how](options.models, settings) as (ask, size, pids):
        everyone: list[int | str] = ["self", *pids]
        figures = measure(options, ask, size, everyone)
        memory_mb = measuring.pss_mb(everyone)
    figures |= {"pss_mb": memory_mb, "pss_before_mb": before_mb}
    measuring.answer(**figures, engine=options.engine, precision=options.precision)


def measure(
    options: argparse.Namespace, ask: Ask, size: tuple[int, int], pids: Sequence[int | str]
) -> dict[str, Any]:
    """Milliseconds of every timed frame, whole and by stage; cold start; CPU time; energy."""
    canvas, frames = Canvas(size), endless(options.clip)
    spent: list[dict[str, float]] = []
    first_s, count = None, 0
    for frame_number in range(options.warmup + options.frames):
        if frame_number == options.warmup:
            spent.clear()
            count = 0
            energy_j, cpu_s = measuring.energy_j(), _cpu_s(pids)
        began = time.perf_counter()
        image = next(frames).image  # decoded to BGR: images are made when they are asked for
        decoded = time.perf_counter()
        tensor, geometry = canvas.fill(image)
        prepared = time.perf_counter()
        boxes, stages = ask(tensor)
        asked = time.perf_counter()
        for found in boxes:
            count += len(geometry.to_source(found))
        ended = time.perf_counter()
        first_s = measuring.since_started_s() if first_s is None else first_s
        stages["postprocess"] += ended - asked
        spent.append(
            {"frame": ended - began, "decode": decoded - began, "preprocess": prepared - decoded}
            | stages
        )
    after_j = measuring.energy_j()
    return {
        "ms": {stage: [round(1e3 * frame[stage], 4) for frame in spent] for stage in spent[0]},
        "boxes": count,
        "first_s": first_s,
        "cpu_s": _cpu_s(pids) - cpu_s,
        "energy_j": None if energy_j is None or after_j is None else after_j - energy_j,
    }


def threads_for(models: int, *, tuned: bool, together: bool) -> int | None:
    """Threads of each session: all when they take turns, a share when they run together."""
    if not tuned:
        return None
    return max(1, available_cpus() // models) if together else available_cpus()


def settings_of(options: argparse.Namespace, *, together: bool) -> Settings:
    """Of every network of this arm."""
    tuned = options.setting == "tuned"
    return Settings(
        threads=threads_for(len(options.models), tuned=tuned, together=together),
        spinning=not tuned,
        engine=options.engine,
        precision=options.precision,
    )


@contextmanager
def sequence(models: Sequence[Path], settings: Settings) -> Iterator[Ready]:
    """One network after the other."""
    networks = [Network(model, settings) for model in models]

    def ask(tensor: Tensor) -> tuple[list[Boxes], dict[str, float]]:
        inference = postprocess = 0.0
        boxes = []
        for network in networks:
            began = time.perf_counter()
            output = network.infer(tensor)
            inferred = time.perf_counter()
            boxes.append(network.boxes(output).xyxy)
            inference += inferred - began
            postprocess += time.perf_counter() - inferred
        return boxes, {"inference": inference, "postprocess": postprocess}

    yield ask, networks[0].metadata.size, []


@contextmanager
def threads(models: Sequence[Path], settings: Settings) -> Iterator[Ready]:
    """Each network in a thread: inference is then the wall time of them all, boxes included."""
    networks = [Network(model, settings) for model in models]
    with ThreadPoolExecutor(len(networks)) as pool:

        def ask(tensor: Tensor) -> tuple[list[Boxes], dict[str, float]]:
            began = time.perf_counter()
            boxes = list(pool.map(lambda one: one.boxes(one.infer(tensor)).xyxy, networks))
            return boxes, {"inference": time.perf_counter() - began, "postprocess": 0.0}

        yield ask, networks[0].metadata.size, []


@contextmanager
def processes(models: Sequence[Path], settings: Settings) -> Iterator[Ready]:
    """Each network in a process; the input lies in memory that they share."""
    size = input_size(models[0], settings.engine)
    shape = (1, 3, size[1], size[0])
    context = multiprocessing.get_context("spawn")
    memory = SharedMemory(create=True, size=4 * math.prod(shape))
    lines, workers = [], []
    try:
        for model in models:
            ours, theirs = context.Pipe()
            work = Work(model, settings, memory.name, shape)
            worker = context.Process(target=_serve, args=(theirs, work), daemon=True)
            worker.start()
            theirs.close()
            lines.append(ours)
            workers.append(worker)
        for line in lines:
            line.recv()  # its session is loaded
        pids = [worker.pid for worker in workers if worker.pid is not None]
        yield functools.partial(_ask_workers, lines, memory), size, pids
    finally:
        for line in lines:
            line.close()
        for worker in workers:
            worker.join()
        memory.close()
        memory.unlink()


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker process gets: its model, its settings, where its inputs lie."""

    model: Path
    settings: Settings
    memory: str
    shape: tuple[int, ...]


def _ask_workers(
    lines: Sequence[Connection], memory: SharedMemory, tensor: Tensor
) -> tuple[list[Boxes], dict[str, float]]:
    began = time.perf_counter()
    np.copyto(np.ndarray(tensor.shape, np.float32, memory.buf), tensor)
    for line in lines:
        line.send(True)
    boxes = [line.recv() for line in lines]
    return boxes, {"inference": time.perf_counter() - began, "postprocess": 0.0}


def _serve(line: Connection, work: Work) -> None:
    network = Network(work.model, work.settings)
    memory = SharedMemory(name=work.memory)
    tensor = np.ndarray(work.shape, np.float32, memory.buf)
    line.send(True)
    try:
        while line.recv():
            line.send(network.boxes(network.infer(tensor)).xyxy)
    except EOFError:  # the measurement is over
        pass
    del tensor
    memory.close()


HOW = {"sequence": sequence, "threads": threads, "processes": processes}

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def _cpu_s(pids: Sequence[int | str]) -> float:
    """CPU seconds that the processes have used, in steps of a tick (10 ms)."""
    total = 0.0
    for pid in pids:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(words[11]) + int(words[12])) / _TICKS
    return total


if __name__ == "__main__":
    main()
