"""Every part of the benchmark, or some, into one results folder, and the report of it.

    python -m benchmarks.everything                     # all, about 32 minutes on two CPUs
    python -m benchmarks.everything throughput live     # these
    python -m benchmarks.everything --quick             # a smoke test: numbers mean nothing

About how long a part takes on two idle CPUs:
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from benchmarks import facts, options
from benchmarks.options import Options
from benchmarks.processes import ArmFailed
from benchmarks.report import pages
from benchmarks.report.results import PARTS, Part
from oneglance.streams.errors import OneglanceError, UsageError

ABOUT_S = {
    "throughput": 160,
    "one_vs_four": 240,
    "curves": 60,
    "accuracy": 15,
    "loop": 30,
    "peers": 150,
    "live": 200,
    "floor": 20,
    "sizes": 240,
    "sinks": 650,
    "viewers": 150,
    "batch": 330,
    "engines": 120,
    "end_to_end": 60,
}

TURNS = {
    "throughput": (5, 60, 15),
    "one_vs_four": (3, 67, 5),
    "curves": (1, 12, 4),
    "accuracy": (1, 1, 0),
    "loop": (1, 70, 20),
    "peers": (2, 100, 20),
    "live": (1, 200, 20),
    "floor": (2, 40, 10),
    "sizes": (3, 60, 10),
    "sinks": (3, 90, 10),
    "viewers": (3, 200, 20),
    "batch": (2, 10, 0),
    "engines": (2, 80, 15),
    "end_to_end": (3, 70, 10),
}
"""Rounds, timed frames of a turn and frames of warm-up, of each part when it runs with the others.
At least 200 timed frames for each arm that a percentile is reported of."""


QUICK = facts.ROOT / "out" / "benchmark-quick"


def measure_of(part: str) -> Callable[[Options], Part]:
    """The function that measures a part; its module is imported only when it runs."""
    module = importlib.import_module(f"benchmarks.parts.{part}")
    measure: Callable[[Options], Part] = getattr(module, f"measure_{part}")
    return measure


def main() -> None:
    arguments = options.parser(
        f"{__doc__}\n" + "\n".join(f"  {part}: {s} s" for part, s in ABOUT_S.items()),
        rounds=0,
        frames=0,
    )
    arguments.set_defaults(warmup=None)
    arguments.formatter_class = argparse.RawTextHelpFormatter
    arguments.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    arguments.add_argument("--quick", action="store_true", help="few frames: a smoke test")
    found = arguments.parse_args()
    with options.in_sentences():
        sys.exit(_run(found))


def _run(found: argparse.Namespace) -> int:
    unknown = [part for part in found.parts if part not in PARTS]
    if unknown:
        raise UsageError(f"no part named '{unknown[0]}' (parts: {', '.join(PARTS)})")
    chosen = [part for part in PARTS if part in (found.parts or PARTS)]
    asked_rounds, asked_frames, asked_warmup = found.rounds, found.frames, found.warmup
    if found.quick and found.out is None:
        found.out = QUICK  # never over numbers that mean something
    found.rounds, found.frames, found.warmup = asked_rounds or 1, asked_frames or 1, 0
    base = options.check(found)
    if found.quick:
        base = replace(base, seconds=min(base.seconds, 3.0))
    failed = []
    for part in chosen:
        rounds, frames, warmup = (1, 6, 2) if found.quick else TURNS[part]
        asked = replace(
            base,
            rounds=asked_rounds or rounds,
            frames=asked_frames or frames,
            warmup=warmup if asked_warmup is None else asked_warmup,
        )
        started = time.monotonic()
        print(f"== {part}: about {ABOUT_S[part]} s", file=sys.stderr, flush=True)
        try:
            options.write(measure_of(part), asked)
        except (OneglanceError, ArmFailed) as error:
            failed.append(part)
            print(f"== {part}: not measured: {error}", file=sys.stderr, flush=True)
            hole = Part(part=part, title=part, timer="nothing", holes=[str(error)])
            options.keep(hole, base.out)
        print(f"== {part}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    print(f"report: {pages.write_report(base.out)}")
    return 1 if failed else 0


if __name__ == "__main__":
    main()
