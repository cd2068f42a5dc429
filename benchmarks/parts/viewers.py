"""What people who look at the live page cost the loop, and how old what they see is."""

from __future__ import annotations

from benchmarks import facts, options
from benchmarks.options import Options
from benchmarks.processes import Answer, Arm, Measured, measure
from benchmarks.report import intervals, results
from benchmarks.report.results import Part

FAST, STUCK = 7, 1
"""Viewers that draw at once, and those that fetch 20 kB a second."""

FULL_RATE, CALM_RATE = 100.0, 15.0
"""Frames a second of a source that the network cannot keep up with, and of one that it can."""

SECONDS = 10.0
ROOM_MS = 100.0
AT_LEAST = 0.95
MODULE = "benchmarks.arms.page.viewers"


def measure_viewers(asked: Options) -> Part:
    """The loop at its limit with and without viewers, in turns; then ages at a calm source."""
    seconds = min(SECONDS, asked.seconds)
    part = Part(
        part="viewers",
        title="Eight people look at the page",
        facts=facts.gather(asked.model, asked.clip),
        timer=f"results a second over {seconds:g} s; age: from the source's stamp on a frame to "
        f"its last byte at a viewer; {FAST} viewers draw at once, {STUCK} fetches 20 kB a second; "
        "the first 3 s are left out",
        silent_on=[
            (
                "browsers, which decode and draw: viewers are a process on the same CPUs that "
                "reads and answers, and its time is in the ratio"
            ),
            "networks: all of it stays on this machine",
        ],
    )
    watched = ("--viewers", str(FAST), "--stuck", str(STUCK))
    common = (*asked.arm, "--seconds", str(seconds))
    fast, calm = ("--rate", str(FULL_RATE)), ("--rate", str(CALM_RATE))
    arms = [
        Arm("alone", "no page, source too fast", MODULE, (*common, *fast)),
        Arm("watched", "8 viewers, source too fast", MODULE, (*common, *fast, *watched)),
        Arm("calm", f"8 viewers, {CALM_RATE:g} fps", MODULE, (*common, *calm, *watched)),
    ]
    measured = measure(arms, rounds=asked.rounds)
    part.holes += measured.holes
    found = [(arm, measured.answers[arm.name]) for arm in arms if arm.name in measured.answers]
    rows = [_row(part, arm, answers) for arm, answers in found]
    columns = (
        *("arm", "results/s", "inference p50 ms", "page CPU ms/result", "frames/s a viewer"),
        *("age p50 ms", "age p90 ms", "age p99 ms"),
    )
    note = (
        "page CPU: of the server's and the encoder's threads. Of each source 20 frames a second "
        "are shown; where the network cannot keep up 10 at most, as far as a hundredth of the "
        "CPUs' time goes."
    )
    part.tables.append(results.Table("The loop and its viewers", columns, tuple(rows), note))
    _claims(part, measured)
    return part


def _ages(answer: Answer) -> list[float]:
    return [ms for viewer in answer["ages_ms"] for ms in viewer]


def _row(part: Part, arm: Arm, answers: list[Answer]) -> tuple[str, ...]:
    rates = [[answer["fps"]] for answer in answers]
    part.add(f"{arm.name}.fps", arm.label, rates, unit="results/s", better="higher")
    cpu_ms = [1e3 * answer["page_cpu_s"] / answer["fps"] for answer in answers]
    inference = [ms for answer in answers for ms in answer["inference_ms"]]
    cells: tuple[str, ...] = (results.NONE,) * 4
    if any(_ages(answer) for answer in answers):
        figure = part.add(
            f"{arm.name}.age", f"age, {arm.label}", [_ages(each) for each in answers], unit="ms"
        )
        seen = [len(_ages(answer)) / FAST / answer["seconds"] for answer in answers]
        cells = (f"{intervals.median(seen):.1f}", *part.percentiles(figure.samples))
    return (
        arm.label,
        f"{intervals.median([rate for (rate,) in rates]):.1f}",
        f"{intervals.median(inference):.1f}",
        f"{intervals.median(cpu_ms):.2f}",
        *cells,
    )


def _claims(part: Part, measured: Measured) -> None:
    """The loop's rate, and the age at a fast viewer over what it may be."""
    alone, watched = measured.answers.get("alone"), measured.answers.get("watched")
    if alone and watched:
        found = intervals.ratio([[a["fps"]] for a in watched], [[a["fps"]] for a in alone])
        part.claim("rate", "loop with 8 viewers over without", found, at_least=AT_LEAST)
    if calm := measured.answers.get("calm"):
        inference_ms = intervals.median([ms for answer in calm for ms in answer["inference_ms"]])
        bound_ms = 2e3 / CALM_RATE + inference_ms + ROOM_MS
        try:
            age_ms = intervals.percentile([ms for answer in calm for ms in _ages(answer)], 99)
        except intervals.TooFewSamples:
            return  # the table's row has made a hole of it
        part.claim(
            "age",
            "p99 of age at a fast viewer over two periods + inference + "
            f"{ROOM_MS:g} ms ({bound_ms:.0f} ms)",
            age_ms / bound_ms,
            at_most=1.0,
        )


if __name__ == "__main__":
    options.main(measure_viewers, __doc__, rounds=3, frames=200)
