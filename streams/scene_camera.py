"""The camera of the rendered world: where a point, a thing and its box lie in the picture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from oneglance.streams.scene_things import Kind, Point, Thing, figure_bounds, vehicle_points

NEAREST_Z = 2.2
"""Metres; nothing nearer is drawn, and whatever stands beside the road left the picture before."""

COARSE_PX = 48
"""Figures lower than this many pixels are built of fewer parts."""

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole behind a windscreen.

    ``width`` and ``height`` of the picture in pixels; ``focal``: pixels for one metre at one
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
        """The same camera with its picture moved by so many pixels (a small turn or nod)."""
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
        """The box around ``thing`` as painted; it may leave the picture."""
        if thing.kind is Kind.CAR:
            return self.bounds(vehicle_points(thing))
        if thing.kind is Kind.PEDESTRIAN:
            scale = self.figure_px(thing)
            left, top, right, low = figure_bounds(thing, coarse=scale < COARSE_PX)
            x, y = self.project(thing.x, 0, thing.z)
            return x + left * scale, y - top * scale, x + right * scale, y - low * scale
        half, top = thing.width / 2, thing.y + thing.height
        left, upper = self.project(thing.x - half, top, thing.z)
        right, lower = self.project(thing.x + half, thing.y, thing.z)
        return left, upper, right, lower

    def figure_px(self, person: Thing) -> float:
        """How many pixels high ``person`` is."""
        return person.height * self.focal / max(person.z, NEAREST_Z)

    def bounds(self, points: Iterable[Point]) -> Box:
        """The box around points of the world."""
        columns, rows = zip(*(self.project(*point) for point in points), strict=True)
        return min(columns), min(rows), max(columns), max(rows)
