"""Arms: measurements in processes of their own, taken in turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.arms.measuring import MARK, STARTED

ROOT = Path(__file__).resolve().parent.parent

Answer = Mapping[str, Any]


class ArmFailed(Exception):
    """An arm gave no answer; the message says why in one line."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One measurement. ``module`` is run with ``python -m``; ``cpus`` restricts it to so many.

    ``python`` is the interpreter, and so the environment, that runs it.
    """

    name: str
    label: str
    module: str
    arguments: tuple[str, ...] = ()
    python: Path = Path(sys.executable)
    cpus: int | None = None
    timeout_s: float = 300.0


@dataclass(slots=True)
class Measured:
    """What arms answered: ``answers[arm name]`` has one entry a round, in the rounds' order.

    An arm that failed in any round has no entry, and ``holes`` has a sentence about it.
    """

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    holes: list[str] = field(default_factory=list)


def measure(arms: Sequence[Arm], *, rounds: int) -> Measured:
    """Run every arm once, then every arm once more, ``rounds`` times: A B C A B C."""
    found: dict[str, list[Answer]] = {arm.name: [] for arm in arms}
    failed: dict[str, str] = {}
    for number in range(1, rounds + 1):
        for arm in arms:
            if arm.name in failed:
                continue
            print(f"  round {number}/{rounds}: {arm.label} …", file=sys.stderr, end="", flush=True)
            started = time.monotonic()
            try:
                found[arm.name].append(run_arm(arm))
                print(f" {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
            except ArmFailed as error:
                failed[arm.name] = f"{arm.label}: not measured: {error}"
                print(f" not measured: {error}", file=sys.stderr, flush=True)
    answers = {name: given for name, given in found.items() if name not in failed}
    return Measured(answers, list(failed.values()))


def run_arm(arm: Arm) -> Answer:
    """The arm's answer.

    Raises:
        ArmFailed: no interpreter, a failure, a time-out or no answer.
    """
    if not arm.python.exists():
        raise ArmFailed(f"no Python at {arm.python} (benchmarks/README.md says how to make one)")
    command = [str(arm.python), "-P", "-m", arm.module, *arm.arguments]
    environment = {
        **found_here(),
        STARTED: repr(time.monotonic()),
        "PYTHONWARNINGS": "ignore",
    }
    with _cpus(arm.cpus):
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    try:
        output, errors = process.communicate(timeout=arm.timeout_s)
    except subprocess.TimeoutExpired:
        raise ArmFailed(f"it took more than {arm.timeout_s:g} s") from None
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    answers = [line for line in output.splitlines() if line.startswith(MARK)]
    if process.returncode or not answers:
        raise ArmFailed(_last_words(errors) or f"exit code {process.returncode}, no answer")
    found: Answer = json.loads(answers[-1].removeprefix(MARK))
    return found


def found_here() -> dict[str, str]:
    """This environment, in which a new interpreter finds ``benchmarks`` from any folder."""
    others = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *([others] if others else [])])}


def _last_words(errors: str) -> str:
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


@contextmanager
def _cpus(count: int | None) -> Iterator[None]:
    """What is started inside may use ``count`` CPUs only: children inherit the mask."""
    if count is None:
        yield
        return
    if not hasattr(os, "sched_setaffinity"):
        raise ArmFailed("this system cannot restrict a process to some CPUs")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
