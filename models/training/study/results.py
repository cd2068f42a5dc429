"""What an arm of the study found, kept in its folder so that a stopped study goes on.

``arm.json`` says what was asked, ``result.json`` and ``draws.npy`` what came out, ``failed.json``
why nothing did.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oneglance.models.tasks import Task
from oneglance.streams.errors import DataError
from oneglance.streams.output_folder import OutputFolder
from oneglance.streams.outputs import write_file

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Score:
    """One task on one set's val images: COCO's mAP in 0..1, and F1 at the default confidence.

    ``by_iou``: average precision at each of the ten ``precision.THRESHOLDS``. ``by_iou_draws``
    10×D and ``f1_draws`` D: the same of each of D draws of images. The draws of all arms are the
    same images, so arms can be compared draw by draw.
    """

    set_name: str
    task: Task
    map50: float
    map50_95: float
    f1: float
    by_iou: tuple[float, ...]
    boxes: int
    images: int
    by_iou_draws: Floats = field(repr=False, compare=False)
    f1_draws: Floats = field(repr=False, compare=False)

    @property
    def draws(self) -> Floats:
        """mAP50-95 of each draw."""
        result: Floats = self.by_iou_draws.mean(axis=0)
        return result

    def as_dict(self) -> dict[str, Any]:
        """All but the draws, ready for JSON."""
        return {
            "set": self.set_name,
            "task": self.task.value,
            "map50": self.map50,
            "map50_95": self.map50_95,
            "f1": self.f1,
            "by_iou": list(self.by_iou),
            "boxes": self.boxes,
            "images": self.images,
        }


@dataclass(frozen=True, slots=True)
class ArmResult:
    """An arm that was trained and scored. ``training``: facts such as minutes and device."""

    scores: tuple[Score, ...]
    training: dict[str, Any]

    @property
    def minutes(self) -> float | None:
        """How long it trained; None where it was not trained."""
        return self.training.get("minutes")


@dataclass(frozen=True, slots=True)
class Failure:
    """An arm that was tried, and why there is nothing to show."""

    reason: str


Outcome = ArmResult | Failure | None
"""None: not run yet."""


def begin(folder: Path, asked: dict[str, Any]) -> None:
    """Note what the arm in ``folder`` is to be; one to be scored on other sets loses its result,
    not its training.

    Raises:
        DataError: there is already one made another way.
    """
    file = folder / "arm.json"
    OutputFolder(folder, "train").claim()
    if file.is_file():
        found = _read(file)
        # Where a checksum says what a set holds, it does not matter where the set lies.
        differing = sorted(
            key for key in asked if asked[key] != found.get(key) and f"{key}_sha256" not in asked
        )
        if differing and set(differing) <= {"scored_on", "scored_on_sha256"}:
            (folder / "result.json").unlink(missing_ok=True)
        elif differing:
            raise DataError(
                f"{folder} holds an arm made another way (different "
                f"{', '.join(key.removesuffix('_sha256') for key in differing)}): "
                "give another --out, or the same arguments to go on"
            )
    _write(file, asked)


def keep(folder: Path, result: ArmResult) -> None:
    """Write an arm's result; its result.json last, for it says that all is there."""
    (folder / "result.json").unlink(missing_ok=True)
    draws = np.array([np.vstack((s.by_iou_draws, s.f1_draws)) for s in result.scores])
    buffer = io.BytesIO()
    np.save(buffer, draws.astype(np.float32), allow_pickle=False)
    write_file(folder / "draws.npy", buffer.getvalue())
    content = {
        "scores": [score.as_dict() for score in result.scores],
        "training": result.training,
    }
    _write(folder / "result.json", content)
    (folder / "failed.json").unlink(missing_ok=True)


def keep_failure(folder: Path, reason: str) -> None:
    """Note why an arm failed; it is tried again by the next run."""
    OutputFolder(folder, "train").claim()
    _write(folder / "failed.json", {"reason": reason})


def read(folder: Path) -> Outcome:
    """What an arm's folder holds; a result that lacks a score which we have learnt to take since
    is none, so that the arm, which need not be trained again, is scored again.

    Raises:
        DataError: its files are broken.
    """
    if (folder / "result.json").is_file():
        content = _read(folder / "result.json")
        try:
            if any(not {"f1", "by_iou"} <= entry.keys() for entry in content["scores"]):
                return None
            draws = np.load(folder / "draws.npy", allow_pickle=False).astype(np.float64)
            scores = _scores(content["scores"], draws)
            return ArmResult(scores, dict(content["training"]))
        except (KeyError, OSError, TypeError, ValueError) as error:
            raise DataError(
                f"{folder} is damaged ({error}): delete its result.json to score it again"
            ) from None
    if (folder / "failed.json").is_file():
        return Failure(str(_read(folder / "failed.json").get("reason", "unknown")))
    return None


def _scores(entries: Sequence[dict[str, Any]], draws: Floats) -> tuple[Score, ...]:
    return tuple(
        Score(
            set_name=str(entry["set"]),
            task=Task(entry["task"]),
            map50=float(entry["map50"]),
            map50_95=float(entry["map50_95"]),
            f1=float(entry["f1"]),
            by_iou=tuple(map(float, entry["by_iou"])),
            boxes=int(entry["boxes"]),
            images=int(entry["images"]),
            by_iou_draws=drawn[:-1],
            f1_draws=drawn[-1],
        )
        for entry, drawn in zip(entries, draws, strict=True)
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise DataError(f"{file} is damaged: delete it to run its arm again") from None
    return content


def _write(file: Path, content: dict[str, Any]) -> None:
    write_file(file, json.dumps(content, indent=2) + "\n")
