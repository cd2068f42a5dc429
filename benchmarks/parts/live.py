"""A live source at half, once and four times what the machine can do: age, drops, memory."""

from __future__ import annotations

from benchmarks import facts, options
from benchmarks.options import Options
from benchmarks.processes import Answer, Arm, ArmFailed, run_arm
from benchmarks.report import intervals, results
from benchmarks.report.results import Part

LOADS = (0.5, 1.0, 4.0)
SOURCE_RATE = 200.0
"""Frames a second that no machine of this class keeps up with, to find what it can do."""

CAPACITY_S = 5.0
ROOM_MB = 10.0
"""Growth from the first quarter of a run to its last that still counts as flat memory."""


def measure_live(asked: Options) -> Part:
    """Capacity first, then a run at each load, one after the other."""
    part = Part(
        part="live",
        title="Live source under overload",
        facts=facts.gather(asked.model, asked.clip),
        timer="age: from the source's stamp on a frame to its result, letterbox, inference, NMS "
        f"and tracking done; the first two seconds are left out; {asked.seconds:g} s a load",
        silent_on=[
            (
                "30 frames a second as such: the source's rate is the load times what this machine "
                "can do, so that a load means the same on every machine"
            ),
            (
                "a camera's own delay before the stamp, and decoding: frames are held decoded and "
                "copied at each tick, as an uncompressed camera does"
            ),
            "the network: no packet is lost here",
        ],
    )
    try:
        probe = run_arm(_arm(asked, SOURCE_RATE, CAPACITY_S))
    except ArmFailed as error:
        part.holes.append(f"live: not measured: {error}")
        return part
    capacity = len(probe["ages_ms"]) / CAPACITY_S
    part.facts["capacity"] = f"{capacity:.1f} results a second, all CPUs on one frame"
    rows = []
    for load in LOADS:
        rate = load * capacity
        print(f"  {load:g}x: {rate:.0f} frames/s for {asked.seconds:g} s", flush=True)
        try:
            answer = run_arm(_arm(asked, rate, asked.seconds))
        except ArmFailed as error:
            part.holes.append(f"load {load:g}x: not measured: {error}")
            continue
        rows.append(_row(part, load, rate, answer))
        if load == max(LOADS):
            _claims(part, rate, answer)
    columns = (
        *("load", "source fps", "result fps", "dropped", "age p50 ms", "age p90 ms", "age p99 ms"),
        *("inference p50 ms", "uncounted", "late ticks", "memory MB"),
    )
    note = (
        "load: the source's rate over what the machine can do. uncounted: frames up to the last "
        "result that were neither a result nor counted as dropped (0 is right). late ticks: "
        "frames that the source itself handed out more than a period late, for want of a "
        "CPU. memory: first quarter to last quarter."
    )
    part.tables.append(results.Table("Age and drops", columns, tuple(rows), note))
    return part


def _arm(asked: Options, rate: float, seconds: float) -> Arm:
    arguments = (*asked.arm, "--rate", str(rate), "--seconds", str(seconds))
    return Arm(
        "live", f"{rate:.0f} fps", "benchmarks.arms.live", arguments, timeout_s=seconds + 120
    )


def uncounted(answer: Answer) -> int:
    """Frames up to the last result that nobody accounts for."""
    missing: int = answer["up_to_last"] - answer["results"] - answer["dropped"]
    return missing


def growth_mb(memory: list[float]) -> tuple[float, float]:
    """Median memory of the first and of the last quarter of the samples."""
    quarter = max(1, len(memory) // 4)
    return intervals.median(memory[:quarter]), intervals.median(memory[-quarter:])


def _row(part: Part, load: float, rate: float, answer: Answer) -> tuple[str, ...]:
    part.add(f"{load:g}x.age", f"age at {load:g}x", [answer["ages_ms"]], unit="ms")
    share = answer["dropped"] / answer["up_to_last"]
    memory = [mb for mb in answer["memory_mb"] if mb is not None]
    return (
        f"{load:g}×",
        f"{rate:.0f}",
        f"{len(answer['ages_ms']) / answer['seconds']:.1f}",
        f"{answer['dropped']} ({100 * share:.0f} %)",
        *part.percentiles(answer["ages_ms"]),
        f"{intervals.median(answer['inference_ms']):.1f}",
        str(uncounted(answer)),
        str(answer["late"]),
        "{:.0f} to {:.0f}".format(*growth_mb(memory)) if memory else results.NONE,
    )


def _claims(part: Part, rate: float, answer: Answer) -> None:
    worst = f"{max(LOADS):g}×"
    part.claim(
        "uncounted", f"drops not counted at {worst}", uncounted(answer), unit="frames", at_most=0
    )
    _claim_age(part, rate, answer)
    memory = [mb for mb in answer["memory_mb"] if mb is not None]
    if memory:
        first, last = growth_mb(memory)
        part.claim("memory", f"memory grown at {worst}", last - first, unit="MB", at_most=ROOM_MB)


def _claim_age(part: Part, rate: float, answer: Answer) -> None:
    """Two periods of the source and two inference times bound the age; none for few results."""
    try:
        p99_ms = intervals.percentile(answer["ages_ms"], 99)
    except intervals.TooFewSamples:
        return  # the table's row has made a hole of it
    bound_ms = 2e3 / rate + 2 * intervals.median(answer["inference_ms"])
    part.claim(
        "age",
        f"p99 of age at {max(LOADS):g}× over two periods + two inference times ({bound_ms:.0f} ms)",
        p99_ms / bound_ms,
        at_most=1.0,
    )


if __name__ == "__main__":
    options.main(measure_live, __doc__, rounds=1, frames=200)
