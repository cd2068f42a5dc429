"""A program that ends while its threads look at images."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from oneglance.models.engines.process_end import EndGate
from waiting import LONG_S, wait_until

PROGRAM = """
import sys, threading
import numpy as np
from oneglance.models import Detector

detector, image = Detector.load(sys.argv[1], threads=1), np.full((96, 160, 3), 90, np.uint8)
begun = threading.Barrier(3)

def look():
    detector(image)
    begun.wait()
    while True:
        detector(image)

for _ in range(2):
    threading.Thread(target=look, daemon=True).start()
begun.wait()
"""


def test_a_program_ends_in_peace_while_threads_look_at_images(model: Path) -> None:
    for _ in range(3):  # without a gate most of them abort
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(model)],
            check=False,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_the_end_waits_for_what_has_begun_and_no_thread_begins_more() -> None:
    gate = EndGate()
    entered, leave = threading.Event(), threading.Event()
    done: list[str] = []

    def work() -> None:
        with gate.working():
            entered.set()
            assert leave.wait(LONG_S)
            done.append("first")
        with gate.working():
            done.append("second")

    threading.Thread(target=work, daemon=True).start()
    assert entered.wait(LONG_S)
    end = threading.Thread(target=gate.end, args=(LONG_S,))
    end.start()
    wait_until(lambda: gate._ending)
    assert end.is_alive()
    leave.set()
    end.join(LONG_S)
    assert not end.is_alive()
    assert done == ["first"]
    with gate.working():  # the main thread's own last work
        done.append("main")
    assert done == ["first", "main"]


def test_the_end_waits_for_what_is_stuck_no_longer_than_it_may() -> None:
    gate = EndGate()
    with gate.working():
        gate.end(0.01)
