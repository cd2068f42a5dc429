"""Frames of the rendered drive that show everything, for models to be checked on."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from oneglance.streams.rendered.stream import RenderedStream

PLACES = ((2, 60), (0, 100))
"""Seed and frame: cars, pedestrians, signs and lights, near and far, most of them easy to see."""


def reference_images(size: tuple[int, int]) -> list[npt.NDArray[np.uint8]]:
    """The frames at ``PLACES``, H×W×3 BGR uint8, drawn to ``size`` = (width, height)."""
    images = []
    for seed, index in PLACES:
        uri = f"rendered:?seed={seed}&frames={index + 1}"
        with RenderedStream.from_uri(uri) as stream:
            *_, last = stream
        image = cv2.resize(last.image, size, interpolation=cv2.INTER_AREA)
        images.append(np.asarray(image, np.uint8))
    return images
