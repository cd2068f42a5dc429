"""The goals that the benchmark was set, each with what was measured and what stands in its way.

Why a goal is missed is said only from figures that the same results hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.report import results, side_by_side
from benchmarks.report.results import Claim, Figure, Part

Parts = Mapping[str, Part]
Why = Callable[[Parts], str]


@dataclass(frozen=True, slots=True)
class Goal:
    """``part`` and ``claim`` name the figure; ``why`` explains a miss, or is silent.

    ``always``: it is said of a goal that was met too, for another setting would not have met it.
    """

    words: str
    part: str
    claim: str
    why: Why
    always: bool = False


def sentences(parts: Parts) -> list[str]:
    """A line of Markdown for each goal that was measured, and one that names the others."""
    lines, missing = [], []
    for goal in GOALS:
        part = parts.get(goal.part)
        claim = None if part is None else results.claim_of(part, goal.claim)
        if claim is None:
            missing.append(goal.words)
        else:
            lines.append(_line(goal, claim, parts))
    return [*lines, f"- Not measured here: {'; '.join(missing)}."] if missing else lines


def _line(goal: Goal, claim: Claim, parts: Parts) -> str:
    value = f"{claim.value:.3g}{'×' if claim.unit == '×' else f' {claim.unit}'}"
    verdict = "met" if claim.met else "**missed**"
    line = f"- {goal.words} (goal {claim.goal}): {value}, {verdict}{_doubt(claim)}."
    return f"{line} {goal.why(parts)}".rstrip() if goal.always or not claim.met else line


def _doubt(claim: Claim) -> str:
    """Where the interval holds the goal, the verdict may be chance."""
    bound = claim.at_most if claim.at_least is None else claim.at_least
    assert bound is not None
    across = claim.low < claim.high and claim.low <= bound <= claim.high
    return ", though its interval reaches across the goal" if across else ""


def _latency(parts: Parts) -> str:
    """One network on all CPUs against four that share them out."""
    part = parts["one_vs_four"]
    one, four = (side_by_side.best_setting(part, many) for many in ("one", "four"))
    if one is None or four is None:
        return ""
    spent = [side_by_side.beside(part, setting, "inference") for setting in (one, four)]
    if spent[0] is None or spent[1] is None:
        return ""
    ours, theirs = spent[0].median, spent[1].median
    alone = f"Inference alone is {ours / theirs:.3g}×: '{one.label}' takes {ours:.1f} ms"
    shares = f"'{four.label}' {theirs:.1f} ms, {theirs / 4:.1f} ms for each network"
    return (
        f"{alone}, {shares}; decode and letterbox, the same {one.median - ours:.1f} ms or so for "
        "one as for four, add to both sides."
    )


def _memory(parts: Parts) -> str:
    """Against the setting of four that holds least; what both sides hold is said where the four
    share a process, as the one does."""
    part = parts["one_vs_four"]
    claim = results.claim_of(part, "pss_mb")
    quickest = [side_by_side.best_setting(part, many) for many in ("one", "four")]
    held = [setting and side_by_side.beside(part, setting, "pss_mb") for setting in quickest]
    fours = [f for f in part.figures if ".four_" in f.name and f.name.endswith(".pss_mb")]
    if claim is None or claim.at_most is None or held[0] is None or not fours:
        return ""
    least = min(fours, key=lambda figure: figure.median)
    one, four, goal = held[0].median, least.median, claim.at_most
    words = []
    if least is not held[1]:
        words.append(
            f"Against '{least.label}', the setting of four that holds least, it is "
            f"{one / four:.3g}×."
        )
    more = (four - one) / 3
    shared, bearable = one - more, more * (4 * goal - 1) / (1 - goal)
    if "processes" not in least.name and shared > bearable:
        words.append(
            f"In one process each network more brings {more:.0f} MB. The other {shared:.0f} MB of "
            "the one network's process (Python, its libraries, the engine's code) are there once "
            f"however many networks there are: the goal would need them to be {bearable:.0f} MB."
        )
    return " ".join(words)


def _bare(parts: Parts) -> str:
    """A frame's CPU time against all that the CPUs have."""
    loop = parts.get("loop")
    if loop is None:
        return ""
    spent, rate = (results.figure_of(loop, f"loop.file.jsonl.{name}") for name in ("cpu", "fps"))
    bare = max(_bare_rates(parts), key=lambda figure: figure.median, default=None)
    cpus = loop.facts.get("CPUs allowed")
    if spent is None or rate is None or bare is None or not isinstance(cpus, int):
        return ""
    share = spent.median * rate.median / (1e3 * cpus)
    if share < 0.95:
        return ""  # CPUs were idle: something else stands in the way
    return (
        f"No CPU is idle: a frame of the loop takes {spent.median:.1f} ms of CPU time, "
        f"{100 * share:.0f} % of what {cpus} CPUs have, and {1e3 * cpus / bare.median:.1f} "
        f"ms are what the bare loop has for one. What is not inference (decoding, letterbox, "
        f"boxes, tracking, JSON Lines) cannot hide behind it."
    )


def _ultralytics(parts: Parts) -> str:
    """The rate that inference alone reaches bounds every loop around it."""
    part = parts["throughput"]
    bare = max(_bare_rates(parts), key=lambda figure: figure.median, default=None)
    theirs = [f for f in part.figures if f.name.startswith("throughput.ultralytics")]
    theirs = [f for f in theirs if f.name.endswith(".fps")]
    if bare is None or not theirs:
        return ""
    best = max(theirs, key=lambda figure: figure.median)
    bound = bare.median / best.median
    claim = results.claim_of(part, "over_ultralytics")
    assert claim is not None
    others = [c for c in part.claims if c.name.startswith(f"{claim.name}_")]
    beside = "".join(f" {c.label}: {c.value:.3g}×." for c in others)
    if claim.at_least is None or bound >= claim.at_least:
        return f"Inference alone, nothing around it, is {bound:.3g}×.{beside}"
    return (
        f"The same file's inference alone, nothing around it ({bare.label}), is {bound:.3g}×: no "
        f"loop around this engine reaches the goal.{beside}"
    )


def _silent(_: Parts) -> str:
    return ""


def _bare_rates(parts: Parts) -> list[Figure]:
    part = parts.get("throughput")
    if part is None:
        return []
    return [
        figure
        for figure in part.figures
        if figure.name.startswith("throughput.bare_") and figure.name.endswith(".fps")
    ]


GOALS = (
    Goal("Latency of one network over four at their best", "one_vs_four", "latency", _latency),
    Goal("Time a frame of one over four, frames side by side", "one_vs_four", "abreast", _silent),
    Goal("Memory of one network over four", "one_vs_four", "pss_mb", _memory, always=True),
    Goal("The whole loop's rate over bare inference", "throughput", "loop_over_bare", _bare),
    Goal("Pre- and postprocessing over inference", "loop", "file.jsonl.around", _silent),
    Goal("The same with the queue, live", "loop", "live.jsonl.around", _silent),
    Goal("Rate over ultralytics predict", "throughput", "over_ultralytics", _ultralytics),
    Goal("The same with --engine auto", "throughput", "over_ultralytics_auto", _silent),
    Goal("Peak memory over ultralytics predict", "throughput", "memory_over_ultralytics", _silent),
    Goal(
        "Peak memory over ultralytics predict with --engine auto",
        "throughput",
        "memory_over_ultralytics_auto",
        _silent,
    ),
    Goal("540p: rate over what the CPUs allow", "sizes", "540p_h264.of_cpus", _silent),
    Goal("540p: what is around inference, in CPU time", "sizes", "540p_h264.around", _silent),
    Goal("road4-n-960 at its best over road4-n in fp32", "engines", "large_over_default", _silent),
    Goal("Live at 4×, frames dropped and not counted", "live", "uncounted", _silent),
    Goal("Live at 4×, p99 of age over its bound", "live", "age", _silent),
    Goal("Live at 4×, memory grown", "live", "memory", _silent),
)
