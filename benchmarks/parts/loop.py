"""What the loop adds to the network: where each millisecond goes, for each source and sink."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import facts, options
from benchmarks.arms import sinks
from benchmarks.options import Options
from benchmarks.processes import Answer, Arm, measure
from benchmarks.report import intervals, results
from benchmarks.report.results import Part
from oneglance.models.cpus import available_cpus
from oneglance.perception.result import STAGES
from oneglance.streams import open_stream

FOLDER_IMAGES = 60

SINGLE_CALLS = Arm(
    *("sinks", "single calls of sinks", "benchmarks.arms.sinks"),
    ("--clip", "none", "--frames", "400", "--warmup", "40"),
)
CALLS = {
    "draw_ms": f"draw {sinks.DRAWN} boxes on {sinks.SIZE[0]}x{sinks.SIZE[1]}",
    "line_ms": f"write a line of {sinks.WRITTEN} detections",
}

MAIN_ARM = "file.jsonl"

CLAIMED = (
    (MAIN_ARM, ("preprocess", "postprocess")),
    # A recording waits in the queue by design: its decoder is kept ahead of the network.
    ("live.jsonl", ("preprocess", "postprocess", "queue")),
)
"""Arms and the stages around the network that we hold to a share of its time."""


def measure_loop(asked: Options) -> Part:
    """Every source with every sink; the file with JSON Lines in detail."""
    part = Part(
        part="loop",
        title="What the loop costs",
        facts=facts.gather(asked.model, asked.clip),
        timer="in the loop's process: frames/s between results; stages as results report them; "
        "CPU time of each thread from the kernel; the first frames are left out",
        silent_on=[
            "the command's start and end: throughput reports the first result",
            "bytes allocated: pages touched for the first time stand for them",
        ],
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_images(asked.clip, folder)
        arms = [*_arms(asked, folder), SINGLE_CALLS]
        measured = measure(arms, rounds=asked.rounds)
    part.holes += measured.holes
    single = measured.answers.get(SINGLE_CALLS.name, [])
    known = [arm for arm in arms if arm.name in measured.answers and arm is not SINGLE_CALLS]
    rows = [_row(part, arm, measured.answers[arm.name]) for arm in known]
    columns = ("source and sinks", "frames/s", "CPU ms/frame", "sinks ms", "pages/frame", "peak MB")
    note = (
        "CPU: all threads. sinks: median of writing one result, on a thread of its own. pages: of "
        "4 kB, touched for the first time. Live mode plays the clip at the pace it was filmed."
    )
    part.tables.append(results.Table("Sources and sinks", columns, tuple(rows), note))
    for name in (MAIN_ARM, "file.jsonl.whole"):
        if name in measured.answers:
            label = next(arm.label for arm in known if arm.name == name)
            part.tables += _detail(label, measured.answers[name])
    if single:
        part.tables.append(_single_calls(part, single))
    for name, stages in CLAIMED:
        if name in measured.answers:
            label = next(arm.label for arm in known if arm.name == name)
            _claim(part, name, label, answers=measured.answers[name], stages=stages)
    return part


def _arms(asked: Options, images: Path) -> list[Arm]:
    written = {"none": (), "jsonl": ("--sinks", "jsonl"), "video": ("--sinks", "video")}
    sources = {"file": asked.clip, "folder": str(images), "rendered": "rendered:"}
    arms = [
        _arm(asked, f"{kind}.{name}", f"{kind}, {name}", source=sources[kind], extra=extra)
        for kind in sources
        for name, extra in written.items()
        if kind == "file" or name == "jsonl"
    ]
    cpus = str(available_cpus())
    arms.append(
        _arm(
            asked,
            "file.jsonl.whole",
            "file, jsonl, all threads on one frame",
            source=asked.clip,
            extra=("--sinks", "jsonl", "--threads", cpus),
        )
    )
    live = ("--sinks", "jsonl", "--mode", "live", "--threads", cpus)
    arms.append(
        _arm(asked, "live.jsonl", "file in live mode, jsonl", source=asked.clip, extra=live)
    )
    untracked = ("--sinks", "jsonl", "--no-track")
    arms.append(
        _arm(
            asked, "file.untracked", "file, jsonl, no tracking", source=asked.clip, extra=untracked
        )
    )
    return arms


def _arm(asked: Options, name: str, label: str, *, source: str, extra: tuple[str, ...]) -> Arm:
    arguments = (
        *("--model", str(asked.model), "--clip", source, "--frames", str(asked.frames)),
        *("--warmup", str(asked.warmup), *extra),
    )
    return Arm(name, label, "benchmarks.arms.loop", arguments)


def _write_images(clip: str, folder: Path) -> None:
    """The clip's first frames as a folder of JPEGs, repeated under other names: one decode."""
    import cv2

    with open_stream(clip) as stream:
        for number, frame in enumerate(stream):
            if number == FOLDER_IMAGES:
                break
            for copy in range(4):
                cv2.imwrite(str(folder / f"{copy}-{number:04d}.jpg"), frame.image)


def _fps(answer: Answer) -> float:
    spent_ms = answer["intervals_ms"]
    return 1e3 * len(spent_ms) / sum(spent_ms)


def _row(part: Part, arm: Arm, answers: list[Answer]) -> tuple[str, ...]:
    rates = [_fps(answer) for answer in answers]
    part.add(f"{arm.name}.fps", arm.label, [[r] for r in rates], unit="frames/s", better="higher")
    cpu_ms = [sum(answer["threads_ms"].values()) for answer in answers]
    part.add(f"{arm.name}.cpu", arm.label, [[ms] for ms in cpu_ms], unit="ms")
    writing_ms = [
        intervals.median([ms for answer in answers for ms in answer["sinks_ms"][name]])
        for name in answers[0]["sinks_ms"]
    ]
    return (
        arm.label,
        f"{intervals.median(rates):.1f}",
        f"{intervals.median(cpu_ms):.1f}",
        f"{sum(writing_ms):.2f}" if writing_ms else results.NONE,
        f"{intervals.median([answer['faults'] for answer in answers]):.0f}",
        f"{intervals.median([answer['peak_mb'] for answer in answers]):.0f}",
    )


def _stage(answers: list[Answer], name: str) -> list[float]:
    return [ms for answer in answers for ms in answer["stages_ms"].get(name, [])]


def _detail(label: str, answers: list[Answer]) -> list[results.Table]:
    stages = []
    for name in STAGES:
        samples = _stage(answers, name)
        if samples:
            mean = sum(samples) / len(samples)
            stages.append((name, f"{intervals.median(samples):.2f}", f"{mean:.2f}"))
    threads: dict[str, list[float]] = {}
    for answer in answers:
        for name, ms in answer["threads_ms"].items():
            threads.setdefault(name, []).append(ms)
    rows = [(name, f"{intervals.median(ms):.2f}") for name, ms in sorted(threads.items())]
    spent = [sum(answer["threads_ms"].values()) for answer in answers]
    rows.append(("all", f"{intervals.median(spent):.2f}"))
    frame = intervals.median([1e3 / _fps(answer) for answer in answers])
    note = f"A frame took {frame:.2f} ms of wall time; what overlaps counts in both."
    columns = ("stage", "median ms", "mean ms")
    return [
        results.Table(f"Wall time by stage: {label}", columns, tuple(stages), note),
        results.Table(f"CPU time by thread: {label}", ("thread", "ms/frame"), tuple(rows)),
    ]


def _single_calls(part: Part, answers: list[Answer]) -> results.Table:
    rows = []
    for name, label in CALLS.items():
        figure = part.add(f"sinks.{name}", label, [a[name] for a in answers], unit="ms")
        rows.append((label, *part.percentiles(figure.samples)))
    columns = ("call", "p50 ms", "p90 ms", "p99 ms")
    return results.Table("Single calls of sinks", columns, tuple(rows), "Alone in a process.")


def _claim(
    part: Part, name: str, label: str, *, answers: list[Answer], stages: tuple[str, ...]
) -> None:
    around = sum(intervals.median(_stage(answers, stage)) for stage in stages)
    part.claim(
        f"{name}.around",
        f"{' + '.join(stages)} over inference ({label})",
        around / intervals.median(_stage(answers, "inference")),
        at_most=0.12,
    )


if __name__ == "__main__":
    options.main(measure_loop, __doc__, rounds=2, frames=100)
