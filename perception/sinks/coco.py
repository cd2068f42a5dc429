"""The sink ``coco:FILE``: a data set in COCO's format, with what was found as annotations."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from oneglance.perception.sinks.files import (
    Promised,
    closed_already,
    is_standard_output,
    write_standard_output,
)
from oneglance.perception.tracking import NO_TRACK
from oneglance.streams.errors import UsageError
from oneglance.streams.outputs import write_file
from oneglance.streams.redaction import printable

if TYPE_CHECKING:
    from oneglance.perception.plugins import SinkContext
    from oneglance.perception.result import Result


class CocoSink:
    """Gathers results, and writes them as one file when it is closed.

    An image is a frame, with ``clip``, ``frame`` and ``timestamp_s`` besides; an annotation has
    its ``score`` and, where a track holds it, its ``track_id``. ``classes``: the model's, in their
    order, which are the categories from 1 on.
    """

    def __init__(self, path: Path, *, classes: tuple[str, ...] = ()) -> None:
        """Nothing is written yet. ``path``: ``-`` is standard output.

        Raises:
            SinkError: the file cannot be written.
        """
        self._path = path
        self._promised = None if is_standard_output(path) else Promised(path)
        self._categories = {name: number for number, name in enumerate(classes, 1)}
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._folders: dict[str, str] = {}
        self._closed = False

    def write(self, result: Result) -> None:
        """Add a result.

        Raises:
            SinkError: the sink is closed.
        """
        if self._closed:
            raise closed_already(self._path)
        frame, found = result.frame, result.detections
        source = printable(frame.source)
        image = {
            "id": len(self._images) + 1,
            "file_name": f"{self._folder(source)}/{frame.index:06}.jpg",
            "width": frame.width,
            "height": frame.height,
            "clip": source,
            "frame": frame.index,
            "timestamp_s": round(frame.timestamp_s, 6),
        }
        self._images.append(image)
        if not len(found):
            return
        assert found.confidence is not None, "a detector gives every box a confidence"
        boxes = np.round(found.xyxy.astype(np.float64), 2).tolist()
        scores = np.round(found.confidence.astype(np.float64), 4).tolist()
        names = np.asarray(found.data["class_name"]).tolist()
        ids = found.tracker_id
        tracks = [NO_TRACK] * len(found) if ids is None else ids.tolist()
        for (x1, y1, x2, y2), score, name, track in zip(boxes, scores, names, tracks, strict=True):
            width, height = round(x2 - x1, 2), round(y2 - y1, 2)
            annotation = {
                "id": len(self._annotations) + 1,
                "image_id": image["id"],
                "category_id": self._categories.setdefault(name, len(self._categories) + 1),
                "bbox": [x1, y1, width, height],
                "area": round(width * height, 2),
                "iscrowd": 0,
                "score": score,
            }
            if track != NO_TRACK:
                annotation["track_id"] = track
            self._annotations.append(annotation)

    def close(self) -> None:
        """Write the file.

        Raises:
            SinkError: it cannot be written.
        """
        if not self._closed:
            self._closed = True
            try:
                self._save()
            finally:
                if self._promised is not None:
                    self._promised.release()

    def _save(self) -> None:
        categories = [{"id": number, "name": name} for name, number in self._categories.items()]
        content = {
            "images": self._images,
            "annotations": self._annotations,
            "categories": categories,
        }
        text = json.dumps(content) + "\n"
        if self._promised is None:
            write_standard_output(text)
        else:
            write_file(self._promised.path, text)

    def _folder(self, source: str) -> str:
        """A source's folder of images: its name as far as any system takes it, another for each."""
        if source not in self._folders:
            name = re.sub(r"[^\w.-]+", "_", Path(source).stem).strip("._-") or "source"
            number = sum(each.partition("~")[0] == name for each in self._folders.values())
            self._folders[source] = f"{name}~{number + 1}" if number else name
        return self._folders[source]


def open_coco(target: str, context: SinkContext) -> CocoSink:
    """The sink ``coco:FILE``; ``coco:-`` is standard output.

    Raises:
        SinkError: the file cannot be written.
        UsageError: no file is named.
    """
    if not target:
        raise UsageError("the sink coco needs a file: coco:FILE")
    return CocoSink(Path(target), classes=tuple(each.name for each in context.classes))
