"""A recorded run played again and compared as it goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import cv2
import numpy as np
import supervision as sv

from oneglance.perception.mode import Mode
from oneglance.perception.pipeline import Pipeline
from oneglance.perception.protocols import DetectorLike
from oneglance.perception.replay.comparison import (
    Comparison,
    FrameDifference,
    Tolerance,
    compare_frame,
    worst,
)
from oneglance.perception.replay.runs import RecordedRun
from oneglance.perception.ros_messages import header_of
from oneglance.perception.sinks.drawing import annotate
from oneglance.streams.errors import UsageError
from oneglance.streams.frame import Frame, Image
from oneglance.streams.stream import Stream

_SAME_TIME_NS = 1_000_000
"""JSON Lines have microseconds, some containers milliseconds."""

_BAND_PX = 28
_MARK = (60, 60, 255)


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A frame that differs, and its image."""

    difference: FrameDifference
    image: Image


def replay(
    run: RecordedRun,
    stream: Stream,
    detector: DetectorLike,
    *,
    tolerance: Tolerance,
    least_confidence: float,
    keep: int = 5,
) -> tuple[Comparison, list[Shown]]:
    """Play ``stream`` up to the run's last frame; what differs, and the ``keep`` worst frames.

    Frames between those of the run (it dropped them) are not compared.

    Raises:
        UsageError: the source is live: no frame of it comes again.
        StreamError: it broke.
    """
    if stream.live:
        stream.close()
        raise UsageError(f"{stream.source} is live: only a recording can be played again")
    comparison, shown = Comparison(tolerance), list[Shown]()
    seen: set[int] = set()
    for frame, detections in _results(stream, detector, run.last):
        before = run.frames.get(frame.index)
        if before is None:
            continue
        seen.add(frame.index)
        comparison.retimed += abs(header_of(frame).stamp_ns - before.stamp_ns) > _SAME_TIME_NS
        difference = compare_frame(
            frame.index,
            before.detections,
            detections,
            tolerance=tolerance,
            least_confidence=least_confidence,
        )
        comparison.add(difference)
        shown.append(Shown(difference, frame.image))
        best = worst((each.difference for each in shown), keep)
        shown = [each for each in shown if any(each.difference is one for one in best)]
    comparison.lost = len(run.frames.keys() - seen)
    shown.sort(key=lambda each: each.difference.badness, reverse=True)
    return comparison, shown


def _results(
    stream: Stream, detector: DetectorLike, last: int
) -> Iterator[tuple[Frame, sv.Detections]]:
    pipeline = Pipeline(stream, detector, mode=Mode.RECORDED)
    with closing(iter(pipeline)) as results:
        for result in results:
            if result.frame.index > last:
                return
            yield result.frame, result.detections
            if result.frame.index == last:
                return


def image_of(shown: Shown) -> Image:
    """Both runs' boxes side by side, the recorded one on the left; what differs is framed red."""
    difference = shown.difference
    sides = (
        ("recorded", difference.before, difference.differing_before),
        ("now", difference.after, difference.differing_after),
    )
    panels = []
    for name, detections, differing in sides:
        panel = annotate(shown.image, detections)
        for row in differing:
            x1, y1, x2, y2 = (round(float(side)) for side in detections.xyxy[row])
            cv2.rectangle(panel, (x1 - 8, y1 - 8), (x2 + 8, y2 + 8), _MARK, 2)
        band = np.full((_BAND_PX, panel.shape[1], 3), 24, np.uint8)
        text = f"{name}: frame {difference.index}, {len(differing)} of {len(detections)} differ"
        cv2.putText(band, text, (8, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (235, 235, 235), 1)
        panels.append(np.vstack((band, panel)))
    return np.ascontiguousarray(np.hstack(panels))
