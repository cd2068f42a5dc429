"""What roads and cameras do to an image: night, rain, fog, motion blur, defocus, JPEG, glare.

After Michaelis et al., "Benchmarking Robustness in Object Detection" (2019). Fog, both blurs and
JPEG are that benchmark's own, by ``imagecorruptions``; it has no night, rain or glare, which are
here. They are for evaluation. A network that trains on the same code is no longer tested by it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum, StrEnum

import cv2
import numpy as np
import numpy.typing as npt

from oneglance.streams.errors import UsageError

Pixels = npt.NDArray[np.uint8]

GAMMA = 2.2
"""From light to pixel values, roughly sRGB's."""


class Condition(StrEnum):
    """What happens to the image."""

    NIGHT = "night"
    RAIN = "rain"
    FOG = "fog"
    MOTION_BLUR = "motion blur"
    DEFOCUS = "defocus"
    JPEG = "jpeg"
    GLARE = "glare"


class Severity(IntEnum):
    """How much of it: severities 1, 3 and 5 of the benchmark's five."""

    MILD = 1
    MIDDLE = 3
    STRONG = 5


CORRUPTIONS = {
    Condition.FOG: "fog",
    Condition.MOTION_BLUR: "motion_blur",
    Condition.DEFOCUS: "defocus_blur",
    Condition.JPEG: "jpeg_compression",
}
"""What ``imagecorruptions`` calls them."""


def apply_condition(
    image: Pixels, condition: Condition, severity: Severity, *, seed: int = 0
) -> Pixels:
    """``image``, H×W×3 BGR, under ``condition``: a new image of the same shape.

    The same image, condition, severity and ``seed`` give the same result.

    Raises:
        UsageError: ``imagecorruptions`` is not installed.
    """
    key = zlib.crc32(condition.encode())
    random = np.random.default_rng([seed, key, severity])
    if condition is Condition.NIGHT:
        return night(image, severity, random)
    if condition is Condition.RAIN:
        return rain(image, severity, random)
    if condition is Condition.GLARE:
        return glare(image, severity, random)
    return _corrupt(image, CORRUPTIONS[condition], severity, int(random.integers(2**32)))


def night(image: Pixels, severity: Severity, random: np.random.Generator) -> Pixels:
    """A short exposure in little light, amplified: shot and read noise in linear light.

    The sensor collects up to 10 000 electrons by day, a 12th, 40th or 120th of them at night,
    and reads with a noise of 4. Its gain gives back a half, a third or a fifth of the light.
    """
    darker, brightness = {1: (12, 0.5), 3: (40, 0.33), 5: (120, 0.2)}[severity]
    full = 10_000 / darker
    light = (image.astype(np.float32) / 255) ** GAMMA
    electrons = random.poisson(light * full) + random.normal(0, 4, image.shape)
    return _pixels((electrons / full * brightness).clip(0, 1) ** (1 / GAMMA) * 255)


def rain(image: Pixels, severity: Severity, random: np.random.Generator) -> Pixels:
    """Streaks of drops, and the contrast that they take: noise, blurred along the fall.

    Streaks are as long as 3, 5 or 7 % of the image's height.
    """
    share, length, veil = {1: (0.002, 0.03, 0.1), 3: (0.005, 0.05, 0.2), 5: (0.01, 0.07, 0.35)}[
        severity
    ]
    height, width = image.shape[:2]
    drops = (random.random((height, width)) < share).astype(np.float32)
    side = max(3, round(length * height)) | 1
    kernel = np.zeros((side, side), np.float32)
    slant = random.uniform(-0.25, 0.25) * side
    ends = (round(side / 2 - slant), 0), (round(side / 2 + slant), side - 1)
    cv2.line(kernel, *ends, color=1.0)
    streaks = np.minimum(cv2.filter2D(drops, -1, kernel / max(1, side / 12)), 1)[..., None]
    grey = (1 - veil) * image.astype(np.float32) + veil * 160
    return _pixels(grey + streaks * 0.6 * (230 - grey))


def glare(image: Pixels, severity: Severity, random: np.random.Generator) -> Pixels:
    """A low sun in the upper half: a disc, its bloom, and light scattered over the image."""
    disc, bloom, veil = {1: (0.03, 0.15, 0.06), 3: (0.05, 0.25, 0.14), 5: (0.08, 0.4, 0.25)}[
        severity
    ]
    height, width = image.shape[:2]
    x, y = random.uniform(0.2, 0.8) * width, random.uniform(0.1, 0.45) * height
    rows, columns = np.ogrid[:height, :width]
    away = np.hypot(columns - x, rows - y).astype(np.float32) / width
    added = np.exp(-((away / disc) ** 2)) * 2 + np.exp(-away / bloom) * 0.9 + veil
    light = (image.astype(np.float32) / 255) ** GAMMA + added[..., None] * [0.75, 0.9, 1.0]
    return _pixels(light.clip(0, 1) ** (1 / GAMMA) * 255)


def _corrupt(image: Pixels, name: str, severity: Severity, seed: int) -> Pixels:
    try:
        from imagecorruptions import corrupt
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{name} needs {error.name}: pip install 'oneglance[conditions]'"
        ) from None

    with _seeded(seed):
        return np.asarray(corrupt(image, severity=int(severity), corruption_name=name), np.uint8)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """numpy's global generator, which ``imagecorruptions`` draws from, as it was afterwards."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


def _pixels(values: npt.NDArray[np.floating]) -> Pixels:
    return np.asarray(np.rint(values).clip(0, 255), np.uint8)
