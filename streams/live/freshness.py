"""Whether frames are new: images that do change, and how many a second really come."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Sequence

import numpy as np

from oneglance.streams.frame import Frame
from oneglance.streams.yuv import Bytes


class FreezeDetector:
    """Notices a source that sends the same image again and again.

    Bit for bit the same: a real sensor's noise never repeats, while an encoder that lost its
    sensor, or a server that repeats the last image, does just that.

    ``frozen_s``: how long the image must have been the same; None never calls it frozen.
    """

    def __init__(self, frozen_s: float | None) -> None:
        self._frozen_s = frozen_s
        self.forget()

    def forget(self) -> None:
        """The next image is a first one."""
        # Copies and sums of the last image, and not itself: users draw on what they are given.
        self._sample: tuple[tuple[int, ...], bytes] | None = None
        self._sum: int | None = None
        self._same_since_s = 0.0
        self.frozen = False

    def see(self, frame: Frame, arrival_s: float) -> bool:
        """Whether the source is frozen, with ``frame`` of ``arrival_s``. Converts nothing."""
        if self._frozen_s is None:
            return False
        if self._changed(frame.planes()):
            self._same_since_s = arrival_s
        self.frozen = arrival_s - self._same_since_s >= self._frozen_s
        return self.frozen

    def _changed(self, planes: Sequence[Bytes]) -> bool:
        """A few rows distinguish most images; only where they do not are all bytes summed."""
        sample = planes[0].shape, planes[0][::16].tobytes()
        if sample != self._sample:
            self._sample, self._sum = sample, None
            return True
        found = 0
        for plane in planes:
            found = zlib.crc32(np.ascontiguousarray(plane).data, found)
        before, self._sum = self._sum, found
        return before is not None and before != found


class RateMeter:
    """Frames a second over the last ``window_s``, in memory bounded by ``most`` frames."""

    def __init__(self, window_s: float = 5.0, *, most: int = 512) -> None:
        self._window_s = window_s
        self._times_s: deque[float] = deque(maxlen=most)

    def tick(self, time_s: float) -> None:
        """A frame came."""
        self._times_s.append(time_s)
        while self._times_s[0] < time_s - self._window_s:
            self._times_s.popleft()

    def rate(self, now_s: float) -> float | None:
        """Frames a second; 0.0 after a silent window, None before the second frame."""
        times_s = tuple(self._times_s)
        if len(times_s) < 2:
            return None
        if now_s - times_s[-1] > self._window_s:
            return 0.0
        elapsed_s = times_s[-1] - times_s[0]
        return (len(times_s) - 1) / elapsed_s if elapsed_s > 0 else None
