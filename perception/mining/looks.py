"""What a frame looks like, in a few numbers: for rare conditions and for near-duplicates.

These are statistics of pixels and no judgement of the weather. "Dark" and "glare" are what they
say; "haze" is little contrast in a frame that is not dark: fog, spray, a veil of rain, a dirty
windscreen, and also a bare grey wall. Drops on the windscreen and rain that leaves the contrast
alone are seen by none of them; frames that differ from the rest of the run are "unusual", whatever
the cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from oneglance.perception.mining.reasons import Reason
from oneglance.streams.errors import SinkError
from oneglance.streams.frame import Image

JPEG_QUALITY = 95

WIDTH = 320
"""Pixels to which a frame is shrunk first, so that cameras can be compared."""

DARK_LEVEL = 60.0
"""Mean grey level of 255 below which a frame is dark. Daylight in ../shared/clips has 74 and more,
night streets in ../shared/data/lights_asia 26 to 45."""

CLIPPED = 250
GLARE_SHARE = 0.10
"""Share of pixels at ``CLIPPED`` or more from which a frame has glare: in ../shared/clips 8 % at
most, in cameras that let the sky burn out twice that; see ``RARE``."""

HAZE_CONTRAST = 28.0
"""Standard deviation of grey levels below which a frame is hazy: roads by day have 42 and more."""

UNUSUAL_FROM = 6.0
"""Distance from the run's median, in robust standard deviations, that makes a frame unusual."""

RARE = 0.2
"""What more of the frames share is not rare in this run, and no reason."""


@dataclass(frozen=True, slots=True)
class Look:
    """Mean and standard deviation of the grey levels in 0..255, the share of clipped pixels, how
    much detail there is (log10 of the Laplacian's variance), mean colourfulness (maximum less
    minimum channel) in 0..255; ``bits``: the difference hash that ``oneglance audit``
    will find of the image, 256 booleans packed."""

    level: float
    contrast: float
    clipped: float
    detail: float
    colour: float
    bits: bytes

    @property
    def numbers(self) -> tuple[float, ...]:
        """All but the hash."""
        return self.level, self.contrast, self.clipped, self.detail, self.colour


def look_at(image: Image) -> Look:
    """What ``image`` (H×W×3 uint8 BGR) looks like."""
    from oneglance.models.training.audit.image_stats import jpeg_hash

    height, width = image.shape[:2]
    shape = (WIDTH, max(1, round(height * WIDTH / width)))
    small = cv2.resize(image, shape, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    laplacian = float(cv2.Laplacian(grey, cv2.CV_32F).var())
    spread = small.max(axis=2).astype(np.int16) - small.min(axis=2)
    return Look(
        level=float(grey.mean()),
        contrast=float(grey.std()),
        clipped=float(np.mean(grey >= CLIPPED)),
        detail=float(np.log10(laplacian + 1)),
        colour=float(spread.mean()),
        bits=np.packbits(jpeg_hash(to_jpeg(image))).tobytes(),
    )


def to_jpeg(image: Image) -> bytes:
    """``image`` as the file that a data set has of it.

    Raises:
        SinkError: it is larger than JPEG allows.
    """
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise SinkError("a frame cannot be written as JPEG: it has more than 65535 pixels a side")
    return data.tobytes()


def bits_apart(one: bytes, other: bytes) -> int:
    """How many bits of two hashes differ."""
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


def conditions(looks: Sequence[Look]) -> list[dict[Reason, float]]:
    """For each frame of a run: its rare conditions, and how strong they are."""
    found: list[dict[Reason, float]] = [_gates(look) for look in looks]
    for place, distance in enumerate(_distances(looks)):
        if distance > UNUSUAL_FROM:
            found[place][Reason.UNUSUAL] = distance
    for reason in Reason:
        have = [each for each in found if reason in each]
        if len(have) > RARE * len(looks):
            for each in have:
                del each[reason]
    return found


def _gates(look: Look) -> dict[Reason, float]:
    found = {}
    if look.level < DARK_LEVEL:
        found[Reason.DARK] = DARK_LEVEL - look.level
    elif look.contrast < HAZE_CONTRAST:
        found[Reason.HAZE] = HAZE_CONTRAST - look.contrast
    if look.clipped > GLARE_SHARE:
        found[Reason.GLARE] = look.clipped
    return found


def _distances(looks: Sequence[Look]) -> npt.NDArray[np.float64]:
    """Of each from the median, in robust standard deviations of the number that is farthest."""
    if not looks:
        return np.empty(0)
    numbers = np.array([look.numbers for look in looks])
    middle = np.median(numbers, axis=0)
    # 1.4826: from the median absolute deviation to a normal distribution's standard deviation.
    # A fixed camera hardly varies at all; what is less than a hundredth of a scale is no news.
    least = np.array([255, 255, 1, 4, 255]) / 100
    spread = np.maximum(1.4826 * np.median(np.abs(numbers - middle), axis=0), least)
    return np.asarray((np.abs(numbers - middle) / spread).max(axis=1), np.float64)
