"""Engines tried with a model file, in a process of their own.

What they leave in memory is gone with that process (two libraries and all their compiled models
would take twice as much as the engine that is kept), and one that crashes takes no run with it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from oneglance.models.engines.accuracy_gate import gate_problem
from oneglance.models.engines.engine import Engine
from oneglance.models.engines.loading import load_engine
from oneglance.models.engines.providers import CPU
from oneglance.streams.errors import ModelError, OneglanceError

INFERENCES = 10
"""Of each, timed after one that is not."""

MOST_S = 3.0
"""All timing together; a slow machine times fewer of each, and three at the least."""

LONGEST_S = 120.0
"""After so long a process that still tries is ended."""

_LEAST = 3
_MARK = "@@trial "


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine in one precision on one device, the file that it is to run, and where what is
    compiled for it is kept (see ``load_engine``)."""

    engine: str
    precision: str
    file: Path
    device: str = CPU
    cache: Path | None = None
    ungated: bool = False
    """Also a file that says that it did not pass the accuracy gate, or was never held to it."""

    def load(self, *, threads: int | None, check: bool) -> Engine:
        """The engine; see ``load_engine``."""
        return load_engine(
            self.file,
            engine=self.engine,
            precision=self.precision,
            device=self.device,
            cache=self.cache,
            threads=threads,
            check=check,
        )

    def failed(self, problem: str, *, is_of_file: bool = False) -> Tried:
        """Why it cannot be used."""
        return Tried(self.engine, self.precision, None, problem, is_of_file, self.device)


@dataclass(frozen=True, slots=True)
class Tried:
    """One engine in one precision on one device: ``median_ms`` of an inference, or why it cannot
    be used.

    ``is_of_file``: the problem is one of the file, not of the machine.
    """

    engine: str
    precision: str
    median_ms: float | None
    problem: str = ""
    is_of_file: bool = False
    device: str = CPU

    def __str__(self) -> str:
        where = "" if self.device == CPU else f"{self.device} "
        if self.median_ms is None:
            return f"{self.engine} {where}{self.precision}: {self.problem}"
        return f"{self.engine} {where}{self.precision} {self.median_ms:.1f} ms"


def try_apart(candidates: Sequence[Candidate], *, threads: int | None, check: bool) -> list[Tried]:
    """One ``Tried`` for each candidate, in their order, found in another process.

    A candidate that ends the process, or never answers, is one that cannot be used; the others
    are tried again without it. Where no process can be started (a program without an interpreter
    of its own), they are tried in this one.
    """
    crashed: dict[Candidate, Tried] = {}
    while left := [each for each in candidates if each not in crashed]:
        try:
            lines, end = _run(left, threads, check)
        except OSError:
            lines, end = [], ""
        if not (lines or end):
            lines = list(try_here(left, threads=threads, check=check))
        found = [line for line in lines if isinstance(line, Tried)]
        if len(found) == len(left):
            known = dict(zip(left, found, strict=True)) | crashed
            return [known[each] for each in candidates]
        begun = sum(isinstance(line, int) for line in lines)
        culprit = left[max(begun, 1) - 1]
        crashed[culprit] = culprit.failed(end)
    return [crashed[each] for each in candidates]


def try_here(
    candidates: Sequence[Candidate], *, threads: int | None, check: bool
) -> Iterator[int | Tried]:
    """The number of each candidate when it begins, to be loaded and then to be timed; in the end
    what was found of each, in their order."""
    loaded: dict[int, Engine] = {}
    failed: dict[int, Tried] = {}
    for number, each in enumerate(candidates):
        yield number
        try:
            loaded[number] = _loaded(each, threads, check)
        except OneglanceError as error:
            failed[number] = each.failed(str(error), is_of_file=isinstance(error, ModelError))
    times_ms = dict(zip(loaded, timed(list(loaded.values())), strict=True))
    for number, each in enumerate(candidates):
        if number in failed:
            yield failed[number]
        else:
            median_ms = round(times_ms[number], 2)
            yield Tried(each.engine, each.precision, median_ms, device=each.device)


def _loaded(candidate: Candidate, threads: int | None, check: bool) -> Engine:
    engine = candidate.load(threads=threads, check=check)
    problem = "" if candidate.ungated else gate_problem(engine.metadata)
    if problem:
        raise ModelError(
            f"{candidate.file} {problem}, so auto does not choose it: give the float model that it "
            "was made from, or name the precision, too (--precision), to run it all the same"
        )
    return engine


def timed(engines: Sequence[Engine]) -> list[float]:
    """The median milliseconds of an inference of each, taken in turns: what else the machine does
    meanwhile is shared."""
    if not engines:
        return []
    width, height = engines[0].metadata.size
    tensor = np.full((1, 3, height, width), 0.5, np.float32)
    taken_ms: list[list[float]] = [[] for _ in engines]
    for engine in engines:
        engine.run(tensor)  # the first one prepares
    started_s = time.perf_counter()
    for turn in range(INFERENCES):
        if turn >= _LEAST and time.perf_counter() - started_s > MOST_S:
            break
        for engine, times_ms in zip(engines, taken_ms, strict=True):
            times_ms.append(1000 * engine.run(tensor)[1])
    return [median(times_ms) for times_ms in taken_ms]


def _run(
    candidates: Sequence[Candidate], threads: int | None, check: bool
) -> tuple[list[int | Tried], str]:
    """What another process said, and how it ended; nothing of both where it could not begin.

    Raises:
        OSError: it could not be started.
    """
    asked = {
        "candidates": [
            [
                *(each.engine, each.precision, str(each.file), each.device),
                None if each.cache is None else str(each.cache),
                each.ungated,
            ]
            for each in candidates
        ],
        "threads": threads,
        "check": check,
    }
    paths = [os.path.abspath(path) for path in sys.path]  # noqa: PTH100 - "" is where we are
    process = subprocess.Popen(  # noqa: S603 - this interpreter, and a module of ours
        [sys.executable, "-P", "-m", __name__],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        errors="replace",
    )
    try:
        output, _ = process.communicate(json.dumps(asked), timeout=LONGEST_S)
        end = f"it ended the process that tried it (exit code {process.returncode})"
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        end = f"it had not answered after {LONGEST_S:g} s"
    finally:
        if process.poll() is None:  # we were interrupted
            process.kill()
            process.wait()
    said = [json.loads(line.removeprefix(_MARK)) for line in _answers(output)]
    if not said and process.returncode > 0:
        return [], ""  # no interpreter of ours: it did not come to trying
    return [line if isinstance(line, int) else Tried(**line) for line in said], end


def _answers(output: str) -> list[str]:
    """The whole lines that are ours: libraries print, too, and a crash cuts a line."""
    return [line for line in output.split("\n")[:-1] if line.startswith(_MARK)]


def _main() -> None:
    asked: dict[str, Any] = json.load(sys.stdin)
    candidates = [
        Candidate(
            *(engine, precision, Path(file), device, None if cache is None else Path(cache)),
            ungated=ungated,
        )
        for engine, precision, file, device, cache, ungated in asked["candidates"]
    ]
    for line in try_here(candidates, threads=asked["threads"], check=asked["check"]):
        content = line if isinstance(line, int) else _as_dict(line)
        sys.stdout.write(f"\n{_MARK}{json.dumps(content)}\n")
        sys.stdout.flush()


def _as_dict(tried: Tried) -> dict[str, Any]:
    return {name: getattr(tried, name) for name in Tried.__slots__}


if __name__ == "__main__":
    _main()
