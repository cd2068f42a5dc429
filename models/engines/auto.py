"""``engine="auto"``: what runs this file fastest here, measured and not assumed.

No rule holds on every machine: bf16 needs its own instructions, a precision that is fast in one
engine is slow in another. So each engine that is installed, in each of its precisions, is loaded,
held to the file's reference frames and timed on a few inferences, in turns; the fastest is taken.
All this in a process of its own, see ``trial``.

It is not the default, by measurement (road4-n on two CPUs, 2026-11-27). With bf16 it takes that:
11.3 to 15.5 ms an inference, ONNX Runtime fp32 17.4 to 22.3, so 1.45 to 1.55 times as quick. On
AVX2 alone (``ONEDNN_MAX_CPU_ISA=AVX2``) and in the base install, which has one engine, it takes
what is the default anyway. Trying costs 1.8 to 3.0 s at every start, 1.2 to 1.6 s where there is
nothing to choose from (a start without it: 0.2 to 0.9). And bf16 moves scores by up to 0.014: the
same command would show other boxes on another machine. So who wants speed asks for it.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from oneglance.models.engines.accuracy_gate import gate_problem
from oneglance.models.engines.engine import Engine
from oneglance.models.engines.loading import KEEPING, choices, device_choices
from oneglance.models.engines.providers import CPU
from oneglance.models.engines.self_check import SelfCheck, self_check
from oneglance.models.engines.trial import Candidate, Tried, try_apart
from oneglance.streams.errors import ModelError, OneglanceError

logger = logging.getLogger(__name__)

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine that was taken, and all that were tried, the fastest first.

    ``checked``: what the self-check found of it. ``seconds``: what trying took; loading not.
    """

    engine: Engine
    tried: tuple[Tried, ...]
    checked: SelfCheck | None = None
    seconds: float = 0.0

    @property
    def reason(self) -> str:
        """Why it was taken and what finding that took, in one phrase; and what the file itself
        says against it."""
        timed = [str(each) for each in self.tried if each.median_ms is not None]
        took = f" (tried in {self.seconds:.1f} s)" if self.seconds else ""
        problem = gate_problem(self.engine.metadata)
        against = f"; its file {problem}" if problem else ""
        return f"fastest here: {', '.join(timed)}{took}{against}"


def choose_engine(
    file: Path,
    *,
    precision: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    cache: Path | None = None,
    check: bool = True,
) -> Choice:
    """The engine and precision that run ``file`` fastest on this machine.

    ``precision``, ``device``: only this one. ``threads``: CPUs one inference may use. ``cache``:
    see ``load_engine``. ``check``: only what finds on the file's reference frames what it should.
    A file that says that it did not pass the accuracy gate, or was not held to it, is taken only
    where its precision is asked for; one that says nothing of a gate is judged by the self-check.

    Raises:
        ModelError: the file cannot be loaded by any, or none computes what it should, or it did
            not pass the gate.
    """
    started_s = time.perf_counter()
    candidates = [
        Candidate(
            *(engine, each, file, where),
            cache=cache if where == KEEPING else None,
            ungated=precision is not None,
        )
        for engine, each, where in (*((*pair, CPU) for pair in choices()), *device_choices())
        if precision in {None, each} and device in {None, where}
    ]
    tried = try_apart(candidates, threads=threads, check=check)
    seconds = time.perf_counter() - started_s
    failed = [each for each in tried if each.median_ms is None]
    order = sorted(
        (i for i, each in enumerate(tried) if each.median_ms is not None),
        key=lambda i: tried[i].median_ms or 0.0,
    )
    while order:
        best, *others = order
        chosen = candidates[best]
        try:
            engine = chosen.load(threads=threads, check=False)
            checked = self_check(engine, origin=str(file)) if check else None
        except OneglanceError as error:  # there, but not here: memory may have run short
            logger.warning("%s %s: %s", chosen.engine, chosen.precision, error)
            failed.append(chosen.failed(str(error)))
            order = others
            continue
        return Choice(engine, (*(tried[i] for i in order), *failed), checked, seconds)
    raise _none_can(file, precision, device, failed)


def _none_can(
    file: Path, precision: str | None, device: str | None, failed: list[Tried]
) -> ModelError:
    of_file = {each.problem for each in failed if each.is_of_file}
    if len(of_file) == 1:
        return ModelError(*of_file)
    asked = (f"in {precision}" if precision else "", f"on {device}" if device else "")
    why = "; ".join(map(str, failed)) or f"no engine here computes {' '.join(filter(None, asked))}"
    return ModelError(f"{file}: no engine can run it here ({why})")
