"""Whether frames are new: times that never run back, pictures that do change, their real rate."""

from __future__ import annotations

import math
import zlib
from collections import deque

import numpy as np

from oneglance.streams.frame import Image


class MonotonicTimestamps:
    """Presentation times made to run forward, whatever the source's do.

    A single frame whose time lies at or before the last one (two frames of one time) is put
    half a period after it, and the times after it stay as they are. When the next one lies
    before as well (a camera restarted its clock, a counter wrapped, every time is 0), a new
    count begins: frames follow at the distances they have from then on. With ``longest_gap_s``
    a leap forward of more than that is cut to one period likewise.

    >>> steady = SteadyTime(0.1)
    >>> [round(steady.steady(at_s), 2) for at_s in (5.0, 5.1, -7.0, -6.9, -6.8, -6.5)]
    [5.0, 5.1, 5.15, 5.25, 5.35, 5.65]
    """

    def __init__(self, period_s: float, *, longest_gap_s: float = math.inf) -> None:
        self._period_s = period_s
        self._longest_gap_s = longest_gap_s
        self._offset_s = 0.0
        self._out_of_order = 0
        self._last_s: float | None = None

    def steady(self, at_s: float) -> float:
        """The time of the next frame, later than every one before it.

        ``at_s``: what the source says; what is no finite number is taken for unknown.
        """
        last_s = self._last_s
        if last_s is None:
            self._last_s = at_s if math.isfinite(at_s) else 0.0
            return self._last_s
        shown_s = at_s + self._offset_s
        if last_s < shown_s <= last_s + self._longest_gap_s and math.isfinite(shown_s):
            self._out_of_order = 0
        else:
            self._out_of_order += 1
            is_glitch = self._out_of_order == 1 and not last_s < shown_s < math.inf
            step_s = self._period_s / 2 if is_glitch else self._period_s
            shown_s = max(last_s + step_s, math.nextafter(last_s, math.inf))
            if not is_glitch and math.isfinite(at_s):
                self._offset_s = shown_s - at_s
        self._last_s = shown_s
        return shown_s


class FreezeDetector:
    """Notices a source that sends the same picture again and again.

    Bit for bit the same: a real sensor's noise never repeats, while an encoder that lost its
    sensor, or a server that repeats the last picture, does just that.

    ``frozen_s``: how long the picture must have been the same; None never calls it frozen.
    """

    def __init__(self, frozen_s: float | None) -> None:
        self._frozen_s = frozen_s
        self.forget()

    def forget(self) -> None:
        """The next picture is a first one."""
        # Copies and sums of the last picture, and not itself: users draw on what they are given.
        self._sample: tuple[tuple[int, ...], bytes] | None = None
        self._sum: int | None = None
        self._same_since_s = 0.0
        self.frozen = False

    def see(self, image: Image, at_s: float) -> bool:
        """Whether the source is frozen, now that ``image`` came at ``at_s``."""
        if self._frozen_s is None:
            return False
        if self._changed(image):
            self._same_since_s = at_s
        self.frozen = at_s - self._same_since_s >= self._frozen_s
        return self.frozen

    def _changed(self, image: Image) -> bool:
        """A few rows tell most pictures apart; only where they do not are all pixels summed."""
        sample = image.shape, image[::16].tobytes()
        if sample != self._sample:
            self._sample, self._sum = sample, None
            return True
        before, self._sum = self._sum, zlib.crc32(np.ascontiguousarray(image).data)
        return before is not None and before != self._sum


class RateMeter:
    """Frames a second over the last ``window_s``, in memory bounded by ``most`` frames."""

    def __init__(self, window_s: float = 5.0, *, most: int = 512) -> None:
        self._window_s = window_s
        self._times_s: deque[float] = deque(maxlen=most)

    def tick(self, at_s: float) -> None:
        """A frame came."""
        self._times_s.append(at_s)
        while self._times_s[0] < at_s - self._window_s:
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
