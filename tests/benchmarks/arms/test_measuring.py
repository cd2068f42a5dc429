"""What an arm measures of itself."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from benchmarks.arms import measuring
from benchmarks.processes import found_here


def test_intervals_are_one_fewer_than_stamps_and_leave_out_the_warm_up() -> None:
    assert measuring.intervals_ms([0.0, 5.0, 5.01, 5.03], warmup=1) == pytest.approx([10.0, 20.0])


def test_a_clip_that_ends_before_a_frame_was_timed_is_reported() -> None:
    with pytest.raises(measuring.TooFewFrames, match="ended after 3 frames; 4 are needed"):
        measuring.intervals_ms([0.0, 1.0, 2.0], warmup=2)


TOUCHING = """
import numpy as np
from benchmarks.arms import measuring
before = measuring.pss_mb()
held = np.ones(50_000_000, np.uint8)
print(before, measuring.pss_mb(), measuring.peak_memory_mb())
"""


def test_memory_is_counted_where_it_is_touched() -> None:
    if measuring.pss_mb() is None:
        pytest.skip("PSS is Linux's")
    # In a process of its own: what the tests' own gives back meanwhile is not to be seen here.
    reported = subprocess.run(
        [sys.executable, "-c", TOUCHING],
        env=found_here(),
        capture_output=True,
        text=True,
        check=True,
    )
    before, after, peak = map(float, reported.stdout.split())
    assert 45 < after - before < 60
    assert peak >= 50


def test_memory_of_a_process_that_is_gone_is_not_reported() -> None:
    assert measuring.pss_mb(["self", 2**22 + 1]) is None
    assert measuring.peak_memory_mb(os.getpid()) == measuring.peak_memory_mb()


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's clocks of processes")
def test_cpu_time_of_a_process_counts_threads_that_have_ended() -> None:
    program = (
        "import sys, threading, time\n"
        "def work():\n"
        "    while time.thread_time() < 0.2: pass\n"
        "thread = threading.Thread(target=work)\n"
        "thread.start()\n"
        "thread.join()\n"
        "print(flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        spent_ms = measuring.process_cpu_ms(process.pid)
        process.communicate()
    assert spent_ms is not None
    assert spent_ms >= 200
    assert measuring.process_cpu_ms(process.pid) is None
