"""One network for two live cameras: served round-robin, none waits for the other.

python -m oneglance.perception.examples.two_cameras rtsp://front/ rtsp://rear/
"""

from __future__ import annotations

import logging
import sys

from oneglance.models import Detector
from oneglance.perception import Live, Pipeline, Tracker

FRONT, REAR = "rendered:?frames=40&seed=1&size=640x360", "rendered:?seed=2&frames=40&size=640x360"


def main(front: str = FRONT, rear: str = REAR) -> None:
    """Print the newest of both cameras, and at the end what became of every frame."""
    logging.basicConfig(level=logging.WARNING)
    pipeline = Pipeline(
        [front, rear],
        Detector.load("road4-n-416"),
        mode=Live(on_event=print),  # lost, back again, stalled …
        tracker=Tracker(),
    )
    for result in pipeline:
        ids = result.detections.tracker_id
        print(f"{result.frame.source}: age {1e3 * (result.age_s or 0.0):.0f} ms, tracks {ids}")
    for source in pipeline.health().sources:
        print(f"{source.source}: {source.delivered} delivered, dropped {dict(source.dropped)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
