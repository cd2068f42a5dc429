"""What the rerun viewer is given of a result: image, boxes, lights, timings and age."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from oneglance.models.tasks import Task
from oneglance.perception.result import Result
from oneglance.perception.sinks.drawing import COLOURS, label
from oneglance.streams.frame import Frame

APPLICATION = "oneglance"
"""What the viewer calls our recordings."""

_JPEG_QUALITY = 85
_FURTHEST_S = 9.2e9
"""rerun counts nanoseconds in 64 bits: 292 years. What a container says lies further is there."""


class ResultLog:
    """Logs results into a recording of rerun's; ``recording``: a ``rerun.RecordingStream``.

    Images are logged as they come, all the rest as columns of many results: rerun takes as long
    over a column as over a value.
    """

    def __init__(self, recording: Any, *, with_image: bool) -> None:
        import rerun

        self._rerun: Any = rerun
        self._recording, self._with_image = recording, with_image
        self._lights: dict[str, set[str]] = {}
        self._series: dict[str, _Series] = {}
        self._boxes: dict[str, _Boxes] = {}
        self.pending = 0
        """Results of which ``send`` has something to send."""
        self._get_ready()

    def _get_ready(self) -> None:
        """The first column of a process takes a quarter of a second (rerun imports pyarrow, and
        that pandas): here, and not in the middle of a run."""
        self._rerun.TimeColumn("capture", duration=[0.0]).as_arrow_array()
        self._rerun.TimeColumn("frame", sequence=[0]).as_arrow_array()
        _Boxes().columns(self._rerun)
        _Series().columns(self._rerun)

    def add(self, result: Result) -> None:
        """Take one result; encodes its image."""
        frame = result.frame
        place = re.sub(r"[^A-Za-z0-9_-]+", "_", frame.source).strip("_") or "camera"
        if self._with_image:
            jpeg = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
            _, content = cv2.imencode(".jpg", frame.image, jpeg)
            image = self._rerun.EncodedImage(contents=content.tobytes(), media_type="image/jpeg")
            self._recording.set_time("capture", duration=_time_s(frame))
            self._recording.set_time("frame", sequence=frame.index)
            self._recording.log(f"{place}/image", image)
        self._boxes.setdefault(f"{place}/image/boxes", _Boxes()).add(result)
        for name, count in self._states(place, result).items():
            self._add(f"{place}/lights/{name}", frame, count)
        for stage, duration_s in result.timings.items():
            self._add(f"{place}/timings_ms/{stage}", frame, 1e3 * duration_s)
        if result.age_s is not None:
            self._add(f"{place}/age_ms", frame, 1e3 * result.age_s)
        self.pending += 1

    def send(self) -> None:
        """Log what was taken since the last time."""
        rows: list[tuple[str, _Rows]] = [*self._boxes.items(), *self._series.items()]
        for path, each in rows:
            if each.indices:
                times = [
                    self._rerun.TimeColumn("capture", duration=each.times_s),
                    self._rerun.TimeColumn("frame", sequence=each.indices),
                ]
                self._recording.send_columns(path, indexes=times, columns=each.columns(self._rerun))
        self._boxes, self._series, self.pending = {}, {}, 0

    def _add(self, path: str, frame: Frame, value: float) -> None:
        series = self._series.setdefault(path, _Series())
        series.at(frame)
        series.values.append(value)

    def _states(self, place: str, result: Result) -> Counter[str]:
        """How many lights show what; 0 for what was seen before and is not now."""
        found = result.detections
        pairs = zip(found.data.get("task", ()), found.data.get("class_name", ()), strict=True)
        counts = Counter(str(name) for task, name in pairs if str(task) == Task.LIGHT)
        seen = self._lights.setdefault(place, set())
        seen.update(counts)
        return Counter({name: counts[name] for name in seen})


def _time_s(frame: Frame) -> float:
    return min(max(frame.timestamp_s, -_FURTHEST_S), _FURTHEST_S)


class _Rows:
    """What one entity shows, frame after frame."""

    def __init__(self) -> None:
        self.times_s: list[float] = []
        self.indices: list[int] = []

    def at(self, frame: Frame) -> None:
        self.times_s.append(_time_s(frame))
        self.indices.append(frame.index)

    def columns(self, rerun: Any) -> Any:
        raise NotImplementedError


class _Series(_Rows):
    """A number a frame."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[float] = []

    def columns(self, rerun: Any) -> Any:
        return rerun.Scalars.columns(scalars=self.values)


class _Boxes(_Rows):
    """Boxes of each frame; of one without any an empty list, which shows none."""

    def __init__(self) -> None:
        super().__init__()
        self._counts: list[int] = []
        self._xyxy: list[npt.NDArray[np.float32]] = [np.empty((0, 4), np.float32)]
        self._labels: list[str] = []
        self._colours: list[tuple[int, int, int]] = []

    def add(self, result: Result) -> None:
        found = result.detections
        self.at(result.frame)
        self._counts.append(len(found))
        if len(found):
            self._xyxy.append(np.asarray(found.xyxy, np.float32))
            self._labels += [label(found, row) for row in range(len(found))]
            tasks = (Task(str(task)) for task in found.data["task"])
            self._colours += [COLOURS[task][::-1] for task in tasks]

    def columns(self, rerun: Any) -> Any:
        xyxy = np.concatenate(self._xyxy)
        return rerun.Boxes2D.columns(
            centers=(xyxy[:, :2] + xyxy[:, 2:]) / 2,
            half_sizes=(xyxy[:, 2:] - xyxy[:, :2]) / 2,
            labels=self._labels,
            colors=self._colours,
        ).partition(self._counts)
