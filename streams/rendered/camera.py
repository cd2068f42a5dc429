"""The camera of the rendered world: where a point, a thing and its box lie in the image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import cv2
import numpy as np

from oneglance.streams.rendered.things import (
    SIGN_OUTLINES,
    Kind,
    Point,
    Thing,
    figure_bounds,
    figure_parts,
    vehicle_parts,
)

NEAREST_Z = 2.2
"""Metres; nothing nearer is drawn, and whatever stands beside the road left the image before."""

ROOF_HEIGHT = 2.6
"""Metres from the eaves to the ridge of low houses."""

COARSE_PX = 48
"""Figures lower than this many pixels are built of fewer parts."""

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole behind a windscreen.

    ``width`` and ``height`` of the image in pixels; ``focal``: pixels for one metre at one
    metre; ``centre`` and ``horizon``: the column and row that straight ahead falls on;
    ``above_road`` in metres.
    """

    width: int
    height: int
    focal: float
    centre: float
    horizon: float
    above_road: float

    def turned(self, right_px: float, down_px: float) -> Camera:
        """The same camera with its image moved by so many pixels (a small turn or nod)."""
        return Camera(
            self.width, self.height, self.focal, self.centre + right_px, self.horizon + down_px,
            self.above_road,
        )  # fmt: skip

    def padded(self, margin: int) -> Camera:
        """The same view with a margin of pixels on every side."""
        return Camera(
            self.width + 2 * margin, self.height + 2 * margin, self.focal,
            self.centre + margin, self.horizon + margin, self.above_road,
        )  # fmt: skip

    def project(self, x: float, y: float, z: float) -> tuple[float, float]:
        """(column, row) in pixels of a point of the world; ``z`` nearer than nearest is nearest."""
        scale = self.focal / max(z, NEAREST_Z)
        return self.centre + x * scale, self.horizon + (self.above_road - y) * scale

    def box(self, thing: Thing) -> Box:
        """The box around ``thing`` as painted; it may leave the image."""
        if thing.kind is Kind.CAR:
            return self.bounds(chain.from_iterable(vehicle_parts(thing)))
        if thing.kind is Kind.PEDESTRIAN:
            scale = self.figure_px(thing)
            left, top, right, low = figure_bounds(thing, coarse=scale < COARSE_PX)
            x, y = self.project(thing.x, 0, thing.z)
            return x + left * scale, y - top * scale, x + right * scale, y - low * scale
        if thing.kind is Kind.HOUSE:
            outer = thing.x + (thing.width if thing.x > 0 else -thing.width)
            far, top = thing.z + thing.length, thing.height + ROOF_HEIGHT
            sides = ((thing.x, thing.z), (outer, thing.z), (thing.x, far))
            return self.bounds([(x, y, z) for x, z in sides for y in (0.0, top)])
        half, top = thing.width / 2, thing.y + thing.height
        left, upper = self.project(thing.x - half, top, thing.z)
        right, lower = self.project(thing.x + half, thing.y, thing.z)
        return left, upper, right, lower

    def clipped(self, thing: Thing, box: Box) -> Box | None:
        """``box`` clipped to what of ``thing`` lies inside the image; None: nothing does.

        Of a car half outside, only the bonnet may be left: a lower box than that of the car.
        """
        if box[0] >= 0 and box[1] >= 0 and box[2] <= self.width and box[3] <= self.height:
            return box
        frame = np.array(
            [(0, 0), (self.width, 0), (self.width, self.height), (0, self.height)], np.float32
        )
        corners = []
        for part in self._parts(thing, box):
            hull = cv2.convexHull(np.array(part, np.float32))
            area, inside = cv2.intersectConvexConvex(hull, frame)
            if area > 0:
                corners.append(np.reshape(inside, (-1, 2)))
        if not corners:
            return None
        found = np.concatenate(corners)
        # Clipping is a little inexact: a corner may come to lie a hair outside.
        found = np.clip(found, 0, (self.width, self.height))
        (x1, y1), (x2, y2) = found.min(axis=0).tolist(), found.max(axis=0).tolist()
        return x1, y1, x2, y2

    def _parts(self, thing: Thing, box: Box) -> list[list[tuple[float, float]]]:
        """The silhouette of ``thing`` in pixels, as convex parts."""
        if thing.kind is Kind.CAR:
            return [[self.project(*p) for p in part] for part in vehicle_parts(thing)]
        if thing.kind is Kind.PEDESTRIAN:
            parts = figure_parts(thing, coarse=self.figure_px(thing) < COARSE_PX)
            return [[self.project(*p) for p in part] for part in parts]
        outline = SIGN_OUTLINES.get(thing.style, SIGN_OUTLINES["crossing"])
        wide, tall = box[2] - box[0], box[3] - box[1]
        return [[(box[0] + u * wide, box[1] + v * tall) for u, v in outline]]

    def figure_px(self, person: Thing) -> float:
        """How many pixels high ``person`` is."""
        return person.height * self.focal / max(person.z, NEAREST_Z)

    def bounds(self, points: Iterable[Point]) -> Box:
        """The box around points of the world."""
        columns, rows = zip(*(self.project(*point) for point in points), strict=True)
        return min(columns), min(rows), max(columns), max(rows)
