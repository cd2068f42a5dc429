"""What comes out of the pipeline, one for each frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from oneglance.perception.budget import Step
from oneglance.streams.frame import Frame

if TYPE_CHECKING:
    import supervision as sv

STAGES = ("decode", "queue", "convert", "preprocess", "inference", "postprocess", "track")
"""The stages a result's ``timings`` name, in a frame's order."""


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One frame and what the network saw in it.

    ``detections``: ``supervision.Detections``; ``xyxy`` float32 in pixels of ``frame.image``,
    ``confidence`` in 0..1, ``class_id``, ``tracker_id`` (None without a tracker; -1 for a box
    no track holds yet), ``data["class_name"]`` and ``data["task"]``.
    ``timings``: seconds for each stage in ``STAGES``; ``decode`` only where the source says how
    long it took, ``track`` only with a tracker. Waiting for a camera is no stage. ``convert``:
    the decoder's planes into BGR, where the detector does not take them as they are.
    ``age_s``: live sources only, seconds from capture to this result, never less than the stages
    after capture (those after ``decode``; of a camera or a network stream ``decode`` as well);
    None for recordings.
    ``dropped``: frames of this source dropped since the last result.
    ``predicted``: the network did not look at this frame: its detections are where the tracker
    expects the objects of the last frame that was looked at. In a run that predicts,
    ``data["predicted"]`` says the same of every box, in every result.
    ``step``: of a run with a budget, what looked at frames when this one came.
    """

    frame: Frame
    detections: sv.Detections
    timings: Mapping[str, float]
    age_s: float | None
    dropped: int
    predicted: bool = False
    step: Step | None = None
