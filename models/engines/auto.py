"""``engine="auto"``: what runs this file fastest here, measured and not assumed.

No rule holds on every machine: bf16 needs its own instructions, a precision that is fast in one
engine is slow in another. So each engine that is installed, in each of its precisions, is loaded,
held to the file's reference frames and timed on a few inferences, in turns; the fastest is taken.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from oneglance.models.engines.engine import Engine
from oneglance.models.engines.loading import choices, load_engine
from oneglance.streams.errors import ModelError, OneglanceError

AUTO = "auto"

INFERENCES = 10
"""Of each, timed after one that is not."""

MOST_S = 3.0
"""All timing together; a slow machine times fewer of each, and three at the least."""

_LEAST = 3


@dataclass(frozen=True, slots=True)
class Tried:
    """One engine in one precision: ``median_ms`` of an inference, or why it cannot be used."""

    engine: str
    precision: str
    median_ms: float | None
    problem: str = ""

    def __str__(self) -> str:
        if self.median_ms is None:
            return f"{self.engine} {self.precision}: {self.problem}"
        return f"{self.engine} {self.precision} {self.median_ms:.1f} ms"


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine that was taken, and all that were tried, the fastest first."""

    engine: Engine
    tried: tuple[Tried, ...]

    @property
    def reason(self) -> str:
        """Why it was taken, in one phrase."""
        timed = [str(each) for each in self.tried if each.median_ms is not None]
        return "fastest here: " + ", ".join(timed)


def choose_engine(
    file: Path, *, precision: str | None = None, threads: int | None = None, check: bool = True
) -> Choice:
    """The engine and precision that run ``file`` fastest on this machine.

    ``precision``: only this one. ``threads``: CPUs one inference may use. ``check``: only what
    finds on the file's reference frames what it should.

    Raises:
        ModelError: the file cannot be loaded by any, or none computes what it should.
    """
    loaded: list[Engine] = []
    failed: list[Tried] = []
    errors: list[OneglanceError] = []
    for engine, each in choices():
        if precision not in {None, each}:
            continue
        try:
            loaded.append(
                load_engine(file, engine=engine, precision=each, threads=threads, check=check)
            )
        except OneglanceError as error:
            failed.append(Tried(engine, each, None, str(error)))
            errors.append(error)
    if not loaded:
        of_the_file = [error for error in errors if isinstance(error, ModelError)]
        if of_the_file and len({str(error) for error in of_the_file}) == 1:
            raise of_the_file[0]
        why = "; ".join(map(str, failed)) or f"no engine here computes in {precision}"
        raise ModelError(f"{file}: no engine can run it here ({why})")
    times_ms = _timed(loaded)
    order = sorted(range(len(loaded)), key=times_ms.__getitem__)
    tried = [Tried(loaded[i].name, loaded[i].precision, round(times_ms[i], 2)) for i in order]
    return Choice(loaded[order[0]], (*tried, *failed))


def _timed(engines: Sequence[Engine]) -> list[float]:
    """The median milliseconds of an inference of each, taken in turns: what else the machine does
    meanwhile is shared."""
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
