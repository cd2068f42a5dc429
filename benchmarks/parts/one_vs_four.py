"""One network for four tasks against four networks for one task each, on the same frames.

The four-task model is held to the best setting of the four: in sequence, in threads or in
processes, with the engine's defaults or tuned, a frame at a time; and in rate, with frames side by
side. ``--engine`` and ``--precision`` are all arms'.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

from benchmarks import facts, options
from benchmarks.arms.networks import input_size
from benchmarks.options import Options
from benchmarks.processes import Answer, Arm, measure
from benchmarks.report import intervals, results
from benchmarks.report.results import Part
from oneglance.models.detector import Detector
from oneglance.models.tasks import Task
from oneglance.streams.errors import ModelError

HOWS = ("sequence", "threads", "processes")
SETTINGS = ("default", "tuned")
AT_MOST = 0.30
STAGES = ("decode", "preprocess", "inference", "postprocess")


def four_models(asked: Options, folder: Path, part: Part) -> list[Path]:
    """The four single-task models: trained ones where given, cut ones (and a hole) otherwise.

    Raises:
        ModelError: a given model is missing, serves another task or has another input size.
    """
    if asked.four is None:
        from benchmarks.parts.derived_models import cut_all

        part.facts["four models"] = "cut from the four-task model: every layer the same"
        part.holes.append(
            "the four single-task models were not trained but cut from the four-task one "
            "(--single-task or --study gives trained ones): latency, memory and bytes are those of "
            "four such networks, accuracy is not reported"
        )
        return list(cut_all(asked.model, folder).values())
    part.facts["four models"] = "trained, one for each task"
    four = {task: trained(asked, task) for task in Task}
    part.facts |= facts.of_the_four(four)
    return list(four.values())


def trained(asked: Options, task: Task) -> Path:
    """The trained single-task model of ``task``, checked against the four-task one.

    Raises:
        ModelError: missing, of another task, or of another input size.
    """
    assert asked.four is not None
    file = asked.four[task]
    if not file.is_file():
        raise ModelError(
            f"no single-task model {file}: train it, or leave --single-task (--study) out to use "
            "models cut from the four-task one"
        )
    size = input_size(asked.model)
    found = Detector.load(file, threads=1).metadata
    if {c.task for c in found.classes} != {task}:
        raise ModelError(f"{file} is no model of {task.value} alone")
    if found.size != size:
        raise ModelError(
            f"{file} takes {found.size[0]}x{found.size[1]}, the four-task model "
            f"{size[0]}x{size[1]}: export both at one size"
        )
    return file


def arm(asked: Options, models: list[Path], how: str, setting: str) -> Arm:
    """One model goes in sequence; its label does not say so."""
    many = len(models) > 1
    name = f"{'four' if many else 'one'}_{how}_{setting}"
    label = f"four, {_WORDS[how]}, {setting}" if many else f"one, {setting}"
    arguments = (
        *("--models", *map(str, models), "--clip", asked.clip, "--frames", str(asked.frames)),
        *("--warmup", str(asked.warmup), "--how", how, "--setting", setting),
        *("--engine", asked.engine, "--precision", asked.precision),
    )
    return Arm(name, label, "benchmarks.arms.models", arguments)


def abreast(asked: Options, models: list[Path]) -> Arm:
    """Frames side by side, each network with one thread."""
    one = "four" if len(models) > 1 else "one"
    arguments = (
        *("--models", *map(str, models), "--clip", asked.clip, "--frames", str(asked.frames)),
        *("--warmup", str(asked.warmup), "--engine", asked.engine, "--precision", asked.precision),
    )
    return Arm(f"{one}_abreast", one, "benchmarks.arms.abreast", arguments)


_WORDS = {"sequence": "in sequence", "threads": "in threads", "processes": "in processes"}


def measure_one_vs_four(asked: Options) -> Part:
    """Latency, memory, CPU time and cold start of all settings."""
    part = Part(
        part="one_vs_four",
        title="One network against four",
        facts=facts.gather(asked.model, asked.clip),
        timer="one frame from the start of its decoding to the boxes of all four tasks in its "
        "pixels: decode, letterbox (shared by the four), inference, NMS. For threads and "
        "processes inference is the wall time of all four, NMS included. The first frames are "
        "left out; cold start is reported apart: from asking for the process to its first result",
        silent_on=[
            "memory with frames side by side: each thread there has networks of its own",
            "tracking and outputs, which cost the same after one network or four",
            "accelerators, where four small networks may leave the device idle or fill it",
        ],
    )
    part.facts["engine of all"] = f"{asked.engine} {asked.precision}"
    with tempfile.TemporaryDirectory() as folder:
        four = four_models(asked, Path(folder), part)
        arms = [arm(asked, [asked.model], "sequence", setting) for setting in SETTINGS]
        arms += [arm(asked, four, how, setting) for how in HOWS for setting in SETTINGS]
        part.facts["model bytes of the four"] = sum(file.stat().st_size for file in four)
        side_by_side = [abreast(asked, models) for models in ([asked.model], four)]
        measured = measure([*arms, *side_by_side], rounds=asked.rounds)
    part.holes += measured.holes
    known = [one for one in arms if one.name in measured.answers]
    for one in known:
        _keep(part, one, measured.answers[one.name])
    part.tables += [
        _latency_table(part, known, measured.answers),
        _stage_table(known, measured.answers),
        _cost_table(known, measured.answers, asked.frames),
    ]
    _claims(part, known, measured.answers)
    _rates(part, side_by_side, measured.answers)
    return part


def _keep(part: Part, one: Arm, answers: list[Answer]) -> None:
    part.add(f"{one.name}.frame", one.label, [a["ms"]["frame"] for a in answers], unit="ms")
    for stage in STAGES:
        middle = [[intervals.median(answer["ms"][stage])] for answer in answers]
        part.add(f"{one.name}.{stage}", one.label, middle, unit="ms")
    for key, unit in (("pss_mb", "MB"), ("first_s", "s")):
        if all(answer[key] is not None for answer in answers):
            part.add(f"{one.name}.{key}", one.label, [[a[key]] for a in answers], unit=unit)


def _samples(answers: list[Answer], stage: str) -> list[float]:
    return [sample for answer in answers for sample in answer["ms"][stage]]


def _latency_table(part: Part, arms: list[Arm], answers: dict[str, list[Answer]]) -> results.Table:
    rows = []
    for one in arms:
        samples = _samples(answers[one.name], "frame")
        fps = 1e3 * len(samples) / sum(samples)
        boxes = sorted({answer["boxes"] for answer in answers[one.name]})
        counts = (str(len(samples)), " or ".join(map(str, boxes)))
        rows.append((one.label, *part.percentiles(samples), f"{fps:.1f}", *counts))
    columns = ("setting", "p50 ms", "p90 ms", "p99 ms", "frames/s", "frames timed", "boxes a round")
    return results.Table("End to end, a frame at a time", columns, tuple(rows))


def _stage_table(arms: list[Arm], answers: dict[str, list[Answer]]) -> results.Table:
    rows = []
    for one in arms:
        middle = [intervals.median(_samples(answers[one.name], stage)) for stage in STAGES]
        rows.append((one.label, *(f"{ms:.2f}" for ms in middle)))
    return results.Table("Where the milliseconds go (medians)", ("setting", *STAGES), tuple(rows))


def _cost_table(arms: list[Arm], answers: dict[str, list[Answer]], frames: int) -> results.Table:
    rows = []
    for one in arms:
        given = answers[one.name]
        rows.append(
            (
                one.label,
                _middle(given, "first_s", "{:.2f}"),
                _middle(given, "pss_mb", "{:.0f}"),
                _middle(given, "pss_growth", "{:.0f}"),
                f"{1e3 * intervals.median([a['cpu_s'] for a in given]) / frames:.0f}",
                _middle(given, "energy_j", "{:.2f}", divide=frames),
            )
        )
    columns = ("setting", "cold start s", "PSS MB", "of it models MB", "CPU ms/frame", "J/frame")
    note = (
        "PSS: memory of all the setting's processes, shared pages counted once; 'of it models' is "
        "what it grew by after Python and its libraries were there. CPU: all processes."
    )
    return results.Table("What it costs", columns, tuple(rows), note)


def _value(answer: Answer, key: str) -> float | None:
    if key == "pss_growth":
        after, before = answer["pss_mb"], answer["pss_before_mb"]
        return None if after is None or before is None else after - before
    value: float | None = answer[key]
    return value


def _middle(answers: list[Answer], key: str, form: str, *, divide: float = 1) -> str:
    known = [value for answer in answers if (value := _value(answer, key)) is not None]
    return form.format(intervals.median(known) / divide) if known else results.NONE


def _claims(part: Part, arms: list[Arm], answers: dict[str, list[Answer]]) -> None:
    def best(prefix: str) -> Arm | None:
        mine = [one for one in arms if one.name.startswith(prefix)]
        return min(
            mine, key=lambda a: intervals.median(_samples(answers[a.name], "frame")), default=None
        )

    one, four = best("one_"), best("four_")
    if one is None or four is None:
        return
    ours, theirs = answers[one.name], answers[four.name]
    versus = f"'{one.label}' over '{four.label}'"
    part.claim(
        "latency",
        f"one network over four, latency a frame ({versus})",
        intervals.ratio([a["ms"]["frame"] for a in ours], [a["ms"]["frame"] for a in theirs]),
        at_most=AT_MOST,
    )
    _claim_memory(part, (one, ours), (four, theirs), prefix="", goal=0.35)
    frugal = min(
        (a for a in arms if a.name.startswith("four_")),
        key=lambda a: _median(answers[a.name], "pss_mb"),
    )
    if frugal is not four:
        held = answers[frugal.name]
        _claim_memory(part, (one, ours), (frugal, held), prefix="frugal_", goal=None)


Setting = tuple[Arm, list[Answer]]


def _claim_memory(
    part: Part, one: Setting, four: Setting, *, prefix: str, goal: float | None
) -> None:
    """Memory against one setting of four: the quickest, and the one that holds least."""
    versus = f"'{one[0].label}' over '{four[0].label}'"
    for key, words, bound in (
        ("pss_mb", "memory of the processes", goal),
        ("pss_growth", "memory that the models brought", None),
    ):
        pairs = [([_value(a, key)], [_value(b, key)]) for a, b in zip(one[1], four[1], strict=True)]
        if any(value is None for pair in pairs for side in pair for value in side):
            hole = f"{words}: this system does not report it (PSS is Linux's)"
            part.holes += [hole] if hole not in part.holes else []
            continue
        numerator, denominator = zip(*pairs, strict=True)
        found = intervals.ratio(numerator, denominator)
        label = f"one network over four, {words} ({versus})"
        part.claim(f"{prefix}{key}", label, found, at_most=bound)


def _rates(part: Part, arms: list[Arm], answers: dict[str, list[Answer]]) -> None:
    """What one network and what four take of a recording, with frames side by side."""
    rows, spent = [], []
    for one in arms:
        if not (given := answers.get(one.name)):
            continue
        ms = [[sum(a["intervals_ms"]) / len(a["intervals_ms"])] for a in given]
        part.add(f"abreast.{one.label}.ms", f"{one.label}, frames side by side", ms, unit="ms")
        spent.append(ms)
        middle = intervals.median([each for (each,) in ms])
        cpu_ms = intervals.median([a["cpu_ms"] for a in given])
        rows.append((one.label, f"{middle:.2f}", f"{1e3 / middle:.1f}", f"{cpu_ms:.1f}"))
    if rows:
        columns = ("networks", "ms a frame", "frames/s", "CPU ms/frame")
        part.tables.append(results.Table("Frames side by side", columns, tuple(rows)))
    if len(spent) == len(arms):
        label = "one network over four, time a frame with frames side by side"
        part.claim("abreast", label, intervals.ratio(*spent), at_most=AT_MOST)


def _median(answers: list[Answer], key: str) -> float:
    known = [value for answer in answers if (value := _value(answer, key)) is not None]
    return intervals.median(known) if known else math.inf


if __name__ == "__main__":
    options.main(measure_one_vs_four, __doc__, rounds=3, frames=67)
