"""What the network sees in one image.

python -m oneglance.perception.examples.image street.jpg
"""

from __future__ import annotations

import sys

import cv2

from oneglance.models import Detector
from oneglance.perception import annotate
from oneglance.streams import open_stream


def main(source: str = "rendered:?frames=1", out: str = "seen.jpg") -> None:
    """Print what is seen in the first image of ``source`` and draw it into ``out``."""
    with open_stream(source) as stream:  # an image file, or whatever else has frames
        image = next(iter(stream)).image
    detections = Detector.load("road4-n")(image)
    for box, _, confidence, _, _, data in detections:
        print(f"{data['class_name']} {confidence:.2f} at {box.round().tolist()}")
    cv2.imwrite(out, annotate(image, detections))


if __name__ == "__main__":
    main(*sys.argv[1:])
