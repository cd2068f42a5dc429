"""What plugs into the loop: a detector, a tracker, sinks; each is whatever behaves like one.

The classes that come with oneglance (``models.Detector``, ``perception.Tracker``) keep the short
names, because users meet them first; what any other must have is named ``…Like``, as numpy's
``ArrayLike`` is.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

import numpy as np

from oneglance.models.pixels import Planes, cut, size_of
from oneglance.models.region import Region
from oneglance.streams.errors import UsageError
from oneglance.streams.frame import Image

if TYPE_CHECKING:
    import supervision as sv

    from oneglance.perception.result import Result

Detect = Callable[[Image | Planes], "tuple[sv.Detections, dict[str, float]]"]
"""What ``timed_detect`` gives: detections of an image, and the seconds of each stage."""

TakesPlanes = Callable[[tuple[int, int]], bool]
"""Whether a detector takes the planes of images of a size (width, height)."""

_COLUMNS = ("class_name", "task")

SPARE_WORKERS = 2
"""Threads that prepare and finish frames while others are inferred."""


@runtime_checkable
class DetectorLike(Protocol):
    """Anything callable, image to detections, with a name.

    The image is H×W×3 uint8 BGR, and is not to be changed. The detections are
    ``supervision.Detections`` in pixels of the image, with ``confidence`` in 0..1, ``class_id``,
    ``data["class_name"]`` and ``data["task"]`` (a ``Task``'s value for each box).

    What it may have besides:

    - ``detect(image)``: the same and a dict of the seconds of its stages; without it, the whole
      call is ``inference``;
    - ``takes_planes(size)``: whether, for images of that size (width, height), ``detect`` takes a
      decoder's planes (``models.pixels.Planes``) in place of the image, which then is not made;
    - ``threads``: CPUs that one call uses. It may then be called from several threads at once, as
      many as the CPUs leave room for; without it, one call follows the other;
    - ``smaller()``: detectors of the same that cost less, the dearest first, and
      ``inference_s()``: seconds of one inference; for runs with a budget;
    - ``engine``, ``device``, ``precision``, ``engine_reason``, ``engine_check``: words for the
      summary.
    """

    @property
    def name(self) -> str: ...
    def __call__(self, image: Image, /) -> sv.Detections: ...


@runtime_checkable
class TrackerLike(Protocol):
    """Gives detections of one source their ``tracker_id``, frame after frame."""

    def update(self, detections: sv.Detections, /, *, timestamp_s: float) -> sv.Detections:
        """The detections of the frame at ``timestamp_s``, with ``tracker_id`` (-1: none yet)."""
        ...

    def fresh(self) -> Self:
        """Another like this one that has seen nothing; every source of every run gets one."""
        ...


@runtime_checkable
class PredictingTracker(TrackerLike, Protocol):
    """A tracker for runs in which the network looks at every Nth frame only."""

    def predict(self, *, timestamp_s: float) -> sv.Detections:
        """The objects of the last ``update`` where they should be at ``timestamp_s``, a later
        time; with every column that those detections had. What comes next is as if nobody had
        asked."""
        ...


class Sink(Protocol):
    """Takes every result, in order, from one thread.

    Raises ``SinkError`` from either method when the output cannot be written; what was
    written before stays valid. ``close()`` may be called twice. What it may have besides:
    ``name``, a word for it in the summary, and ``lost``, how much its other end did not take.
    """

    def write(self, result: Result) -> None: ...
    def close(self) -> None: ...


def timed_detect(detector: DetectorLike, region: Region | None = None) -> Detect:
    """How to call any detector so that it says how long its stages take.

    ``region``: it sees this part of each image alone; its boxes are moved to where they lie in
    the whole one. What the function raises: ``UsageError`` for detections that lack what
    ``DetectorLike`` asks for and for an image that the region lies outside of, and whatever the
    detector raises.
    """
    whole: Detect = getattr(detector, "detect", None) or _timed(detector)
    if region is None:
        return whole

    def detect(image: Image | Planes) -> tuple[sv.Detections, dict[str, float]]:
        box = region.pixels(size_of(image))
        part = cut(image, box)
        found, stages = whole(np.ascontiguousarray(part) if isinstance(part, np.ndarray) else part)
        found = copy.copy(found)  # it may be the detector's own
        found.xyxy = found.xyxy + np.array(box[:2] * 2, found.xyxy.dtype)
        return found, stages

    return detect


def takes_planes(detector: DetectorLike, region: Region | None = None) -> TakesPlanes:
    """For which sizes of a frame, of which it sees the ``region``, a detector takes planes."""
    own: TakesPlanes | None = getattr(detector, "takes_planes", None)

    def takes(size: tuple[int, int]) -> bool:
        if region is not None:
            x1, y1, x2, y2 = region.pixels(size)
            size = x2 - x1, y2 - y1
        return own is not None and own(size)

    return takes


def _timed(detector: DetectorLike) -> Detect:
    def detect(image: Image | Planes) -> tuple[sv.Detections, dict[str, float]]:
        assert isinstance(image, np.ndarray), "only who takes them is given planes"
        started = time.perf_counter()
        found = complete(detector(image), detector.name)
        return found, {"inference": time.perf_counter() - started}

    return detect


def complete(detections: sv.Detections, detector: str) -> sv.Detections:
    """``detections`` with every column the loop and its sinks use; ``detector`` made them.

    Raises:
        UsageError: there are boxes, and a column is missing.
    """
    if len(detections) == 0:
        for column in _COLUMNS:
            detections.data.setdefault(column, np.empty(0, "<U10"))
        return detections
    missing = [f"data[{name!r}]" for name in _COLUMNS if name not in detections.data]
    missing += [name for name in ("confidence", "class_id") if getattr(detections, name) is None]
    if missing:
        raise UsageError(
            f"detector {detector} gives boxes without {', '.join(missing)}: every box needs a "
            "confidence, a class_id, a class name and the task it belongs to"
        )
    return detections


def workers_for(detector: DetectorLike, cpus: int) -> int:
    """How many threads look at frames on so many CPUs: one for each call that has room there, and
    where several have, ``SPARE_WORKERS`` more. While those prepare and finish frames, the others'
    CPUs are not idle: on two that is 4 to 10 % of the rate.
    """
    threads: int | None = getattr(detector, "threads", None)
    side_by_side = 1 if threads is None else max(1, cpus // threads)
    return side_by_side if side_by_side == 1 else side_by_side + SPARE_WORKERS


def slots_for(workers: int) -> int:
    """How many frames may be begun and not taken yet: one in each worker's hand, and of results
    that wait for their turn as many as calls run side by side."""
    return 2 * workers - (SPARE_WORKERS if workers > 1 else 0)


def described(detector: DetectorLike) -> dict[str, str]:
    """A detector's name, its engine, why that and how it was checked, its device and precision,
    for the summary."""
    asked = ("engine", "device", "precision", "engine_reason", "engine_check")
    words = {word: str(getattr(detector, word, "")) for word in asked}
    return {"model": detector.name, **words}
