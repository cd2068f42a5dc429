"""The doors that damaged inputs go through, in a process of their own.

A door may refuse with a ``OneglanceError``. Any other exception is a finding; so is a process
that dies, hangs or grows, which the parent sees.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from oneglance.streams.errors import OneglanceError

MOST_FRAMES = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one input. ``kind``: played, refused, traceback, crash, hang or memory."""

    kind: str
    words: str = ""
    grown_mb: float = 0.0


def open_media(file: Path) -> None:
    """Play a video or an image."""
    from oneglance.streams import open_stream

    with open_stream(file) as stream:
        for count, frame in enumerate(stream, 1):
            assert frame.image.ndim == 3
            if count == MOST_FRAMES:
                break


def open_data(file: Path) -> None:
    """Audit a data set: reads it, its labels and its images."""
    from oneglance.models.training.audit.report import audit_files

    audit_files([file], (640, 384))


def open_model(file: Path) -> None:
    """Load a model and look at one image with it."""
    from oneglance.models import Detector

    Detector.load(str(file), threads=1)(np.zeros((48, 64, 3), np.uint8))


def open_checkpoint(file: Path) -> None:
    """Read a network to train from."""
    from oneglance.models.training.checkpoints import read_checkpoint

    read_checkpoint(file)


def open_results(file: Path) -> None:
    """Read what a run or a tool for labelling wrote, to convert it and to replay it."""
    from oneglance.models.tasks import FOUR_TASKS
    from oneglance.perception.convert.reading import read_results
    from oneglance.perception.replay.runs import read_run

    with suppress(OneglanceError):
        read_run(file, source=None, classes=FOUR_TASKS)
    for _ in read_results(file):
        pass


DOORS: dict[str, Callable[[Path], None]] = {
    "media": open_media,
    "data": open_data,
    "labels": open_data,
    "annotations": open_data,
    "model": open_model,
    "checkpoint": open_checkpoint,
    "results": open_results,
}


def serve(parent: Connection) -> None:
    """Open what the parent names until it hangs up."""
    while True:
        try:
            door, file = parent.recv()
        except EOFError:
            return
        before_mb = _forget_peak_mb()
        try:
            DOORS[door](Path(file))
            outcome = Outcome("played")
        except OneglanceError as error:
            outcome = Outcome("refused", str(error))
        except BaseException:  # noqa: BLE001 - whatever it is, it is what we look for
            outcome = Outcome("traceback", traceback.format_exc())
        grown_mb = max(0.0, _status_mb("VmHWM") - before_mb)
        parent.send(Outcome(outcome.kind, outcome.words, round(grown_mb, 1)))


def _forget_peak_mb() -> float:
    """Begin a new peak of memory; what is held now."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:  # not Linux: growth over all that came before
        return 0.0
    return _status_mb("VmRSS")


def _status_mb(name: str) -> float:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), 0.0)
