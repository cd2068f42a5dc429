"""Boxes and labels on a copy of a frame: one colour a task, readable at any size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from oneglance.models.tasks import Task
from oneglance.streams.frame import Image

if TYPE_CHECKING:
    import supervision as sv

# Okabe and Ito's palette (2008), which colour-blind people tell apart too; BGR.
COLOURS: dict[str, tuple[int, int, int]] = {
    Task.PEDESTRIAN.value: (0, 159, 230),  # orange
    Task.CAR.value: (233, 180, 86),  # sky blue
    Task.SIGN.value: (167, 121, 204),  # reddish purple
    Task.LIGHT.value: (66, 228, 240),  # yellow
}
_OTHER = (200, 200, 200)
_TEXT = (20, 20, 20)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def annotate(image: Image, detections: sv.Detections) -> Image:
    """A copy of ``image`` (H×W×3 BGR uint8) with every detection drawn on it.

    A label reads ``class 0.87 #12``: class, confidence and, for a tracked object, its id.
    """
    canvas = image.copy()
    height, width = canvas.shape[:2]
    line = max(1, round(min(height, width) / 360))
    scale = max(0.35, min(height, width) / 1500)
    order = np.argsort(-detections.area) if len(detections) else ()
    boxes = [_Drawn(detections, int(row)) for row in order]
    for box in boxes:  # large ones first: a small one is never covered
        cv2.rectangle(canvas, box.corner, box.opposite, box.colour, line, cv2.LINE_AA)
    for box in boxes:
        _label(canvas, box, scale)
    return canvas


class _Drawn:
    """One detection in whole pixels, with its words."""

    __slots__ = ("colour", "corner", "opposite", "text")

    def __init__(self, detections: sv.Detections, row: int) -> None:
        x1, y1, x2, y2 = (round(float(edge)) for edge in detections.xyxy[row])
        self.corner, self.opposite = (x1, y1), (x2, y2)
        self.colour = COLOURS.get(str(detections.data["task"][row]), _OTHER)
        words = [str(detections.data["class_name"][row])]
        if detections.confidence is not None:
            words.append(f"{detections.confidence[row]:.2f}")
        if detections.tracker_id is not None and detections.tracker_id[row] >= 0:
            words.append(f"#{detections.tracker_id[row]}")
        self.text = " ".join(words)


def _label(canvas: Image, box: _Drawn, scale: float) -> None:
    height, width = canvas.shape[:2]
    thickness = max(1, round(scale * 1.6))
    (text_width, text_height), baseline = cv2.getTextSize(box.text, _FONT, scale, thickness)
    pad = max(2, round(4 * scale))
    label_height = text_height + baseline + pad
    left = max(0, min(box.corner[0], width - text_width - 2 * pad))
    top = box.corner[1] - label_height
    if top < 0:  # no room above: below the box, and at the edge of the picture at last
        top = min(box.opposite[1], height - label_height)
    top = max(0, top)
    right, bottom = left + text_width + 2 * pad, top + label_height
    cv2.rectangle(canvas, (left, top), (right, bottom), box.colour, cv2.FILLED)
    place = (left + pad, bottom - baseline)
    cv2.putText(canvas, box.text, place, _FONT, scale, _TEXT, thickness, cv2.LINE_AA)
