"""Other ways to run the same file on the same clip, how large they are, how long they take to
load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks import facts, options
from benchmarks.options import Options
from benchmarks.parts.throughput import (
    OURS,
    OURS_IN_OPENVINO,
    arm_row,
    arms,
    rate_figure,
    rate_table,
)
from benchmarks.processes import Arm, measure
from benchmarks.report import intervals, results
from benchmarks.report.results import Part
from oneglance.models.engines.openvino import HINTS

IMPORTS = 3

SAME_PRECISION = 0.97
"""What a loop of ours reaches at least of OpenVINO's own queue of requests in the same precision,
though it tracks and writes, too."""

PACKAGES = (
    ("oneglance", "import oneglance.perception", "ours"),
    ("ultralytics", "from ultralytics import YOLO", "peers"),
    ("openvino", "import openvino", "peers"),
    ("inference-cpu", "from inference import InferencePipeline", "roboflow"),
)
"""Distribution, what a user writes to import it, and whose environment it lies in."""


def measure_peers(asked: Options) -> Part:
    """Rates in turns with ours, then install size and import time."""
    part = Part(
        part="peers",
        title="Peers",
        facts=facts.gather(asked.model, asked.clip),
        timer="wall time between frames finished, first frames left out: decode to boxes; ours "
        "also tracks and writes JSON Lines, ultralytics track also tracks; roboflow's pipeline "
        "runs the tutorial's letterbox, session.run and NMS in its callback for custom logic",
        silent_on=[
            "what each of them can do that the others cannot",
            (
                "roboflow's own model runtime: its models come from its service; its pipeline is "
                "measured with a file of one's own, on the ONNX Runtime that its package pins"
            ),
            "bf16 changes results a little: results/road4-n says how little for ours",
            "install size: what other packages of the user's share",
        ],
    )
    part.facts["peers"] = facts.peer_versions(asked.peers_python)
    part.facts["roboflow's environment"] = facts.peer_versions(asked.roboflow_python)
    ours = {OURS, *OURS_IN_OPENVINO.values()}
    chosen = [arm for arm in arms(asked) if arm.name in ours] + _others(asked)
    measured = measure(chosen, rounds=asked.rounds)
    part.holes += measured.holes
    known = [arm for arm in chosen if arm.name in measured.answers]
    rates = {arm.name: rate_figure(part, arm, measured.answers[arm.name]) for arm in known}
    rows = [arm_row(part, arm, measured.answers[arm.name]) for arm in known]
    part.tables.append(rate_table("The same file and clip", rows))
    for mine, name in _pairs():
        if mine in rates and name in rates:
            found = intervals.ratio(rates[mine].rounds, rates[name].rounds)
            label = f"{rates[mine].label} over {rates[name].label}, in rate"
            goal = SAME_PRECISION if mine != OURS else None
            part.claim(f"over_{name}{mine.removeprefix(OURS)}", label, found, at_least=goal)
    part.tables.append(_weights(asked, part))
    return part


def _pairs() -> list[tuple[str, str]]:
    """Arms of ours and the peers they are set beside: OpenVINO's loops in the same precision too.

    OpenVINO calls fp32 ``f32``.
    """
    every = ("ultralytics_track", "roboflow", "openvino_f32", "openvino_bf16")
    return [(OURS, name) for name in every] + [
        (mine, f"openvino_{HINTS[precision]}") for precision, mine in OURS_IN_OPENVINO.items()
    ]


def _others(asked: Options) -> list[Arm]:
    peers = asked.peers_python
    track = (*asked.arm, "--how", "track")
    found = [
        Arm(
            "ultralytics_track",
            "ultralytics track",
            "benchmarks.arms.peers.ultralytics",
            track,
            python=peers,
        ),
        Arm(
            "roboflow",
            "roboflow inference's pipeline",
            "benchmarks.arms.peers.roboflow",
            asked.arm,
            python=asked.roboflow_python,
        ),
    ]
    for precision in ("f32", "bf16"):
        arguments = (*asked.arm, "--how", "loop", "--precision", precision)
        label = f"OpenVINO request queue, {precision}"
        found.append(
            Arm(
                f"openvino_{precision}",
                label,
                "benchmarks.arms.peers.openvino",
                arguments,
                python=peers,
            )
        )
    return found


def _weights(asked: Options, part: Part) -> results.Table:
    rows = []
    environments = {"peers": asked.peers_python, "roboflow": asked.roboflow_python}
    for distribution, statement, whose in PACKAGES:
        python = environments.get(whose, Path(sys.executable))
        size_mb, count = closure_mb(python, distribution)
        if size_mb is None:
            part.holes.append(
                f"{distribution}: not installed at {python}, so its size is not known"
            )
            continue
        took_s = [s for _ in range(IMPORTS) if (s := import_s(python, statement)) is not None]
        cell = f"{intervals.median(took_s):.2f}" if took_s else results.NONE
        rows.append((distribution, f"{size_mb:.0f}", str(count), f"`{statement}`", cell))
    columns = ("package", "install MB", "packages", "what is imported", "import s")
    note = (
        "install: files of the package and of all that it requires by itself, as PyPI gives them; "
        f"import: median of {IMPORTS} fresh interpreters, files in the page cache."
    )
    return results.Table("Weight", columns, tuple(rows), note)


_CLOSURE = """
import importlib.metadata as m, json, os, re, sys
def canonical(name): return re.sub('[-_.]+', '-', name or '').lower()
have = {canonical(d.metadata['Name']): d for d in m.distributions()}
todo, seen, sizes = [(canonical(sys.argv[1]), '')], set(), {}
while todo:
    name, extra = todo.pop()
    if (name, extra) in seen or name not in have: continue
    seen.add((name, extra))
    files = {str(f.locate()) for f in have[name].files or []}
    sizes[name] = sum(os.path.getsize(f) for f in files if os.path.isfile(f))
    for need in have[name].requires or []:
        wanted = re.search('extra *== *[^a-zA-Z0-9]([-_.a-zA-Z0-9]+)', need)
        if canonical(wanted[1] if wanted else '') != extra: continue
        other, extras = re.match(r'([A-Za-z0-9._-]+) *(?:\\[([^]]*)\\])?', need).groups()
        todo += [(canonical(other), canonical(e.strip())) for e in ['', *(extras or '').split(',')]]
print(json.dumps(sizes))
"""
"""Sizes of a distribution and of all it requires; extras count where somebody requires them."""


def closure_mb(python: Path, distribution: str) -> tuple[float | None, int]:
    """10⁶ bytes of a distribution with all it requires, and how many those are; None: missing."""
    try:
        done = subprocess.run(
            [str(python), "-c", _CLOSURE, distribution], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None, 0
    sizes = json.loads(done.stdout)
    return (sum(sizes.values()) / 1e6, len(sizes)) if sizes else (None, 0)


def import_s(python: Path, statement: str) -> float | None:
    """Seconds that ``statement`` takes a fresh interpreter; None when it fails."""
    code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    done = subprocess.run(
        [str(python), "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OFFLINE_MODE": "True"},  # roboflow's: no model, no usage report
    )
    return float(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


if __name__ == "__main__":
    options.main(measure_peers, __doc__, rounds=3, frames=100)
