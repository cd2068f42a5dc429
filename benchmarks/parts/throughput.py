"""The end-to-end rate of ``oneglance run`` against bare inference, ultralytics and a tutorial.

Every arm is a process of its own on the same CPUs; the arms take turns.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

from benchmarks import facts, options
from benchmarks.options import Options
from benchmarks.processes import Answer, Arm, Measured, measure
from benchmarks.report import intervals, results
from benchmarks.report.results import Figure, Part
from oneglance.models.engines.openvino import HINTS
from oneglance.streams.errors import UsageError

OURS, TUTORIAL = "oneglance_run", "tutorial"
OURS_IN_OPENVINO = {p: f"oneglance_run_openvino_{p}" for p in HINTS}
AUTO = "oneglance_run_auto"
BARE = ("bare_all", "bare_all_spinning", "bare_parallel")
ULTRALYTICS, ULTRALYTICS_TUNED = "ultralytics", "ultralytics_tuned"

IMPORTS = 7
"""Fresh interpreters that the import time is the median of."""


def arms(asked: Options) -> list[Arm]:
    """A to D, in the order of their turns."""
    command = Path(sys.executable).with_name("oneglance")
    if not command.exists():
        raise UsageError(f"no command {command}: install oneglance into this environment first")
    peers = asked.peers_python
    ours = (*asked.arm, "--command", str(command))
    return [
        Arm(OURS, "oneglance run", "benchmarks.arms.command", ours),
        Arm(
            AUTO,
            "oneglance run --engine auto",
            "benchmarks.arms.command",
            (*ours, "--engine", "auto"),
        ),
        *(
            Arm(
                name,
                f"oneglance run, OpenVINO {precision}",
                "benchmarks.arms.command",
                (*ours, "--engine", "openvino", "--precision", precision),
            )
            for precision, name in OURS_IN_OPENVINO.items()
        ),
        *bare_arms(asked),
        Arm(
            ULTRALYTICS,
            "ultralytics predict",
            "benchmarks.arms.peers.ultralytics",
            asked.arm,
            python=peers,
        ),
        Arm(
            ULTRALYTICS_TUNED,
            "ultralytics predict, its threads set to all CPUs",
            "benchmarks.arms.peers.ultralytics",
            (*asked.arm, "--tuned"),
            python=peers,
        ),
        Arm(
            TUTORIAL, "tutorial: OpenCV + ONNX Runtime", "benchmarks.arms.peers.tutorial", asked.arm
        ),
    ]


def bare_arms(asked: Options) -> list[Arm]:
    """The settings that a bare loop may win with; the best of them is what we are held to."""
    settings = (
        ("one session, all threads", ("--how", "all")),
        ("one session, all threads, spinning", ("--how", "all", "--spinning")),
        ("one-thread sessions in parallel", ("--how", "parallel")),
    )
    return [
        Arm(name, f"session.run, {label}", "benchmarks.arms.bare", (*asked.arm, *how))
        for name, (label, how) in zip(BARE, settings, strict=True)
    ]


def measure_throughput(asked: Options) -> Part:
    """All of it; an arm that fails is a hole, and what needs it is left out."""
    part = Part(
        part="throughput",
        title="Throughput of one clip",
        facts=facts.gather(asked.model, asked.clip),
        timer="wall time between frames finished, first frames left out. oneglance run: decode, "
        "letterbox, inference, boxes, tracking, JSON Lines, seen from outside by the lines. "
        "session.run: inference alone, inputs made before. ultralytics: decode to boxes, as its "
        "generator yields. Tutorial: decode to boxes, no tracking, nothing written",
        silent_on=[
            "other clips: crowded frames cost more after the network",
            "other machines, accelerators, batches",
            "accuracy: every arm runs the same file, those in bf16 with a little less of it",
            "what bf16 would bring the others: they run the file in fp32",
        ],
    )
    part.facts["peers"] = facts.peer_versions(asked.peers_python)
    chosen = arms(asked)
    measured = measure(chosen, rounds=asked.rounds)
    part.holes += measured.holes
    rates = {
        arm.name: rate_figure(part, arm, measured.answers[arm.name])
        for arm in chosen
        if arm.name in measured.answers
    }
    rows = [arm_row(part, arm, measured.answers[arm.name]) for arm in chosen if arm.name in rates]
    part.tables.append(rate_table(f"{asked.rounds} rounds, arms in turns", rows))
    if AUTO in rates:
        part.facts["auto took"] = took(measured.answers[AUTO])
    _claim_loop(part, rates)
    _claim_ultralytics(part, rates, measured)
    _claim_ourselves(part, measured)
    return part


def took(answers: list[Answer]) -> str:
    """Which engines and precisions ``auto`` took, each with in how many rounds."""
    counts = Counter(f"{answer['engine']} {answer['precision']}" for answer in answers)
    return ", ".join(f"{name} ({count} of {len(answers)})" for name, count in counts.items())


def rate_figure(part: Part, arm: Arm, answers: list[Answer]) -> Figure:
    """Frames a second of an arm, one sample a round."""
    rounds = [[rate(answer)] for answer in answers]
    return part.add(f"{arm.name}.fps", arm.label, rounds, unit="frames/s", better="higher")


def rate(answer: Answer) -> float:
    """Frames a second over all timed intervals: ends count, pauses too."""
    spent_ms = answer["intervals_ms"]
    return 1e3 * len(spent_ms) / sum(spent_ms)


COLUMNS = ("arm", "frames/s", "p50 ms", "p90 ms", "p99 ms", "peak MB", "boxes")


def rate_table(title: str, rows: list[tuple[str, ...]]) -> results.Table:
    """The table that ``arm_row`` makes rows for."""
    note = (
        "frames/s: median of the rounds [lowest to highest]. ms: between finished frames, all "
        "rounds together (two workers finish in pairs: their p50 says little). peak MB: VmHWM, "
        "10⁶ bytes, median of the rounds."
    )
    return results.Table(title, COLUMNS, tuple(rows), note)


def arm_row(part: Part, arm: Arm, answers: list[Answer]) -> tuple[str, ...]:
    """One line of the table for an arm that was measured in every round."""
    rates = [rate(answer) for answer in answers]
    spent_ms = [sample for answer in answers for sample in answer["intervals_ms"]]
    memory = [answer["peak_mb"] for answer in answers if answer["peak_mb"] is not None]
    if memory:
        part.add(f"{arm.name}.peak", arm.label, [[m] for m in memory], unit="MB")
    boxes = {answer["boxes"] for answer in answers if "boxes" in answer}
    return (
        arm.label,
        f"{intervals.median(rates):.1f} [{min(rates):.1f} to {max(rates):.1f}]",
        *part.percentiles(spent_ms),
        f"{intervals.median(memory):.0f}" if memory else results.NONE,
        " or ".join(str(count) for count in sorted(boxes)) or results.NONE,
    )


def _claim_loop(part: Part, rates: dict[str, Figure]) -> None:
    bare = [rates[name] for name in BARE if name in rates]
    if OURS not in rates or not bare:
        return
    best = max(bare, key=lambda figure: figure.median)
    part.claim(
        "loop_over_bare",
        f"oneglance run over the best bare loop ({best.label})",
        intervals.ratio(rates[OURS].rounds, best.rounds),
        at_least=0.92,
    )


def _claim_ultralytics(part: Part, rates: dict[str, Figure], measured: Measured) -> None:
    theirs = [name for name in (ULTRALYTICS, ULTRALYTICS_TUNED) if name in rates]
    best = max(theirs, key=lambda name: rates[name].median, default=None)
    goals = {OURS: 1.4, AUTO: 2.0 if facts.computes_low_precision() else 1.4}
    for name in (OURS, AUTO, *OURS_IN_OPENVINO.values()):
        if name not in rates or best is None:
            continue
        suffix = name.removeprefix(OURS)
        part.claim(
            f"over_ultralytics{suffix}",
            f"{rates[name].label} over {rates[best].label}, in rate",
            intervals.ratio(rates[name].rounds, rates[best].rounds),
            at_least=goals.get(name),
        )
        ours, peer = ([[answer["peak_mb"]] for answer in measured.answers[n]] for n in (name, best))
        part.claim(
            f"memory_over_ultralytics{suffix}",
            f"{rates[name].label} over {rates[best].label}, in peak memory",
            intervals.ratio(ours, peer),
            at_most=0.4,
        )
    if OURS in rates and TUTORIAL in rates:
        part.claim(
            "over_tutorial",
            f"oneglance run over {rates[TUTORIAL].label}, in rate",
            intervals.ratio(rates[OURS].rounds, rates[TUTORIAL].rounds),
        )


def _claim_ourselves(part: Part, measured: Measured) -> None:
    if OURS in measured.answers:
        memory = [answer["peak_mb"] for answer in measured.answers[OURS]]
        part.claim("peak", "peak memory of a run", intervals.spread(memory), unit="MB", at_most=400)
    took_s = [import_s() for _ in range(IMPORTS)]
    part.add("import", "import oneglance.perception", [[s] for s in took_s], unit="s")
    part.claim(
        "import",
        "import oneglance.perception, without torch",
        intervals.spread(took_s),
        unit="s",
        at_most=1.0,
    )


def import_s() -> float:
    """Seconds that ``import oneglance.perception`` takes a fresh interpreter.

    Raises:
        UsageError: it loads torch, or fails.
    """
    code = (
        "import sys, time; t = time.perf_counter(); import oneglance.perception; "
        "print(time.perf_counter() - t); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UsageError(f"import oneglance.perception failed or loads torch: {done.stderr[-300:]}")
    return float(done.stdout)


if __name__ == "__main__":
    options.main(measure_throughput, __doc__, rounds=5, frames=100)
