"""The files that a study trained, to be timed and scored: ``oneglance study``'s folder, read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oneglance.models.tasks import Task
from oneglance.streams.errors import DataError, UsageError


@dataclass(frozen=True, slots=True)
class Studied:
    """One seed's files. ``data``: every set of the study, those it trains on and those it scores.

    ``four`` names a file for each task, there or not: whoever needs it says what is missing.
    """

    model: Path
    weights: Path | None
    four: dict[Task, Path]
    data: tuple[Path, ...]


def read_study(folder: Path, seed: int) -> Studied:
    """The files of ``seed`` in a study's folder.

    Raises:
        UsageError: no study there, or none of that seed, or its network for all tasks is not
            trained yet.
        DataError: the note of what that network was trained on is damaged.
    """
    arms = folder / "arms"
    if not arms.is_dir():
        raise UsageError(f"--study {folder} is no folder of 'oneglance study': it has no arms/")
    one = arms / f"one.s{seed}"
    if not (one / "model.onnx").is_file():
        raise UsageError(
            f"{one} holds no model.onnx: the study has not trained its network for all tasks with "
            f"seed {seed} (--seed) yet"
        )
    note = one / "arm.json"
    try:
        asked: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
        data = tuple(Path(file) for file in dict.fromkeys([*asked["data"], *asked["scored_on"]]))
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"{note} is missing or damaged: it names the study's data sets") from None
    return Studied(
        model=one / "model.onnx",
        weights=one / "model.pt",
        four={task: arms / f"{task.value}.s{seed}" / "model.onnx" for task in Task},
        data=data,
    )
