"""The models of the zoo in ONNX Runtime's fp32 and in what ``--engine auto`` takes here: what the
larger input costs at its best, and whether auto takes the fastest."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks import facts, options
from benchmarks.options import Options
from benchmarks.parts.throughput import rate, took
from benchmarks.processes import Answer, Arm, Measured, measure
from benchmarks.report import intervals, results
from benchmarks.report.results import Part
from oneglance.models.engines.auto import AUTO
from oneglance.models.engines.loading import DEFAULT_ENGINE, PRECISIONS
from oneglance.models.engines.openvino import INT8
from oneglance.models.zoo import DEFAULT, ZooEntry, list_zoo
from oneglance.streams.errors import UsageError

LARGE = "road4-n-960"

MOST_OF_DEFAULT = 1.4
"""What ``LARGE`` in its best engine costs at most, of the default model in ONNX Runtime's fp32,
where the CPU has instructions for a lower precision."""


@dataclass(frozen=True, slots=True)
class How:
    """An engine, and the precision where it is not left to it."""

    engine: str
    precision: str | None = None

    @property
    def name(self) -> str:
        """``openvino_bf16``, ``auto``."""
        return "_".join(filter(None, (self.engine, self.precision)))


FIXED = How(DEFAULT_ENGINE, "fp32")
CHOSEN = How(AUTO)


def ways(entry: ZooEntry) -> list[How]:
    """How a model is run; the default one in every engine and precision."""
    every = [How(engine, each) for engine, known in PRECISIONS.items() for each in known]
    every = [how for how in every if (how.precision == INT8) == entry.is_quantised]
    first, *others = every
    return [first, *(others if entry.name == DEFAULT else ()), CHOSEN]


def arms(asked: Options) -> dict[tuple[str, How], Arm]:
    """``oneglance run`` of each model in each way."""
    command = Path(sys.executable).with_name("oneglance")
    if not command.exists():
        raise UsageError(f"no command {command}: install oneglance into this environment first")
    found = {}
    for entry in list_zoo():
        for how in ways(entry):
            given = (
                *("--model", str(entry.path), "--clip", asked.clip, "--engine", how.engine),
                *(() if how.precision is None else ("--precision", how.precision)),
                *("--frames", str(asked.frames), "--warmup", str(asked.warmup)),
                *("--command", str(command)),
            )
            name = f"{entry.name}.{how.name}"
            label = f"{entry.name}, {how.name.replace('_', ' ')}"
            found[entry.name, how] = Arm(name, label, "benchmarks.arms.command", given)
    return found


def measure_engines(asked: Options) -> Part:
    """All of it; a precision that this CPU has not is a hole."""
    part = Part(
        part="engines",
        title="Models and engines",
        facts=facts.gather(asked.model, asked.clip),
        timer="oneglance run: wall time between frames finished, decode to JSON Lines; CPU time "
        "of the process between the same frames. What auto needs to choose is not in it",
        silent_on=[
            "accuracy: the models' cards have it, for each input size",
            "accelerators",
        ],
    )
    chosen = arms(asked)
    measured = measure(list(chosen.values()), rounds=asked.rounds)
    part.holes += measured.holes
    rows = [_row(part, arm, measured.answers[arm.name]) for arm in _known(chosen, measured)]
    part.tables.append(results.Table("Models and engines", COLUMNS, tuple(rows)))
    _claims(part, chosen, measured)
    return part


COLUMNS = ("model, engine", "took", "frames/s", "CPU ms a frame", "peak MB")


def _known(chosen: dict[tuple[str, How], Arm], measured: Measured) -> list[Arm]:
    return [arm for arm in chosen.values() if arm.name in measured.answers]


def _row(part: Part, arm: Arm, answers: list[Answer]) -> tuple[str, ...]:
    rates = [[rate(answer)] for answer in answers]
    figure = part.add(f"{arm.name}.fps", arm.label, rates, unit="frames/s", better="higher")
    spent_ms = [answer["cpu_ms"] for answer in answers if answer["cpu_ms"] is not None]
    memory = intervals.median([answer["peak_mb"] for answer in answers])
    cpu = f"{intervals.median(spent_ms):.1f}" if spent_ms else results.NONE
    return arm.label, took(answers), f"{figure.median:.1f}", cpu, f"{memory:.0f}"


def _claims(part: Part, chosen: dict[tuple[str, How], Arm], measured: Measured) -> None:
    def rates(model: str, how: How) -> list[list[float]] | None:
        arm = chosen.get((model, how))
        answers = [] if arm is None else measured.answers.get(arm.name, [])
        return [[rate(answer)] for answer in answers] or None

    default, large, auto = rates(DEFAULT, FIXED), rates(LARGE, CHOSEN), rates(DEFAULT, CHOSEN)
    if default and large:
        part.claim(
            "large_over_default",
            f"time a frame: {LARGE}, auto, over {DEFAULT} in ONNX Runtime fp32",
            intervals.ratio(default, large),
            at_most=MOST_OF_DEFAULT if facts.computes_low_precision() else None,
        )
    others = [each for how in ways_of(chosen) if how != CHOSEN and (each := rates(DEFAULT, how))]
    if auto and others:
        best = max(others, key=lambda each: intervals.median([r for one in each for r in one]))
        part.claim(
            "auto_over_best",
            f"{DEFAULT}, auto over the fastest engine and precision, in rate",
            intervals.ratio(auto, best),
        )


def ways_of(chosen: dict[tuple[str, How], Arm]) -> list[How]:
    """Those of the default model."""
    return [how for model, how in chosen if model == DEFAULT]


if __name__ == "__main__":
    options.main(measure_engines, __doc__, rounds=2, frames=80)
