"""The driver of a run of thousands needs no more memory than that of a run of a hundred."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CLIPS = 2_000
MOST_MB = 50.0

_MEASURED = """
import sys
from oneglance.perception.batch.clip import Settings
from oneglance.perception.batch.job import BatchOptions, BatchSummary, run_batch

def memory_mb():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1e3

def main():
    clips, model, out = sys.argv[1:]
    seen = []
    options = BatchOptions(
        uris=[clips], out=out, workers=2, settings=Settings(model=model, cpus=1)
    )
    summary = BatchSummary()
    run_batch(options, summary, lambda *_: seen.append(memory_mb()))
    assert summary.done == summary.clips and not summary.broken_count
    print(summary.done, max(seen) - seen[0])

if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in Linux's own way")
def test_the_driver_of_two_thousand_clips_grows_by_little(
    video: Callable[..., Path], model: Path, tmp_path: Path
) -> None:
    clip = video("a.mp4", frames=10)
    (tmp_path / "clips").mkdir()
    for number in range(CLIPS):
        os.link(clip, tmp_path / "clips" / f"{number:04}.mp4")
    program = tmp_path / "measured.py"  # a file: the workers' processes import it
    program.write_text(_MEASURED)
    reported = subprocess.run(
        [sys.executable, program, tmp_path / "clips" / "*.mp4", model, tmp_path / "out"],
        capture_output=True,
        text=True,
        check=True,
        timeout=1000,
    ).stdout
    done, grown_mb = reported.split()
    print(f"grown by {float(grown_mb):.0f} MB")
    assert int(done) == CLIPS
    assert float(grown_mb) <= MOST_MB
