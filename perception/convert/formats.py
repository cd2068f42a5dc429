"""One function for each format: frames in, files in a folder out.

Sources: COCO's data and results format (cocodataset.org), MOTChallenge's text files
(motchallenge.net/instructions), YOLO's as ultralytics reads and writes it, the KITTI object
benchmark's label files, Scalabel's frames as BDD100K uses them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

from oneglance.perception.convert.reading import Box, FrameBoxes
from oneglance.streams.errors import UsageError

Files = Iterator[tuple[str, str]]
"""Name and content of each file."""


class Format(StrEnum):
    """What results can be converted to."""

    COCO = "coco"
    MOT = "mot"
    YOLO = "yolo"
    KITTI = "kitti"
    BDD100K = "bdd100k"


class ClipNames:
    """A name for each clip that is good for a file, and another's never."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def __call__(self, clip: str) -> str:
        """The clip's name: its file's, without the suffix.

        >>> names = ClipNames()
        >>> names("a/drive.mp4"), names("b/drive.mp4"), names("a/drive.mp4")
        ('drive', 'drive-2', 'drive')
        """
        if clip not in self._names:
            last = PurePosixPath(clip.partition("?")[0]).stem
            stem = re.sub(r"[^\w.-]+", "_", last).strip(".") or "clip"
            taken = {name.lower() for name in self._names.values()}
            name, number = stem, 1
            while name.lower() in taken:
                number += 1
                name = f"{stem}-{number}"
            self._names[clip] = name
        return self._names[clip]


def to_coco(frames: Iterable[FrameBoxes]) -> Files:
    """``results.json``, COCO's list of results, and ``images.json``, the data set without
    annotations that says which image and which category each ``id`` is.

    An image is a frame: ``file_name`` is ``CLIP/000000.jpg``, ``clip``, ``frame`` and
    ``timestamp_s`` say where it came from. ``bbox`` is x, y, width, height.
    """
    names, categories = ClipNames(), dict[str, int]()
    images: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for number, frame in enumerate(frames, 1):
        image: dict[str, Any] = {
            "id": number,
            "file_name": f"{names(frame.clip)}/{frame.index:06}.jpg",
            "clip": frame.clip,
            "frame": frame.index,
            "timestamp_s": frame.timestamp_s,
        }
        if frame.size is not None:
            image["width"], image["height"] = frame.size
        images.append(image)
        for box in frame.boxes:
            x1, y1, x2, y2 = box.xyxy
            found: dict[str, Any] = {
                "image_id": number,
                "category_id": categories.setdefault(box.class_name, len(categories) + 1),
                "bbox": [_short(x1), _short(y1), _short(x2 - x1), _short(y2 - y1)],
                "score": _short(box.confidence, 6),
            }
            if box.track_id is not None:
                found["track_id"] = box.track_id
            results.append(found)
    yield "results.json", json.dumps(results)
    known = [{"id": number, "name": name} for name, number in categories.items()]
    yield "images.json", json.dumps({"images": images, "annotations": [], "categories": known})


def to_mot(frames: Iterable[FrameBoxes]) -> Files:
    """``CLIP.txt`` for each clip: frame (1-based), track, x, y, width, height, confidence, -1, -1,
    -1. Boxes that no track holds have -1 for a track, as detections there have."""
    names = ClipNames()
    lines: dict[str, list[str]] = {}
    for frame in frames:
        mine = lines.setdefault(names(frame.clip), [])
        for box in frame.boxes:
            x1, y1, x2, y2 = box.xyxy
            track = -1 if box.track_id is None else box.track_id
            sides = ",".join(str(_short(value)) for value in (x1, y1, x2 - x1, y2 - y1))
            mine.append(f"{frame.index + 1},{track},{sides},{_short(box.confidence, 6)},-1,-1,-1\n")
    for name, content in lines.items():
        yield f"{name}.txt", "".join(content)


def to_yolo(frames: Iterable[FrameBoxes]) -> Files:
    """``labels/CLIP_000000.txt`` for each frame: class, centre x and y, width, height, of the image
    from 0 to 1, as data sets have them (confidences are left out: no loader takes them);
    ``classes.txt``, a name a line in the classes' order.

    Raises:
        UsageError: the size of a frame is not known.
    """
    names, classes = ClipNames(), dict[str, int]()
    for frame in frames:
        if frame.size is None:
            raise UsageError(
                "YOLO needs the frames' size, which JSON Lines do not have: --size WxH"
            )
        width, height = frame.size
        lines = []
        for box in frame.boxes:
            x1, y1, x2, y2 = box.xyxy
            middle = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height)
            parts = (*middle, (x2 - x1) / width, (y2 - y1) / height)
            number = classes.setdefault(box.class_name, len(classes))
            text = " ".join(f"{value:.6f}" for value in parts)
            lines.append(f"{number} {text}\n")
        yield f"labels/{names(frame.clip)}_{frame.index:06}.txt", "".join(lines)
    yield "classes.txt", "".join(f"{name}\n" for name in classes)


def to_kitti(frames: Iterable[FrameBoxes]) -> Files:
    """``CLIP/000000.txt`` for each frame: the class, 14 fields of which the box alone is known, and
    the confidence. What is not known has the value that KITTI gives it."""
    names = ClipNames()
    for frame in frames:
        lines = [_kitti_line(box) for box in frame.boxes]
        yield f"{names(frame.clip)}/{frame.index:06}.txt", "".join(lines)


def to_bdd100k(frames: Iterable[FrameBoxes]) -> Files:
    """``frames.json``: Scalabel's list of frames with ``labels`` of a ``box2d`` each."""
    names, number = ClipNames(), 0
    found = []
    for frame in frames:
        labels = []
        for box in frame.boxes:
            number += 1
            x1, y1, x2, y2 = map(_short, box.xyxy)
            labels.append(
                {
                    "id": str(number if box.track_id is None else f"track-{box.track_id}"),
                    "category": box.class_name,
                    "score": _short(box.confidence, 6),
                    "box2d": {"x1": x1, "y1": y1, "x2": x2, "y2": y2},
                }
            )
        name = names(frame.clip)
        about = {"videoName": name, "frameIndex": frame.index}
        at_ms = round(1e3 * frame.timestamp_s)
        shown = {"name": f"{name}/{frame.index:06}.jpg", **about, "timestamp": at_ms}
        found.append({**shown, "labels": labels})
    yield "frames.json", json.dumps(found)


WRITERS: dict[Format, Callable[[Iterable[FrameBoxes]], Files]] = {
    Format.COCO: to_coco,
    Format.MOT: to_mot,
    Format.YOLO: to_yolo,
    Format.KITTI: to_kitti,
    Format.BDD100K: to_bdd100k,
}


def _kitti_line(box: Box) -> str:
    sides = " ".join(f"{value:.2f}" for value in box.xyxy)
    name = re.sub(r"\s+", "_", box.class_name)
    unknown = "-1 -1 -1 -1000 -1000 -1000 -10"  # its size, place and turn in space
    return f"{name} -1 -1 -10 {sides} {unknown} {box.confidence:.6f}\n"


def _short(value: float, digits: int = 3) -> float:
    return round(float(value), digits)
