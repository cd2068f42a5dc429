"""Augmentation: training images by night, in haze, rain and glare, blurred and compressed.

The kinds of condition that ``evaluation.conditions`` scores, by other means and with other
parameters: a network that trained on the very images of a test would not be tested by it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


class Weather:
    """Changes a ``share`` of the images that pass, each in one way; boxes stay as they are.

    Draws from ``random``, which ultralytics seeds in every process that loads images.
    """

    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self, labels: dict[str, Any]) -> dict[str, Any]:
        """``labels["img"]``: H×W×3 BGR, uint8."""
        if random.random() < self.share:  # noqa: S311 - no secret
            change = random.choice(CHANGES)  # noqa: S311
            labels["img"] = change(np.ascontiguousarray(labels["img"]))
        return labels


def darkness(image: Pixels) -> Pixels:
    """Less light, and grain that shows where it is amplified."""
    dark = image.astype(np.float32) * _between(0.15, 0.6)
    height, width = image.shape[:2]
    seed = random.getrandbits(32)
    grain = np.random.default_rng(seed).normal(0, _between(3, 18), (height, width, 1))
    return _pixels(dark + grain.astype(np.float32))


def haze(image: Pixels) -> Pixels:
    """An even grey that thickens towards the horizon and above it."""
    height = image.shape[0]
    rows = np.linspace(1, _between(0.2, 0.6), height, dtype=np.float32)[:, None, None]
    amount = _between(0.25, 0.7) * rows
    return _pixels(image * (1 - amount) + _between(170, 235) * amount)


def rain(image: Pixels) -> Pixels:
    """Bright strokes of one direction, out of focus, over a paler image."""
    height, width = image.shape[:2]
    drops = np.zeros((height, width), np.uint8)
    slant = _between(-0.3, 0.3)
    for _ in range(int(width * height * _between(2e-4, 1.2e-3))):
        x, y, long = _between(0, width), _between(0, height), _between(0.02, 0.06) * height
        cv2.line(drops, _at(x, y), _at(x + slant * long, y + long), random.randint(60, 200))  # noqa: S311
    drops = np.asarray(cv2.GaussianBlur(drops, (3, 3), 0), np.uint8)
    pale = image * 0.85 + 20
    return _pixels(pale + (255 - pale) * (drops[..., None] / 255.0))


def motion(image: Pixels) -> Pixels:
    """As if the camera had moved a few pixels while it looked."""
    side = random.randrange(3, 13, 2)  # noqa: S311
    kernel = np.zeros((side, side), np.float32)
    angle, reach = _between(0, math.pi), side / 2
    dx, dy = reach * math.cos(angle), reach * math.sin(angle)
    cv2.line(kernel, _at(reach - dx, reach - dy), _at(reach + dx, reach + dy), 1.0)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)


def blur(image: Pixels) -> Pixels:
    """A soft lens."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), _between(0.6, 2.4)), np.uint8)


def compression(image: Pixels) -> Pixels:
    """A poor JPEG."""
    quality = random.randint(12, 60)  # noqa: S311
    _, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8)


def glare(image: Pixels) -> Pixels:
    """A bright spot anywhere, and light that it scatters."""
    height, width = image.shape[:2]
    x, y, wide = _between(0, width), _between(0, 0.7 * height), _between(0.1, 0.35) * width
    rows, columns = np.ogrid[:height, :width]
    near = np.exp(-(((columns - x) ** 2 + (rows - y) ** 2) / (2 * wide**2))).astype(np.float32)
    added = 255 * (_between(0.5, 1.1) * near + _between(0.02, 0.15))
    return _pixels(image + added[..., None])


CHANGES: tuple[Callable[[Pixels], Pixels], ...] = (
    darkness, haze, rain, motion, blur, compression, glare
)  # fmt: skip


def _between(low: float, high: float) -> float:
    return random.uniform(low, high)  # noqa: S311 - no secret


def _at(x: float, y: float) -> tuple[int, int]:
    return round(x), round(y)


def _pixels(values: npt.NDArray[np.floating[Any]]) -> Pixels:
    return np.asarray(np.rint(values).clip(0, 255), np.uint8)
