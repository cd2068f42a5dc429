"""Arm: ``oneglance run`` as a user starts it, timed from outside by the lines it writes."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.arms import measuring
from oneglance.models.engines.loading import DEFAULT_ENGINE
from oneglance.perception.mode import Mode


def main() -> None:
    arguments = measuring.parser(__doc__)
    arguments.add_argument("--command", type=Path, required=True, help="the oneglance command")
    arguments.add_argument("--engine", default=DEFAULT_ENGINE, help="or auto")
    arguments.add_argument("--precision", help="the engine's own by default")
    arguments.add_argument("--mode", choices=tuple(Mode), default=Mode.AUTO)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        summary_file = Path(folder) / "summary.json"
        command = [
            *(options.command, "run", options.clip, "--model", options.model, "--jsonl", "-"),
            *("--engine", options.engine, "--mode", options.mode),
            *(() if options.precision is None else ("--precision", options.precision)),
            *("--max-frames", options.frames + options.warmup + 1),
            *("--json-summary", summary_file),
        ]
        stamps_s, lines = [], []
        started_s = time.perf_counter()
        with subprocess.Popen(
            [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            cpu_ms: list[float | None] = []
            for line in process.stdout:
                stamps_s.append(time.perf_counter())
                lines.append(line)
                if len(lines) in {options.warmup + 1, options.warmup + options.frames}:
                    cpu_ms.append(measuring.process_cpu_ms(process.pid))
            errors = process.stderr.read().decode(errors="replace").strip()
        if process.returncode:
            sys.exit(f"oneglance run failed: {' '.join(errors.splitlines()[-3:])}")
        summary = json.loads(summary_file.read_text())
    spent_ms = None
    if len(cpu_ms) == 2 and cpu_ms[0] is not None and cpu_ms[1] is not None:
        spent_ms = (cpu_ms[1] - cpu_ms[0]) / (options.frames - 1)
    found = [json.loads(line) for line in lines]
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    measuring.answer(
        intervals_ms=measuring.intervals_ms(stamps_s, warmup=options.warmup),
        first_s=stamps_s[0] - started_s,
        peak_mb=summary["peak_memory_mb"],
        cpu_s=children.ru_utime + children.ru_stime,
        cpu_ms=spent_ms,
        frames=len(lines),
        boxes=sum(len(each["detections"]) for each in found),
        ages_ms=[each["age_ms"] for each in found[options.warmup + 1 :] if "age_ms" in each],
        engine=summary["engine"],
        precision=summary["precision"],
        own_fps=summary["fps"],
        stages_ms={stage: found["p50"] for stage, found in summary["latency_ms"].items()},
        end_to_end_ms=summary["end_to_end_ms"],
    )


if __name__ == "__main__":
    main()
