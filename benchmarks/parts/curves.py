"""Frames a second against CPUs and against input size, for one network and for four."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks import facts, options
from benchmarks.options import Options
from benchmarks.parts import one_vs_four
from benchmarks.parts.derived_models import at_size, cut_all
from benchmarks.processes import Answer, Arm, measure
from benchmarks.report import intervals, results
from benchmarks.report.results import Part
from oneglance.models.cpus import available_cpus
from oneglance.streams.errors import ModelError

SIZES = ((320, 192), (480, 288), (640, 384), (960, 576))
SETTINGS = (("one", "sequence"), ("four", "sequence"), ("four", "threads"))


def core_counts(cpus: int) -> list[int]:
    """Each count up to four, then doubling, then all.

    >>> core_counts(2), core_counts(12)
    ([1, 2], [1, 2, 3, 4, 8, 12])
    """
    counts = [*range(1, min(cpus, 4) + 1)]
    while counts[-1] * 2 < cpus:
        counts.append(counts[-1] * 2)
    return counts if counts[-1] == cpus else [*counts, cpus]


def measure_curves(asked: Options) -> Part:
    """Both curves, tuned settings only."""
    part = Part(
        part="curves",
        title="Against CPUs and input size",
        facts=facts.gather(asked.model, asked.clip),
        timer="one frame from the start of its decoding to the boxes of all four tasks, a frame "
        "at a time, ONNX Runtime tuned; the first frames are left out",
        silent_on=[
            "accuracy at other input sizes: the network was trained for one",
            "more CPUs than this machine has",
        ],
    )
    with tempfile.TemporaryDirectory() as folder:
        arms = _core_arms(asked, Path(folder)) + _size_arms(asked, Path(folder), part)
        measured = measure(arms, rounds=asked.rounds)
    part.holes += measured.holes
    for axis, title in (("cores", "CPUs"), ("size", "input size")):
        _keep(part, [arm for arm in arms if arm.name.startswith(axis)], measured.answers, title)
    return part


def _core_arms(asked: Options, folder: Path) -> list[Arm]:
    four = list(cut_all(asked.model, folder / "cores").values())
    return [
        replace(_arm(asked, [asked.model], four, setting), name=f"cores.{cpus}.{name}", cpus=cpus)
        for cpus in core_counts(available_cpus())
        for setting in SETTINGS
        for name in [".".join(setting)]
    ]


def _size_arms(asked: Options, folder: Path, part: Part) -> list[Arm]:
    if asked.weights is None:
        part.holes.append(
            "input sizes: not measured without the network's weights (--weights model.pt; they "
            "are exported at each size, which needs the 'train' extra)"
        )
        return []
    arms = []
    for size in SIZES:
        name = f"{size[0]}x{size[1]}"
        try:
            model = at_size(asked.weights, size, folder)
            four = list(cut_all(model, folder / name).values())
        except ModelError as error:
            part.holes.append(f"input size {name}: not measured: {error}")
            continue
        arms += [
            replace(_arm(asked, [model], four, setting), name=f"size.{name}.{'.'.join(setting)}")
            for setting in SETTINGS
        ]
    return arms


def _arm(asked: Options, one: list[Path], four: list[Path], setting: tuple[str, str]) -> Arm:
    models, how = (one if setting[0] == "one" else four), setting[1]
    return one_vs_four.arm(asked, models, how, "tuned")


def _keep(part: Part, arms: list[Arm], answers: dict[str, list[Answer]], title: str) -> None:
    """Figures ``<axis>.<x>.<one|four>.<how>.fps`` and a table with a row for each x."""
    middle: dict[tuple[str, str], float] = {}
    for arm in arms:
        if arm.name not in answers:
            continue
        _, x, setting = arm.name.split(".", 2)
        rates = [[_rate(answer)] for answer in answers[arm.name]]
        figure = part.add(
            f"{arm.name}.fps", f"{arm.label}, {title} {x}", rates, unit="frames/s", better="higher"
        )
        middle[x, setting] = figure.median
    rows = []
    for x in dict.fromkeys(x for x, _ in middle):
        found = [middle.get((x, ".".join(setting))) for setting in SETTINGS]
        rows.append((x, *(results.NONE if f is None else f"{f:.1f}" for f in found)))
    if rows:
        columns = (title, "one", "four, in sequence", "four, in threads")
        part.tables.append(results.Table(f"Frames a second against {title}", columns, tuple(rows)))


def _rate(answer: Answer) -> float:
    return 1e3 / intervals.median(answer["ms"]["frame"])


if __name__ == "__main__":
    options.main(measure_curves, __doc__, rounds=2, frames=30)
