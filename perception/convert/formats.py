"""One function for each format: frames in, files in a folder out.

Sources: COCO's data and results format (cocodataset.org), MOTChallenge's text files
(motchallenge.net/instructions), YOLO's as ultralytics reads and writes it, the KITTI object
benchmark's label files, Scalabel's frames as BDD100K uses them, supervision's table of detections.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

from oneglance.models.tasks import CLASSES
from oneglance.perception.convert.boxes import Box, FrameBoxes
from oneglance.perception.convert.names import ClipNames, short
from oneglance.streams.errors import DataError, UsageError

Files = Iterator[tuple[str, str]]
"""Name and content of each file."""


class Format(StrEnum):
    """What results can be converted to."""

    COCO = "coco"
    MOT = "mot"
    YOLO = "yolo"
    KITTI = "kitti"
    BDD100K = "bdd100k"
    CSV = "csv"
    CVAT = "cvat"
    LABEL_STUDIO = "label-studio"
    FIFTYONE = "fiftyone"


def to_coco(frames: Iterable[FrameBoxes]) -> Files:
    """``results.json``, COCO's list of results, and ``images.json``, the data set without
    annotations that says which image and which category each ``id`` is.

    An image is a frame: ``file_name`` is ``CLIP/000000.jpg``, ``clip``, ``frame`` and
    ``timestamp_s`` say where it came from. ``bbox`` is x, y, width, height.
    """
    images, results, categories = coco_parts(frames)
    yield "results.json", json.dumps(results)
    yield "images.json", json.dumps({"images": images, "annotations": [], "categories": categories})


Records = list[dict[str, Any]]


def coco_parts(frames: Iterable[FrameBoxes]) -> tuple[Records, Records, Records]:
    """COCO's images, results and categories, of which each ``id`` begins at 1."""
    names, categories = ClipNames(), dict[str, int]()
    images: Records = []
    results: Records = []
    for number, frame in enumerate(frames, 1):
        image: dict[str, Any] = {
            "id": number,
            "file_name": names.image(frame),
            "clip": frame.clip,
            "frame": frame.index,
        }
        if frame.timestamp_s is not None:
            image["timestamp_s"] = frame.timestamp_s
        if frame.size is not None:
            image["width"], image["height"] = frame.size
        images.append(image)
        for box in frame.boxes:
            x1, y1, x2, y2 = box.xyxy
            found: dict[str, Any] = {
                "image_id": number,
                "category_id": categories.setdefault(box.class_name, len(categories) + 1),
                "bbox": [short(x1), short(y1), short(x2 - x1), short(y2 - y1)],
                "score": short(box.confidence, 6),
            }
            if box.track_id is not None:
                found["track_id"] = box.track_id
            results.append(found)
    known = [{"id": number, "name": name} for name, number in categories.items()]
    return images, results, known


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
            sides = ",".join(str(short(value)) for value in (x1, y1, x2 - x1, y2 - y1))
            mine.append(f"{frame.index + 1},{track},{sides},{short(box.confidence, 6)},-1,-1,-1\n")
    for name, content in lines.items():
        yield f"{name}.txt", "".join(content)


def to_yolo(frames: Iterable[FrameBoxes]) -> Files:
    """``labels/CLIP_000000.txt`` for each frame (of one with an image of its own, ``labels/`` and
    its name): class, centre x and y, width, height, of the image from 0 to 1, as data sets have
    them (confidences are left out: no loader takes them); ``classes.txt``, a name a line in the
    classes' order: first all of ours, so that a number always means the same.

    Raises:
        UsageError: the size of a frame is not known.
        DataError: two images have one name.
    """
    names, classes = ClipNames(), {name: number for number, name in enumerate(CLASSES)}
    written: set[str] = set()
    for frame in frames:
        width, height = known_size(frame, "YOLO")
        lines = []
        for box in frame.boxes:
            x1, y1, x2, y2 = box.xyxy
            middle = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height)
            parts = (*middle, (x2 - x1) / width, (y2 - y1) / height)
            number = classes.setdefault(box.class_name, len(classes))
            text = " ".join(f"{value:.6f}" for value in parts)
            lines.append(f"{number} {text}\n")
        name = f"{names(frame.clip)}_{frame.index:06}"
        if frame.image is not None:
            name = str(PurePosixPath(frame.image.removeprefix("images/")).with_suffix(""))
            if name in written:
                raise DataError(f"two images are called {frame.image}: their labels would be one")
            written.add(name)
        yield f"labels/{name}.txt", "".join(lines)
    yield "classes.txt", "".join(f"{name}\n" for name in classes)


def known_size(frame: FrameBoxes, who: str) -> tuple[int, int]:
    """Width and height of a frame.

    Raises:
        UsageError: they are not known, and ``who`` needs them.
    """
    if frame.size is None:
        raise UsageError(f"{who} needs the frames' size, which JSON Lines do not have: --size WxH")
    return frame.size


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
            x1, y1, x2, y2 = map(short, box.xyxy)
            labels.append(
                {
                    "id": str(number if box.track_id is None else f"track-{box.track_id}"),
                    "category": box.class_name,
                    "score": short(box.confidence, 6),
                    "box2d": {"x1": x1, "y1": y1, "x2": x2, "y2": y2},
                }
            )
        name = names(frame.clip)
        about: dict[str, Any] = {"videoName": name, "frameIndex": frame.index}
        if frame.timestamp_s is not None:
            about["timestamp"] = round(1e3 * frame.timestamp_s)
        shown = {"name": names.image(frame), **about}
        found.append({**shown, "labels": labels})
    yield "frames.json", json.dumps(found)


def to_csv(frames: Iterable[FrameBoxes]) -> Files:
    """``detections.csv``: a row for each box, with the columns of supervision's ``CSVSink``."""
    import numpy as np
    import supervision as sv

    names, numbers = ClipNames(), {name: number for number, name in enumerate(CLASSES)}
    content = io.StringIO()
    table: csv.DictWriter[str] | None = None
    for frame in frames:
        if not frame.boxes:
            continue
        boxes = frame.boxes
        found = sv.Detections(
            xyxy=np.array([box.xyxy for box in boxes], np.float64),
            confidence=np.array([box.confidence for box in boxes]),
            class_id=np.array([numbers.setdefault(b.class_name, len(numbers)) for b in boxes]),
            tracker_id=np.array([-1 if b.track_id is None else b.track_id for b in boxes]),
            data={
                "class_name": np.array([box.class_name for box in boxes]),
                "task": np.array([box.task for box in boxes]),
            },
        )
        where: dict[str, Any] = {
            "image": names.image(frame),
            "clip": frame.clip,
            "frame": frame.index,
            "timestamp_s": "" if frame.timestamp_s is None else frame.timestamp_s,
        }
        for row in sv.CSVSink.parse_detection_data(found, where):
            if table is None:
                table = csv.DictWriter(content, list(row), lineterminator="\n")
                table.writeheader()
            table.writerow(row)
    yield "detections.csv", content.getvalue()


def _kitti_line(box: Box) -> str:
    sides = " ".join(f"{value:.2f}" for value in box.xyxy)
    name = re.sub(r"\s+", "_", box.class_name)
    unknown = "-1 -1 -1 -1000 -1000 -1000 -10"  # its size, place and turn in space
    return f"{name} -1 -1 -10 {sides} {unknown} {box.confidence:.6f}\n"
