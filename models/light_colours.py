"""What a traffic light shows, from the pixels of a light that was found.

The network finds lights; which lamp is lit is predicted by hand-made features and a linear
classifier fitted to them: histograms of hue, of what is bright and saturated, in three bands of the
box from its top to its bottom, or, of a box that is wider than high, from its left to its right:
where traffic keeps right, heads that lie have red on the left. A few thousand labelled lights are
enough for that, and were too few to teach it to the network (figures:
``benchmarks/results/road4-n``). Its weights are part of the model file, see ``metadata``;
``training.fit.light_colours`` fits them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from oneglance.models.pixels import Planes, cut, size_of
from oneglance.models.tasks import LIGHT_COLOURS, ModelClass

CROP = (12, 24)
"""A light is looked at in this size, (width, height) in pixels."""

BANDS = 3
HUES = 12

FEATURES = BANDS * (HUES + 2)
"""For each band its hues' share of light, its brightest pixel and its mean."""

SURE = 0.5
"""A colour is assigned from this probability on; below, the light stays ``light``."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LightColours:
    """A softmax classifier of ``features``: K×(FEATURES+1) ``weights``, the last its bias."""

    classes: tuple[ModelClass, ...]
    weights: Floats

    def predict(
        self, image: npt.NDArray[np.uint8] | Planes, xyxy: npt.NDArray[np.float32]
    ) -> list[int | None]:
        """For N lights, boxes in pixels of the image: which of ``classes``, or None."""
        if not len(xyxy):
            return []
        found = self.probabilities(np.stack([features(image, box) for box in xyxy]))
        best = found.argmax(axis=1)
        sure = found.max(axis=1) >= SURE
        return [int(k) if assigned else None for k, assigned in zip(best, sure, strict=True)]

    def probabilities(self, rows: Floats) -> Floats:
        """N×FEATURES to N×K, each row's sum 1."""
        scores = rows @ self.weights[:, :-1].T + self.weights[:, -1]
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities: Floats = scores / scores.sum(axis=1, keepdims=True)
        return probabilities

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, four significant digits."""
        rows = [[float(f"{w:.4g}") for w in row] for row in self.weights]
        return {"classes": [cls.name for cls in self.classes], "weights": rows}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """What ``as_dict`` gave.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        known = {each.name: each for each in LIGHT_COLOURS}
        classes = tuple(known[name] for name in content["classes"])
        weights = np.array(content["weights"], np.float64)
        if weights.shape != (len(classes), FEATURES + 1) or not np.isfinite(weights).all():
            raise ValueError(f"colours need {len(classes)}×{FEATURES + 1} finite weights")
        return cls(classes, weights)


def features(image: npt.NDArray[np.uint8] | Planes, box: npt.NDArray[np.float32]) -> Floats:
    """FEATURES numbers in 0..1 of one light in an image; ``box`` is its ``xyxy`` in pixels.

    Square roots, so that a dim lamp counts beside a glaring one.
    """
    end = np.array(size_of(image))
    start = np.clip(box[:2].astype(np.intp), 0, end - 1)
    (left, top), (right, bottom) = start, np.clip(np.ceil(box[2:]).astype(np.intp), start + 1, end)
    import cv2

    part = cut(image, (int(left), int(top), int(right), int(bottom)))
    pixels = part if isinstance(part, np.ndarray) else part.bgr()
    if right - left > bottom - top:  # it lies
        pixels = pixels.transpose(1, 0, 2)
    crop = cv2.resize(pixels, CROP, interpolation=cv2.INTER_AREA)
    hue, saturation, value = cv2.split(cv2.cvtColor(crop, cv2.COLOR_BGR2HSV))
    bins = hue.reshape(BANDS, -1).astype(np.intp) * HUES // 180  # OpenCV's hues are 0 to 179
    bins += HUES * np.arange(BANDS)[:, None]
    lit = saturation.astype(np.float64) * value
    counts: Floats = np.bincount(bins.ravel(), lit.ravel(), BANDS * HUES).astype(np.float64)
    share = counts.reshape(BANDS, HUES) / (255 * 255 * bins.shape[1])
    light = value.reshape(BANDS, -1) / 255
    rows = np.column_stack((share, light.max(axis=1), light.mean(axis=1)))
    roots: Floats = np.sqrt(rows, dtype=np.float64).ravel()
    return roots
