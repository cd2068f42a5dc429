"""Why a frame may be worth a label, from what was found in it and its neighbours.

The ideas are old: uncertainty sampling (Lewis and Gale 1994), the disagreement of a committee
(Seung et al. 1992), and time: an object does not vanish for a frame (Jin et al. 2018, "Unsupervised
hard example mining from videos").
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from oneglance.models.overlap import Boxes, iou, to_xywh
from oneglance.perception.convert.boxes import Box, FrameBoxes


class Reason(StrEnum):
    """Why a frame was picked."""

    UNCERTAIN = "uncertain"
    FLICKER = "flicker"
    CLASS_FLIP = "class-flip"
    DISAGREEMENT = "disagreement"
    DARK = "dark"
    GLARE = "glare"
    HAZE = "haze"
    UNUSUAL = "unusual"


UNCERTAIN_WITHIN = 0.15
"""A box is uncertain when its confidence is less than this above the run's threshold."""

LONGEST_GAP = 5
"""Frames (of those that were looked at) for which a track that flickers is not seen. ByteTrack
follows what is hidden for up to a second; that is no flicker but a car behind a lorry."""

SURE = 0.5
"""Confidence of a box that another network ought to have found too, and of a pre-label."""

SAME_OBJECT = 0.5
"""IoU from which two boxes of one task are one object."""

APART_S = 1.0
"""Candidates of one clip and reason lie so far apart."""

A_CLIP = 20
"""Candidates that one clip may have for one reason."""


@dataclass(slots=True)
class Candidate:
    """A frame that may be picked. ``reasons``: how strongly each speaks for it, above 0; strengths
    of one reason can be compared. ``timestamp_s`` is estimated where no box was found."""

    clip: str
    index: int
    timestamp_s: float
    boxes: tuple[Box, ...] = ()
    reasons: dict[Reason, float] = field(default_factory=dict)


def candidates_of(
    frames: Sequence[FrameBoxes],
    *,
    threshold: float,
    step: int,
    others: Mapping[int, FrameBoxes] | None = None,
) -> list[Candidate]:
    """Candidates among the frames of one clip, in their order.

    ``frames`` in the clip's order, those without a box may be left out. ``threshold``: the least
    confidence of the run. ``step``: from one frame that was looked at to the next. ``others``: the
    same clip as another network saw it, by frame.
    """
    if not frames:
        return []
    found = dict[int, Candidate]()
    by_index = {frame.index: frame for frame in frames}
    strengths = [
        *((Reason.UNCERTAIN, frame.index, uncertainty(frame.boxes, threshold)) for frame in frames),
        *((Reason.FLICKER, *gap) for gap in _gaps(frames, step)),
        *((Reason.CLASS_FLIP, *flip) for flip in _flips(frames, step)),
    ]
    if others is not None:
        strengths += [
            (Reason.DISAGREEMENT, index, disagreement(_boxes(by_index, index), each.boxes))
            for index, each in others.items()
        ]
        strengths += [
            (Reason.DISAGREEMENT, frame.index, disagreement(frame.boxes, ()))
            for frame in frames
            if frame.index not in others
        ]
    times = {index: frame.timestamp_s or 0.0 for index, frame in by_index.items()}
    if others is not None:
        times = {index: frame.timestamp_s or 0.0 for index, frame in others.items()} | times
    for reason, index, strength in _strongest(strengths, times):
        one = found.setdefault(
            index,
            Candidate(frames[0].clip, index, _time(times, index), _boxes(by_index, index)),
        )
        one.reasons[reason] = strength
    return [found[index] for index in sorted(found)]


def uncertainty(boxes: Iterable[Box], threshold: float) -> float:
    """How many boxes are near the threshold, each counted by how near: 1 on it, 0 from
    ``UNCERTAIN_WITHIN`` above.

    >>> box = Box("car", "car", 0.325, (0, 0, 1, 1), None)
    >>> round(uncertainty([box, box], 0.25), 3)
    1.0
    """
    above = (box.confidence - threshold for box in boxes)
    return sum(max(0.0, 1 - max(0.0, each) / UNCERTAIN_WITHIN) for each in above)


def disagreement(ones: Sequence[Box], others: Sequence[Box]) -> float:
    """The summed confidence of sure boxes that the other has no box for, be it an unsure one."""
    return _missed(ones, others) + _missed(others, ones)


def _missed(ones: Sequence[Box], others: Sequence[Box]) -> float:
    missed = 0.0
    for task in {box.task for box in ones}:
        mine = [box for box in ones if box.task == task and box.confidence >= SURE]
        theirs = [box for box in others if box.task == task]
        best = iou(_sides(mine), _sides(theirs)).max(axis=1, initial=0)
        for box, overlap in zip(mine, best, strict=True):
            if overlap < SAME_OBJECT:
                missed += box.confidence
    return missed


def _sides(boxes: Sequence[Box]) -> Boxes:
    return to_xywh(np.array([box.xyxy for box in boxes], np.float64).reshape(-1, 4))


def _tracks(frames: Sequence[FrameBoxes]) -> dict[int, list[tuple[int, Box]]]:
    tracks: dict[int, list[tuple[int, Box]]] = {}
    for frame in frames:
        for box in frame.boxes:
            if box.track_id is not None:
                tracks.setdefault(box.track_id, []).append((frame.index, box))
    return tracks


def _gaps(frames: Sequence[FrameBoxes], step: int) -> Iterable[tuple[int, float]]:
    """The middle of each gap in a track, and how sure the box before and after it was."""
    for seen in _tracks(frames).values():
        for (before, one), (after, other) in itertools.pairwise(seen):
            missing = (after - before) // step - 1
            if 1 <= missing <= LONGEST_GAP:
                middle = before + (missing + 1) // 2 * step
                yield middle, (one.confidence + other.confidence) / 2


def _flips(frames: Sequence[FrameBoxes], step: int) -> Iterable[tuple[int, float]]:
    """Frames in which a track is of a subclass that it was not of before nor is of after: a light
    that changes stays changed, and a parent class says that the subclass is not sure."""
    for seen in _tracks(frames).values():
        sure = [(index, box) for index, box in seen if box.class_name != box.task]
        for (before, one), (index, other), (after, last) in zip(
            sure, sure[1:], sure[2:], strict=False
        ):
            is_flip = one.class_name == last.class_name != other.class_name
            if is_flip and after - before <= 2 * LONGEST_GAP * step:
                yield index, other.confidence


def _strongest(
    strengths: Iterable[tuple[Reason, int, float]], times: Mapping[int, float]
) -> Iterable[tuple[Reason, int, float]]:
    """The strongest of each reason that lie apart."""
    by_reason: dict[Reason, dict[int, float]] = {}
    for reason, index, strength in strengths:
        if strength > 0:
            mine = by_reason.setdefault(reason, {})
            mine[index] = mine.get(index, 0.0) + strength
    for reason, mine in by_reason.items():
        kept: list[float] = []
        for index, strength in sorted(mine.items(), key=lambda item: (-item[1], item[0])):
            time_s = _time(times, index)
            if len(kept) < A_CLIP and all(abs(time_s - other) >= APART_S for other in kept):
                kept.append(time_s)
                yield reason, index, strength


def _time(times: Mapping[int, float], index: int) -> float:
    """When a frame is due, from the nearest frame that is known."""
    if index in times:
        return times[index]
    return times[min(times, key=lambda other: abs(other - index))]


def _boxes(frames: Mapping[int, FrameBoxes], index: int) -> tuple[Box, ...]:
    return frames[index].boxes if index in frames else ()
