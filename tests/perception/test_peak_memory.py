"""What the README's first command needs of a small machine's memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import pytest

from program import lines_of, start

FRAMES = 100
MOST_MB = 440.0
"""The README says about 400. Quiet: 370 to 390; the rest of the drive and a busy machine add 10."""

CPUS = 2
"""Each CPU more works on one frame more, and needs memory for it."""


@pytest.mark.slow  # five seconds where nothing else runs, minutes where much does
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in Linux's own way")
def test_the_first_command_needs_the_memory_that_the_readme_says(tmp_path: Path) -> None:
    video, lines, summary = (
        tmp_path / name for name in ("seen.mp4", "seen.jsonl", "reported.json")
    )
    words = ["run", "--video", video, "--jsonl", lines, "--json-summary", summary]
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:CPUS])  # what is started inherits it
    try:
        run = start(*words, "--max-frames", FRAMES, stdout=subprocess.DEVNULL)
    finally:
        os.sched_setaffinity(0, allowed)
    try:
        assert run.wait(560) == 0
    finally:
        run.kill()
        run.wait()
    assert len(lines_of(lines)) == FRAMES
    with av.open(video) as container:
        assert sum(1 for _ in container.decode(video=0)) == FRAMES
    peak_mb = json.loads(summary.read_text())["peak_memory_mb"]
    print(f"peak of {FRAMES} frames: {peak_mb} MB")
    assert peak_mb < MOST_MB
