"""A sink of your own: whatever has ``write`` and ``close``, here a table of counts.

python -m oneglance.perception.examples.own_sink drive.mp4 counts.csv
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from oneglance.models import Detector, Task
from oneglance.perception import Pipeline, Result


class CountsSink:
    """One line a frame: its time, and how many detections each task has."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("w", newline="", encoding="utf-8")
        self._lines = csv.writer(self._file)
        self._lines.writerow(["source", "timestamp_s", *(task.value for task in Task)])

    def write(self, result: Result) -> None:
        """Called in the frames' order, on the thread of the sinks: the loop does not wait."""
        tasks = result.detections.data.get("task", ())
        counts = [sum(task == seen for seen in tasks) for task in Task]
        self._lines.writerow([result.frame.source, f"{result.frame.timestamp_s:.3f}", *counts])

    def close(self) -> None:
        """Called once, however the run ends."""
        self._file.close()


def main(source: str = "rendered:?frames=5", out: str = "counts.csv") -> None:
    """Run ``source`` through the network and write the table."""
    summary = Pipeline(source, Detector.load("road4-n-416"), sinks=[CountsSink(Path(out))]).run()
    print(f"{summary.frames} frames counted in {out}")


if __name__ == "__main__":
    main(*sys.argv[1:])
