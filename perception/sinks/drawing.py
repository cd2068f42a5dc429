"""Boxes and labels on an image, readable on road scenes.

Drawn with OpenCV alone: supervision's annotators take as long, cost half a second to import,
and know neither one text colour a background nor labels that avoid small boxes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from oneglance.models.tasks import Task
from oneglance.streams.frame import Image

if TYPE_CHECKING:
    import supervision as sv

Colour = tuple[int, int, int]
"""Blue, green, red: OpenCV's order."""

COLOURS: dict[Task, Colour] = {
    Task.PEDESTRIAN: (0, 110, 255),
    Task.CAR: (255, 208, 111),
    Task.SIGN: (0, 230, 255),
    Task.LIGHT: (167, 121, 204),
}
"""One colour a task: orange, sky blue, yellow and purple, after Okabe and Ito, so that the
colour-blind distinguish them too."""

INK: Colour = (16, 16, 16)
"""Text, and a thin edge around boxes that keeps them visible before a bright sky."""

_NO_TRACK = -1
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_OVERSAMPLING = 4

_PREFERENCE = np.array([0.0, 0.04, 0.08, 0.1, 0.12])
"""What each of the ``_candidates`` costs before it covers anything."""


@dataclass(frozen=True, slots=True)
class _Style:
    """Sizes in pixels: a box's line, a capital letter's height, the room around a text."""

    line: int
    cap: int
    padding: int

    @classmethod
    def of(cls, height: int) -> _Style:
        """The style for images of this height."""
        cap = min(max(round(height / 68), 8), 60)
        return cls(line=max(2, round(height / 360)), cap=cap, padding=max(2, cap // 3))


def annotate(image: Image, detections: sv.Detections) -> Image:
    """A copy of ``image`` with a box and a label for every detection.

    A label says class, confidence and, when there is one, track: ``car 0.87 #12``. It stands
    above its box, or below or beside where it would leave the image or hide another label or
    box. Lines and text grow with the image. Where ``data["predicted"]`` says that a box is the
    tracker's alone, its line is broken. ``image`` itself is left as it is.
    """
    canvas = image.copy()
    if not len(detections):
        return canvas
    height, width = canvas.shape[:2]
    style = _Style.of(height)
    xyxy = _inside(detections.xyxy, width, height)
    tasks = [Task(str(task)) for task in detections.data["task"]]
    # Small boxes last: what is far away stays visible before what is near.
    predicted = np.asarray(detections.data.get("predicted", np.zeros(len(detections), np.bool_)))
    for row in np.argsort(-_areas(xyxy), kind="stable").tolist():
        box, colour = xyxy[row].tolist(), COLOURS[tasks[row]]
        _draw_box(canvas, box, colour, style.line, broken=bool(predicted[row]))
    texts = [label(detections, row) for row in range(len(detections))]
    masks = [_text_mask(text, style) for text in texts]
    sizes = [(mask.shape[1], mask.shape[0]) for mask in masks]
    corners = _places(_grown(xyxy, style.line), sizes, (width, height))
    for corner, mask, task in zip(corners, masks, tasks, strict=True):
        _draw_label(canvas, corner, mask, COLOURS[task])
    return canvas


def label(detections: sv.Detections, row: int) -> str:
    """Class, confidence and, where there is one, track of the detection at ``row``."""
    name = detections.data["class_name"][row]
    assert detections.confidence is not None, "a detector gives every box a confidence"
    text = f"{name} {detections.confidence[row]:.2f}"
    ids = detections.tracker_id
    return text if ids is None or ids[row] == _NO_TRACK else f"{text} #{ids[row]}"


def _inside(xyxy: npt.NDArray[Any], width: int, height: int) -> npt.NDArray[np.int64]:
    """Boxes in whole pixels, their edges in the image."""
    limits = np.array([width - 1, height - 1, width - 1, height - 1])
    return np.clip(np.round(xyxy), 0, limits).astype(np.int64)


def _areas(xyxy: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    areas: npt.NDArray[np.int64] = np.prod(np.maximum(xyxy[..., 2:] - xyxy[..., :2], 0), axis=-1)
    return areas


def _grown(xyxy: npt.NDArray[np.int64], line: int) -> npt.NDArray[np.int64]:
    """Boxes with the lines drawn around them."""
    out = line + 3
    grown: npt.NDArray[np.int64] = xyxy + np.array([-out, -out, out, out])
    return grown


def _draw_box(
    canvas: Image, box: Sequence[int], colour: Colour, line: int, *, broken: bool
) -> None:
    height, width = canvas.shape[:2]
    # Around the object, not over it: a far sign is only ten pixels wide. At the image's edge
    # within it, so that the box is seen to be closed.
    out, least = line // 2 + 2, line // 2
    first = (max(box[0] - out, least), max(box[1] - out, least))
    second = (min(box[2] + out, width - 1 - least), min(box[3] + out, height - 1 - least))
    for ink, thickness in ((INK, line + 2), (colour, line)):
        if broken:
            cv2.polylines(canvas, _corners(first, second), False, ink, thickness)
        else:
            cv2.rectangle(canvas, first, second, ink, thickness)


def _corners(first: tuple[int, int], second: tuple[int, int]) -> list[npt.NDArray[np.int32]]:
    """The four corners of a rectangle as lines, each a third of its sides long."""
    (x1, y1), (x2, y2) = first, second
    right, down = (x2 - x1) // 3, (y2 - y1) // 3
    return [
        np.array([(x + dx, y), (x, y), (x, y + dy)], np.int32)
        for x, dx in ((x1, right), (x2, -right))
        for y, dy in ((y1, down), (y2, -down))
    ]


@functools.lru_cache(maxsize=2048)
def _glyph(character: str, cap: int) -> npt.NDArray[np.uint8]:
    """How much ink each pixel of one letter holds; capitals are ``cap`` pixels high.

    Drawn large and averaged down, which is smoother than OpenCV's own small text.
    """
    big = cap * _OVERSAMPLING
    stroke = max(1, round(big / 6.5))
    scale = cv2.getFontScaleFromHeight(_FONT, big, stroke)
    (width, _), _ = cv2.getTextSize(character, _FONT, scale, stroke)
    above, below = round(0.45 * big), round(0.5 * big)
    mask = np.zeros((above + big + below, width), np.uint8)
    cv2.putText(mask, character, (0, above + big), _FONT, scale, 255, stroke, cv2.LINE_AA)
    size = (max(1, round(width / _OVERSAMPLING)), round(mask.shape[0] / _OVERSAMPLING))
    return np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.uint8)


def _text_mask(text: str, style: _Style) -> npt.NDArray[np.uint8]:
    glyphs = [_glyph(character, style.cap) for character in text]
    margin = np.zeros((glyphs[0].shape[0], style.padding), np.uint8)
    return np.hstack([margin, *glyphs, margin])


@functools.cache
def _shades(colour: Colour) -> npt.NDArray[np.uint8]:
    """256 rows of BGR, from ``colour`` (no ink) to ``INK``."""
    ink = np.linspace(0, 1, 256)[:, None]
    return np.round((1 - ink) * colour + ink * INK).astype(np.uint8)


def _draw_label(
    canvas: Image, corner: tuple[int, int], mask: npt.NDArray[np.uint8], colour: Colour
) -> None:
    x, y = corner
    space = canvas[y : y + mask.shape[0], x : x + mask.shape[1]]
    space[:] = _shades(colour)[mask[: space.shape[0], : space.shape[1]]]


def _places(
    xyxy: npt.NDArray[np.int64], sizes: Sequence[tuple[int, int]], frame: tuple[int, int]
) -> list[tuple[int, int]]:
    """The top left corner of every label, where it covers least.

    In order of preference: above its box, below it, to the right, to the left, then inside;
    each kept within the image. Covering a share of another label or box costs that share.
    """
    areas = np.maximum(_areas(xyxy), 1)
    corners: list[tuple[int, int]] = []
    taken = np.empty((0, 4), np.int64)
    for box, size in zip(xyxy.tolist(), sizes, strict=True):
        candidates = _candidates(box, size, frame)
        rectangles = np.hstack([candidates, candidates + size])
        labels = _overlaps(rectangles, taken).sum(axis=1) / (size[0] * size[1])
        boxes = (_overlaps(rectangles, xyxy) / areas).sum(axis=1)
        best = int(np.argmin(labels + boxes + _PREFERENCE))
        corners.append((int(candidates[best, 0]), int(candidates[best, 1])))
        taken = np.vstack([taken, rectangles[best]])
    return corners


def _candidates(
    box: Sequence[int], size: tuple[int, int], frame: tuple[int, int]
) -> npt.NDArray[np.int64]:
    """Corners for a label of ``size``: above, below, right, left of the box, inside."""
    (x1, y1, x2, y2), (width, height) = box, size
    corners = np.array([(x1, y1 - height), (x1, y2), (x2, y1), (x1 - width, y1), (x1, y1)])
    most = np.maximum(np.array(frame) - size, 0)
    kept: npt.NDArray[np.int64] = np.clip(corners, 0, most)
    return kept


def _overlaps(first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The pixels each rectangle of ``first`` (row) shares with each of ``second`` (column)."""
    top_left = np.maximum(first[:, None, :2], second[None, :, :2])
    bottom_right = np.minimum(first[:, None, 2:], second[None, :, 2:])
    return _areas(np.concatenate([top_left, bottom_right], axis=-1))
