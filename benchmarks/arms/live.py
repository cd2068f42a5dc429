"""Arm: the live loop on a source that keeps its pace, whatever we do.

The source holds some decoded frames and hands out a copy at each tick, as a camera does;
what is counted is everything it produced.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from typing import Self

from benchmarks.arms import measuring
from benchmarks.arms.frames import endless
from oneglance.models import Detector
from oneglance.perception import Mode, Pipeline, Tracker
from oneglance.streams import Frame
from oneglance.streams.frame import Image

HELD = 50
"""Decoded frames that the source goes round."""

SETTLE_S = 2.0
"""Left out at the start: loading, first inferences."""


class PacedSource:
    """A live stream of ``rate`` frames a second: a ``Stream`` that never ends by itself."""

    live = True
    source = "paced"
    frame_count = None

    def __init__(self, images: list[Image], rate: float) -> None:
        self._images = images
        self._period_s = 1 / rate
        self.frame_rate: Fraction | None = Fraction(rate).limit_denominator(1000)
        self._over = threading.Event()
        self.produced = 0
        self.late = 0

    def __iter__(self) -> Iterator[Frame]:
        """Frames at their ticks; a tick that we were too slow to serve is counted in ``late``."""
        started_s = time.monotonic()
        tick = 0
        while True:
            due_s = started_s + tick * self._period_s
            if self._over.wait(max(0.0, due_s - time.monotonic())):
                return
            if time.monotonic() - due_s > self._period_s:
                self.late += 1
            image = self._images[tick % len(self._images)].copy()
            frame = Frame(image, self.produced, time.monotonic(), self.source)
            self.produced += 1
            tick += 1
            yield frame

    def close(self) -> None:
        """End at the next frame."""
        self._over.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def main() -> None:
    arguments = measuring.parser(__doc__)
    arguments.add_argument("--rate", type=float, required=True, help="frames a second")
    arguments.add_argument("--seconds", type=float, required=True)
    options = arguments.parse_args()
    detector = Detector.load(options.model)
    images = [frame.image for frame in islice(endless(options.clip), HELD)]
    for image in images[:10]:
        detector(image)
    source = PacedSource(images, options.rate)
    pipeline = Pipeline(source, detector, mode=Mode.LIVE, tracker=Tracker(frame_rate=options.rate))
    ages_ms: list[float] = []
    inference_ms: list[float] = []
    memory_mb: list[float | None] = []
    results = dropped = 0
    started_s = time.monotonic()
    for result in pipeline:
        elapsed_s = time.monotonic() - started_s
        results += 1
        dropped += result.dropped
        if elapsed_s >= SETTLE_S:
            assert result.age_s is not None
            ages_ms.append(round(1e3 * result.age_s, 3))
            inference_ms.append(round(1e3 * result.timings["inference"], 3))
            if elapsed_s >= SETTLE_S + len(memory_mb):  # once a second
                memory_mb.append(measuring.resident_mb())
        if elapsed_s >= SETTLE_S + options.seconds:
            last = result.frame.index
            break
    measuring.answer(
        ages_ms=ages_ms,
        inference_ms=inference_ms,
        memory_mb=memory_mb,
        results=results,
        dropped=dropped,
        up_to_last=last + 1,
        produced=source.produced,
        late=source.late,
        seconds=options.seconds,
    )


if __name__ == "__main__":
    main()
