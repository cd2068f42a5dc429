"""Boxes into tracks: ByteTrack, one for each task.

One for each task, because ByteTrack does not look at classes: a pedestrian before a car would
take over the car's track. Track ids are unique across tasks.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from oneglance.models.tasks import Task
from oneglance.streams.timestamps import MonotonicTimestamps

if TYPE_CHECKING:
    import supervision as sv
    from trackers import ByteTrackTracker

NEW_TRACK_CONFIDENCE = 0.4
"""A box of at least this confidence may begin a track; a weaker one may only continue one."""

LOST_TRACK_S = 1.0
"""A track unseen for this long is over."""

NO_TRACK = -1


class Tracker:
    """Gives each detection the id of the object it shows.

    ``frame_rate``: frames a second the motion model counts in; the true time of each frame
    comes with ``update``, so gaps and variable rates are honoured.
    """

    def __init__(self, *, frame_rate: float = 30.0) -> None:
        # Here and not at the first box: loading it takes longer than a live frame may wait.
        from trackers import ByteTrackTracker

        self._make: Callable[[], ByteTrackTracker] = partial(
            ByteTrackTracker,
            frame_rate=frame_rate,
            lost_track_buffer=round(30 * LOST_TRACK_S),
            track_activation_threshold=NEW_TRACK_CONFIDENCE,
            high_conf_det_threshold=NEW_TRACK_CONFIDENCE,
        )
        self._trackers: dict[Task, ByteTrackTracker] = {}
        self._last: sv.Detections | None = None
        self._last_s = 0.0
        self._frame_rate = frame_rate
        self._period_s = 1 / frame_rate
        self._times = MonotonicTimestamps(self._period_s)

    def fresh(self) -> Tracker:
        """Another tracker like this one, that has seen nothing: for another source."""
        tracker = copy.copy(self)
        tracker._trackers, tracker._times = {}, MonotonicTimestamps(self._period_s)
        tracker._last = None
        return tracker

    def update(self, detections: sv.Detections, *, timestamp_s: float) -> sv.Detections:
        """``detections`` of the frame at ``timestamp_s``, in their order, with ``tracker_id``.

        ``tracker_id`` is an int64 for each box: positive for a track, ``NO_TRACK`` for a box
        that no track holds (yet: a track is confirmed by its second frame).
        """
        # ByteTrack refuses time that stands still, and a clock that was set back would stop it
        # for good; some files hold two frames of one time.
        timestamp_s = self._times.next_s(timestamp_s)
        tracker_id = np.full(len(detections), NO_TRACK, np.int64)
        tasks = detections.data.get("task", np.empty(0, "<U10"))
        for number, task in enumerate(Task):
            rows = np.flatnonzero(tasks == task.value)
            if len(rows) or task in self._trackers:
                mine = cast("sv.Detections", detections[rows])
                own = self._update_task(task, mine, timestamp_s)
                tracker_id[rows] = np.where(own == NO_TRACK, NO_TRACK, own * len(Task) + number + 1)
        detections.tracker_id = tracker_id
        seen = detections[np.flatnonzero(tracker_id != NO_TRACK)]  # a copy: the other is the user's
        self._last, self._last_s = cast("sv.Detections", seen), timestamp_s
        return detections

    def predict(self, *, timestamp_s: float) -> sv.Detections:
        """The objects of the last ``update`` that a track holds, where their motion takes them by
        ``timestamp_s``; with the id, confidence and class that they had. Changes no track.

        An object that the last update did not see, or saw for the first time, is left out: of the
        one nobody knows that it is still there, of the other not that it is one.
        """
        if self._last is None:
            import supervision

            return supervision.Detections.empty()
        found = cast("sv.Detections", self._last[np.arange(len(self._last))])
        assert found.tracker_id is not None
        steps = max(0.0, timestamp_s - self._last_s) * self._frame_rate
        boxes = [self._predicted(track, steps) for track in found.tracker_id.tolist()]
        found.xyxy = np.array(boxes, np.float32).reshape(-1, 4)
        return found

    def _predicted(self, track: int, steps: float) -> npt.NDArray[np.float64]:
        number, own = (track - 1) % len(Task), (track - 1) // len(Task)
        tracks = self._trackers[list(Task)[number]].tracks
        motion = next(t for t in tracks if t.tracker_id == own).state_estimator
        before = motion.get_state()
        try:
            motion.predict(steps, self._frame_rate)
            return np.asarray(motion.state_to_bbox(), np.float64)
        finally:
            motion.set_state(before)

    def _update_task(
        self, task: Task, detections: sv.Detections, timestamp_s: float
    ) -> npt.NDArray[np.int64]:
        # The tracker returns the boxes in another order; a row number finds the way back.
        detections.data = {"row": np.arange(len(detections))}
        if task not in self._trackers:
            self._trackers[task] = self._make()
        tracked = self._trackers[task].update(detections, timestamp=timestamp_s)
        ids = np.full(len(detections), NO_TRACK, np.int64)
        if len(tracked) and tracked.tracker_id is not None:
            ids[tracked.data["row"]] = tracked.tracker_id
        return ids


def inside(detections: sv.Detections, size: tuple[int, int]) -> sv.Detections:
    """What of ``detections`` lies in an image of ``size`` (width, height): boxes clipped to it,
    those that have left it gone."""
    xyxy = np.clip(detections.xyxy, 0, np.array(size * 2, detections.xyxy.dtype))
    detections.xyxy = xyxy
    is_there = (xyxy[:, 2] > xyxy[:, 0]) & (xyxy[:, 3] > xyxy[:, 1])
    return cast("sv.Detections", detections[np.flatnonzero(is_there)])
