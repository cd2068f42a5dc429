"""A source of your own: whatever makes images becomes a ``Stream``, here a moving pattern.

python -m oneglance.perception.examples.own_source
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from oneglance.models import Detector
from oneglance.perception import Pipeline
from oneglance.streams import Frame


class Pattern:
    """Ten frames a second that nobody filmed; ``live``: whether the world sets the pace."""

    source, live, frame_rate, frame_count = "pattern", False, Fraction(10), None

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        ramp = np.arange(640, dtype=np.uint8)
        for index in range(self._frames):
            if self._closed.is_set():
                return
            image = np.broadcast_to(np.roll(ramp, 8 * index)[None, :, None], (360, 640, 3)).copy()
            # metadata: what else you know of it; it comes back with the result.
            yield Frame(image, index, index / 10, self.source, metadata={"shift": 8 * index})

    def close(self) -> None:
        self._closed.set()

    def __enter__(self) -> Pattern:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def main() -> None:
    """Print what each frame brought along."""
    for result in Pipeline(Pattern(5), Detector.load("road4-n-416")):
        frame = result.frame
        print(frame.index, dict(frame.metadata), f"{len(result.detections)} detections")


if __name__ == "__main__":
    main()
