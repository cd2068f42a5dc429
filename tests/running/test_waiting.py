"""What the tests measure time with."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from waiting import Stopwatch, wait_until, within

COUNTING = """
import sys, time
from waiting import Stopwatch
watch = Stopwatch()
began_s = time.monotonic()
print("counting", flush=True)
while time.monotonic() - began_s < 2.0:
    time.sleep(0.01)  # it only has to live on
print(watch.stop())
"""


def test_time_that_passes_is_counted() -> None:
    began_s = time.monotonic()
    watch = Stopwatch()
    wait_until(lambda: watch.elapsed_s() > 0.1)
    took_s = watch.stop()
    assert 0.1 < took_s <= time.monotonic() - began_s
    assert watch.elapsed_s() == took_s


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGSTOP")
def test_time_in_which_the_process_could_not_run_is_not_counted() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", COUNTING],
        cwd=Path(__file__).parent,
        env={"PYTHONPATH": str(Path(__file__).parent)},
        stdout=subprocess.PIPE,
        text=True,
    ) as counting:
        assert counting.stdout is not None
        assert counting.stdout.readline() == "counting\n"
        counting.send_signal(signal.SIGSTOP)
        time.sleep(1.5)  # what is not counted
        counting.send_signal(signal.SIGCONT)
        took_s = float(counting.stdout.read())
    assert 0 < took_s < 0.7


def test_what_takes_longer_than_promised_fails() -> None:
    with pytest.raises(AssertionError, match=r"not less than 0\.05 s"), within(0.05) as watch:
        wait_until(lambda: watch.elapsed_s() > 0.05)


def test_every_sleep_in_a_test_says_what_it_is() -> None:
    """A slow peer, source or engine, never a wait: for what happens there is ``wait_until``."""
    lines = [
        (str(file), line.strip())
        for file in Path(__file__).parents[1].rglob("*.py")
        for line in file.read_text(encoding="utf-8").splitlines()
        if re.search(r"\b(time|asyncio)\.sleep\(", line)
    ]
    assert len(lines) > 10
    assert [line for line in lines if "  # " not in line[1] and "re.search" not in line[1]] == []


def test_what_never_happens_is_reported_by_name() -> None:
    with pytest.raises(AssertionError, match=r"not within 0\.05 s: the cow"):
        wait_until(lambda: False, "the cow", within_s=0.05)
