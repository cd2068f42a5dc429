"""What two runs saw in one frame, compared box by box: pure, without a clock or a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import supervision as sv
from scipy.optimize import linear_sum_assignment

from oneglance.models.tasks import Task
from oneglance.streams.errors import UsageError

MATCH_IOU = 0.3
"""Two boxes of a task that overlap less are not of one object."""


class Kind(StrEnum):
    """How a box may differ."""

    MISSING = "missing"
    EXTRA = "extra"
    MOVED = "moved"
    SCORE = "score"
    CLASS = "class"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """What may differ before a run counts as another.

    ``iou``: a matched box overlaps its counterpart at least so much, or is "moved". ``score``:
    how far a confidence may shift; also how near to the least confidence a box may come or go.
    ``share``: of a task's boxes, how many may differ at all, 0 to 1.
    """

    iou: float = 0.8
    score: float = 0.05
    share: float = 0.01

    def __post_init__(self) -> None:
        for name in ("iou", "score", "share"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"the tolerance '{name}' is 0 to 1, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True, eq=False)
class FrameDifference:
    """One frame, compared. ``before`` and ``after``: every box of either run; ``kinds``: what is
    beyond the tolerance, by task; ``differing_before`` and ``differing_after``: rows of the
    boxes that are. ``shift``: the largest change of a matched box's score."""

    index: int
    before: sv.Detections
    after: sv.Detections
    kinds: Counter[tuple[Task, Kind]]
    matched: Counter[Task]
    differing_before: tuple[int, ...]
    differing_after: tuple[int, ...]
    shift: dict[Task, float]

    @property
    def badness(self) -> tuple[int, float]:
        """Orders frames, the worst last."""
        return self.kinds.total(), max(self.shift.values(), default=0.0)


def compare_frame(
    index: int,
    before: sv.Detections,
    after: sv.Detections,
    *,
    tolerance: Tolerance,
    least_confidence: float,
) -> FrameDifference:
    """What was seen ``before`` held against what is seen ``after``, each task for itself.

    Boxes of a task are matched so that their overlaps (IoU) add up to the most. A box without a
    counterpart is missing or extra, unless its score is so near to ``least_confidence``, below
    which neither run reports any, that it may come and go.
    """
    found = FrameDifference(index, before, after, Counter(), Counter(), (), (), {})
    wrong_before: list[int] = []
    wrong_after: list[int] = []
    for task in Task:
        ours, theirs = _rows(before, task), _rows(after, task)
        pairs = _matches(before.xyxy[ours], after.xyxy[theirs])
        matched_before = {int(ours[i]) for i, _, _ in pairs}
        matched_after = {int(theirs[j]) for _, j, _ in pairs}
        found.matched[task] = len(pairs)
        for i, j, overlap in pairs:
            row, other = int(ours[i]), int(theirs[j])
            shift = abs(_score(before, row) - _score(after, other))
            found.shift[task] = max(shift, found.shift.get(task, 0.0))
            kind = _difference(before, row, after, other, overlap=overlap, tolerance=tolerance)
            if kind is not None:
                found.kinds[task, kind] += 1
                wrong_before.append(row)
                wrong_after.append(other)
        sides = (
            (before, ours, matched_before, wrong_before, Kind.MISSING),
            (after, theirs, matched_after, wrong_after, Kind.EXTRA),
        )
        for boxes, rows, matched, wrong, kind in sides:
            for row in map(int, rows):
                is_sure = _score(boxes, row) > least_confidence + tolerance.score
                if row not in matched and is_sure:
                    found.kinds[task, kind] += 1
                    wrong.append(row)
    return FrameDifference(
        index,
        before,
        after,
        found.kinds,
        found.matched,
        tuple(wrong_before),
        tuple(wrong_after),
        found.shift,
    )


@dataclass(slots=True)
class TaskTotals:
    """A task over the whole run: boxes of either run, and how many differ in each way."""

    before: int = 0
    after: int = 0
    matched: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)
    largest_shift: float = 0.0

    def is_within(self, tolerance: Tolerance) -> bool:
        """Whether no more boxes differ than may."""
        return self.kinds.total() <= tolerance.share * max(self.before, self.after)


@dataclass(slots=True)
class Comparison:
    """A run held against its replay. ``lost``: frames of the run that the source does not give
    any more; ``retimed``: those that it gives at another time; ``other_counts``: those in which
    some task's boxes are more or fewer."""

    tolerance: Tolerance
    frames: int = 0
    lost: int = 0
    retimed: int = 0
    other_counts: int = 0
    tasks: dict[Task, TaskTotals] = field(default_factory=lambda: {t: TaskTotals() for t in Task})

    def add(self, difference: FrameDifference) -> None:
        """Count a frame."""
        self.frames += 1
        counts = []
        for task, totals in self.tasks.items():
            before, after = _count(difference.before, task), _count(difference.after, task)
            counts.append(before == after)
            totals.before += before
            totals.after += after
            totals.matched += difference.matched[task]
            shift = difference.shift.get(task, 0.0)
            totals.largest_shift = max(totals.largest_shift, shift)
        for (task, kind), count in difference.kinds.items():
            self.tasks[task].kinds[kind] += count
        self.other_counts += not all(counts)

    @property
    def is_within(self) -> bool:
        """Whether the replay is the same run, as far as the tolerance goes."""
        same_frames = not (self.lost or self.retimed)
        return same_frames and all(t.is_within(self.tolerance) for t in self.tasks.values())

    def as_dict(self) -> dict[str, object]:
        """The same, ready for JSON."""
        return {
            "within_tolerance": self.is_within,
            "tolerance": {
                name: getattr(self.tolerance, name) for name in ("iou", "score", "share")
            },
            "frames": self.frames,
            "frames_lost": self.lost,
            "frames_at_other_times": self.retimed,
            "frames_with_other_counts": self.other_counts,
            "tasks": {
                task.value: {
                    "before": totals.before,
                    "after": totals.after,
                    "matched": totals.matched,
                    **{kind.value: totals.kinds[kind] for kind in Kind},
                    "largest_score_shift": round(totals.largest_shift, 4),
                    "within_tolerance": totals.is_within(self.tolerance),
                }
                for task, totals in self.tasks.items()
            },
        }


def worst(differences: Iterable[FrameDifference], count: int) -> list[FrameDifference]:
    """Those with the most differences, the worst first; frames without any are none."""
    wrong = [each for each in differences if each.kinds]
    return sorted(wrong, key=lambda each: (each.badness, -each.index), reverse=True)[:count]


def _rows(detections: sv.Detections, task: Task) -> npt.NDArray[np.intp]:
    if not len(detections):
        return np.empty(0, np.intp)
    return np.flatnonzero(np.asarray(detections.data["task"]) == task.value)


def _count(detections: sv.Detections, task: Task) -> int:
    return len(_rows(detections, task))


def _score(detections: sv.Detections, row: int) -> float:
    assert detections.confidence is not None, "a detector gives every box a confidence"
    return float(detections.confidence[row])


def _matches(
    before: npt.NDArray[np.number[Any]], after: npt.NDArray[np.number[Any]]
) -> list[tuple[int, int, float]]:
    """Pairs of rows and their IoU."""
    if not len(before) or not len(after):
        return []
    overlaps = np.asarray(sv.box_iou_batch(before, after), np.float64)
    possible = np.where(overlaps >= MATCH_IOU, overlaps, 0.0)
    chosen = zip(*linear_sum_assignment(possible, maximize=True), strict=True)
    return [(int(i), int(j), float(overlaps[i, j])) for i, j in chosen if possible[i, j] > 0]


def _difference(
    before: sv.Detections,
    row: int,
    after: sv.Detections,
    other: int,
    *,
    overlap: float,
    tolerance: Tolerance,
) -> Kind | None:
    if overlap < tolerance.iou:
        return Kind.MOVED
    if abs(_score(before, row) - _score(after, other)) > tolerance.score:
        return Kind.SCORE
    if str(before.data["class_name"][row]) != str(after.data["class_name"][other]):
        return Kind.CLASS
    return None
