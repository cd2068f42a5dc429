"""The detector in a loop of your own, without the pipeline: frames from wherever you have them.

python -m oneglance.perception.examples.own_loop drive.mp4
"""

from __future__ import annotations

import sys
from collections import Counter

from oneglance.models import Detector, Task
from oneglance.streams import open_stream


def main(source: str = "rendered:?frames=5") -> None:
    """Print how many of each class every frame of ``source`` shows."""
    detector = Detector.load("road4-n", tasks={Task.PEDESTRIAN, Task.CAR}, confidence=0.4)
    with open_stream(source) as stream:
        for frame in stream:
            detections = detector(frame.image)  # any H×W×3 uint8 BGR array
            print(frame.index, dict(Counter(map(str, detections.data["class_name"]))))


if __name__ == "__main__":
    main(*sys.argv[1:])
