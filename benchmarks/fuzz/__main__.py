"""Damage inputs at random, open each, and report what was neither played nor refused.

    python -m benchmarks.fuzz --count 2000 --seed 1 --out benchmarks/results/<date>-fuzz
    python -m benchmarks.fuzz --seed 1 --only 123 --keep case.bin     # one case again, kept

A finding is a traceback, a crash, a hang of more than 10 s or more than 1 GB of memory. Exit code
1 when there are any. The same seed makes the same inputs from the same seeds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import facts
from benchmarks.fuzz.doors import DOORS, Outcome, serve
from benchmarks.fuzz.mutations import mutate
from benchmarks.fuzz.seeds import Seed, all_seeds, write_data_set
from benchmarks.options import in_sentences
from oneglance.streams.outputs import check_place, check_reachable, write_file

HANG_S = 10.0
MOST_MB = 1000.0
START_S = 60.0
"""How long a new process may take before the first answer of a door: it imports what that needs."""

FINDINGS = ("traceback", "crash", "hang", "memory")


class Opener:
    """A process that opens inputs; a new one whenever it died or hung."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._used: set[str] = set()
        self._start()

    def open(self, door: str, file: Path) -> Outcome:
        """What became of ``file`` behind ``door``."""
        patience_s = HANG_S if door in self._used else START_S
        try:
            self._here.send((door, str(file)))
            if not self._here.poll(patience_s):
                self._again()
                return Outcome("hang", f"no answer within {patience_s:g} s")
            outcome: Outcome = self._here.recv()
        except (EOFError, OSError):
            self._process.join(5)
            code = self._process.exitcode
            self._again()
            return Outcome("crash", f"the process ended with code {code}")
        self._used.add(door)
        if outcome.grown_mb > MOST_MB and outcome.kind not in FINDINGS:
            return Outcome("memory", f"{outcome.grown_mb:.0f} MB", outcome.grown_mb)
        return outcome

    def close(self) -> None:
        """End the process."""
        self._here.close()
        self._process.kill()
        self._process.join(5)

    def _start(self) -> None:
        self._here, there = self._context.Pipe()
        self._process = self._context.Process(target=serve, args=(there,), daemon=True)
        self._process.start()
        there.close()
        self._used.clear()

    def _again(self) -> None:
        self.close()
        self._start()


def cases(seeds: list[Seed], *, count: int, seed: int) -> Iterator[tuple[int, Seed, bytes]]:
    """``count`` damaged inputs: number, what was damaged, the bytes. Doors take turns, half of all
    being media; each case depends on ``seed`` and its number alone."""
    there = {each.door for each in seeds}
    others = [door for door in DOORS if door in there and door != "media"]
    for number in range(count):
        chance = random.Random(f"{seed}/{number}")  # noqa: S311 - to repeat, not to hide
        door = "media" if number % 2 == 0 else others[number // 2 % len(others)]
        chosen = chance.choice([s for s in seeds if s.door == door])
        yield number, chosen, mutate(chosen.content, chance, text=chosen.text)


def place(folder: Path, seed: Seed, content: bytes) -> Path:
    """The damaged input as a file that its door opens."""
    folder.mkdir()
    if seed.door == "data":
        return write_data_set(folder, data=content)
    if seed.door == "labels":
        return write_data_set(folder, labels=content)
    if seed.door == "annotations":
        return write_data_set(folder, annotations=(Path(seed.name).suffix, content))
    file = folder / seed.name
    file.write_bytes(content)
    return file


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--count", type=int, default=2000, help="inputs to make")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="the number of the one case to open")
    parser.add_argument("--keep", type=Path, help="keep the input of --only here")
    parser.add_argument("--out", type=Path, help="folder for fuzz.json")
    asked = parser.parse_args()
    if asked.count < 1:
        parser.error("--count must be at least 1")
    with in_sentences():
        findings = _hunt(asked)
    sys.exit(1 if findings else 0)


def _hunt(asked: argparse.Namespace) -> list[dict[str, Any]]:
    """What was found; ``--out`` is looked at before the hours of work.

    Raises:
        SinkError, OSError: it, or ``--keep``, cannot be written.
    """
    if asked.out is not None:
        asked.out.mkdir(parents=True, exist_ok=True)
        check_place(asked.out / "fuzz.json")
    if asked.keep is not None:
        check_reachable(asked.keep)
    started_s = time.monotonic()
    found: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    largest_mb = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        seeds = all_seeds(Path(scratch))
        opener = Opener()
        try:
            count = asked.count if asked.only is None else asked.only + 1
            for number, chosen, content in cases(seeds, count=count, seed=asked.seed):
                if asked.only not in (None, number):
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    file = place(Path(folder) / str(number), chosen, content)
                    outcome = opener.open(chosen.door, file)
                if asked.keep is not None:
                    write_file(asked.keep, content)
                counts[f"{chosen.door} {outcome.kind}"] += 1
                largest_mb = max(largest_mb, outcome.grown_mb)
                if outcome.kind in FINDINGS or asked.only is not None:
                    found.append(_report(number, chosen, outcome))
        finally:
            opener.close()
    findings = [finding for finding in found if finding["kind"] in FINDINGS]
    print(json.dumps(counts, indent=2, sort_keys=True))
    if asked.out is not None:
        found_out = {
            "counts": dict(sorted(counts.items())),
            "findings": findings,
            "largest_growth_mb": largest_mb,
            "took_s": round(time.monotonic() - started_s),
        }
        _write(asked.out, found_out)
    print(f"{sum(counts.values())} inputs, {len(findings)} findings")
    return findings


def _report(number: int, seed: Seed, outcome: Outcome) -> dict[str, Any]:
    print(f"case {number}, {seed.door} {seed.name}: {outcome.kind}\n{outcome.words}", flush=True)
    last = outcome.words.strip().splitlines()[-1:] or [""]
    return {"case": number, "seed": seed.name, "kind": outcome.kind, "words": last[0]}


def _write(folder: Path, found: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "command": facts.command(),
        "commit": facts.commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "device": facts.device(),
        **found,
        "limits": {"hang_s": HANG_S, "memory_mb": MOST_MB},
    }
    write_file(folder / "fuzz.json", json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
