"""Cars, vans, trucks and buses: bodies in perspective, seen from behind or from the front."""

from __future__ import annotations

from collections.abc import Iterable

from oneglance.streams.rendered.brush import Brush, Colour
from oneglance.streams.rendered.camera import NEAREST_Z, Camera
from oneglance.streams.rendered.things import BODY_BOTTOM, PROFILES, Thing, lengthwise

BODIES: tuple[Colour, ...] = (  # as often as on the road: white, grey, black first
    (226, 228, 226), (232, 233, 230), (150, 151, 150), (178, 180, 178), (84, 83, 82),
    (44, 42, 41), (34, 33, 33), (98, 60, 34), (140, 82, 36), (38, 34, 150), (30, 28, 112),
    (70, 84, 62), (128, 146, 156), (40, 110, 170), (186, 178, 160),
)  # fmt: skip
LORRIES: tuple[Colour, ...] = (
    (222, 224, 222), (200, 202, 200), (150, 70, 30), (40, 60, 170), (60, 150, 210), (80, 120, 50),
)  # fmt: skip
GLASS: Colour = (62, 54, 46)
TYRE: Colour = (34, 33, 32)
RIM: Colour = (140, 141, 140)
PLASTIC: Colour = (52, 51, 50)
PLATE: Colour = (224, 228, 228)
SMALL_PX, TINY_PX = 26, 16
"""Bodies lower than this many pixels are drawn without their small, or nearly all their parts."""

Corner = tuple[float, float, float]
"""Across -1..1 (half widths), up 0..1 (heights), along 0..1 (near end to far end)."""


class _Solid:
    """A vehicle's own coordinates."""

    def __init__(self, brush: Brush, car: Thing, camera: Camera) -> None:
        self.brush, self.car, self.shape = brush, car, PROFILES[car.style]
        self._camera = camera
        self._half = car.width / 2
        _, low = camera.project(0, 0, max(car.z, NEAREST_Z))
        _, high = camera.project(0, car.height, max(car.z, NEAREST_Z))
        self.rows = low - high
        self.side = 0 if abs(car.x) <= self._half else (1 if car.x < 0 else -1)
        palette = LORRIES if self.shape.boxy else BODIES
        self.colour = palette[int(car.look * 0.9999 * len(palette))]
        self.seen_above = camera.above_road > car.height

    def pixel(self, corner: Corner) -> tuple[float, float]:
        return self.pixels((corner,))[0]

    def pixels(self, corners: Iterable[Corner]) -> list[tuple[float, float]]:
        """``Camera.project``, spelled out: it runs a few thousand times a frame."""
        car, camera = self.car, self._camera
        x, z, half, height, length = car.x, car.z, self._half, car.height, car.length
        focal, centre, above = camera.focal, camera.centre, camera.above_road
        horizon = camera.horizon
        found = []
        for s, h, a in corners:
            depth = z + a * length
            scale = focal / (depth if depth > NEAREST_Z else NEAREST_Z)
            found.append((centre + (x + s * half) * scale, horizon + (above - h * height) * scale))
        return found

    def face(
        self, corners: list[Corner], colour: Colour, tone: float = 1.0, *, lit: bool = False
    ) -> None:
        fill = (colour[0] * tone, colour[1] * tone, colour[2] * tone)
        self.brush.poly(self.pixels(corners), fill, lit=lit)

    def along(self, share: float) -> float:
        return lengthwise(self.car, share)

    def wall(self, s: tuple[float, float], h: tuple[float, float], colour: Colour,
             tone: float = 1.0, *, lit: bool = False) -> None:  # fmt: skip
        """A rectangle on the near face."""
        corners = [(s[0], h[1], 0.0), (s[1], h[1], 0.0), (s[1], h[0], 0.0), (s[0], h[0], 0.0)]
        self.face(corners, colour, tone, lit=lit)


def paint_vehicle(brush: Brush, car: Thing, camera: Camera, *, lamps: bool) -> None:
    """Draw ``car``; ``lamps`` says whether drivers have switched their lights on."""
    solid = _Solid(brush, car, camera)
    _tyres(solid)
    if solid.side:
        _flank(solid)
    if solid.shape.boxy:
        _flat_end(solid)
    else:
        _cabin_end(solid)
    _lamps(solid, lamps=lamps)


def _tyres(solid: _Solid) -> None:
    """The two wheels of the near axle, seen below the body from its end."""
    axle = min(solid.along(a) for a in solid.shape.axles)
    top = 0.3 if not solid.shape.boxy else 0.16
    for s1, s2 in ((-1.0, -0.74), (0.74, 1.0)):
        solid.face([(s1, top, axle), (s2, top, axle), (s2, 0, axle), (s1, 0, axle)], TYRE)


def _flank(solid: _Solid) -> None:
    shape, s, along = solid.shape, float(solid.side), solid.along
    if shape.boxy:
        _boxy_flank(solid, s)
    else:
        nose, tail = along(0.0), along(1.0)
        foot, rear = along(shape.screen_foot[0]), along(shape.rear_foot[0])
        waist = [
            (s, BODY_BOTTOM, nose), (s, shape.nose, nose), (s, shape.screen_foot[1], foot),
            (s, shape.rear_foot[1], rear), (s, shape.tail, tail), (s, BODY_BOTTOM, tail),
        ]  # fmt: skip
        solid.face(waist, solid.colour, 0.78)
        roof = s * shape.roof_width
        front, back = along(shape.roof[0]), along(shape.roof[1])
        cabin = [
            (s, shape.screen_foot[1], foot), (roof, 1.0, front), (roof, 1.0, back),
            (s, shape.rear_foot[1], rear),
        ]  # fmt: skip
        solid.face(cabin, solid.colour, 0.7)
        if solid.rows >= TINY_PX:
            low = BODY_BOTTOM
            sill = [(s, low, nose), (s, 0.36, nose), (s, 0.36, tail), (s, low, tail)]
            solid.face(sill, solid.colour, 0.6)
            _side_windows(solid, s)
        if solid.rows >= SMALL_PX:
            for door in (0.36, 0.58):
                a1, a2 = along(door), along(door + 0.006)
                seam = [(s, 0.2, a1), (s, 0.64, a1), (s, 0.64, a2), (s, 0.2, a2)]
                solid.face(seam, solid.colour, 0.5)
    _wheels(solid, s)


def _side_windows(solid: _Solid, s: float) -> None:
    shape, along = solid.shape, solid.along
    belt = max(shape.screen_foot[1], shape.rear_foot[1]) + 0.03
    top = 0.94
    lean = s * (1 - (1 - shape.roof_width) * 0.8)
    first, last = shape.screen_foot[0] + 0.07, shape.rear_foot[0] - 0.06
    peak_first, peak_last = shape.roof[0] + 0.02, shape.roof[1] - 0.02
    if solid.car.style == "van":
        last, peak_last = 0.42, 0.42
    middle = (first + last) / 2 + 0.04
    for low1, low2, high1, high2 in (
        (first, middle - 0.012, peak_first, middle - 0.012),
        (middle + 0.012, last, middle + 0.012, peak_last),
    ):
        if high2 > high1:
            corners = [
                (s, belt, along(low1)), (lean, top, along(high1)), (lean, top, along(high2)),
                (s, belt, along(low2)),
            ]  # fmt: skip
            solid.face(corners, GLASS, 1.15)


def _boxy_flank(solid: _Solid, s: float) -> None:
    along = solid.along
    bus = solid.car.style == "bus"

    def panel(
        length: tuple[float, float], rise: tuple[float, float], colour: Colour, tone: float = 1.0
    ) -> None:
        (a1, a2), (h1, h2) = length, rise
        u1, u2 = along(a1), along(a2)
        solid.face([(s, h2, u1), (s, h2, u2), (s, h1, u2), (s, h1, u1)], colour, tone)

    panel((0.0, 1.0), (BODY_BOTTOM, 1.0), solid.colour, 0.8)
    panel((0.0, 1.0), (BODY_BOTTOM, 0.2), PLASTIC)
    if bus:
        panel((0.02, 0.98), (0.48, 0.84), GLASS)
        for pillar in (0.13, 0.3, 0.47, 0.64, 0.81):
            panel((pillar, pillar + 0.012), (0.48, 0.84), solid.colour, 0.6)
    else:
        panel((0.225, 0.245), (BODY_BOTTOM, 1.0), (40, 40, 40))
        panel((0.03, 0.15), (0.5, 0.74), GLASS)
        panel((0.25, 1.0), (0.22, 0.25), PLASTIC)


def _wheels(solid: _Solid, s: float) -> None:
    car = solid.car
    radius = (0.31 if not solid.shape.boxy else 0.47) / car.height
    reach = radius * car.height / car.length
    ring = ((1, 0), (0.7, 0.7), (0, 1), (-0.7, 0.7), (-1, 0), (-0.7, -0.7), (0, -1), (0.7, -0.7))
    for share in solid.shape.axles:
        a = solid.along(share)
        if car.z + (a - reach) * car.length < NEAREST_Z:
            continue
        for size, colour in ((1.22, (30, 29, 29)), (1.0, TYRE), (0.6, RIM)):
            if size != 1 and solid.rows < SMALL_PX:
                continue
            # The arch is cut at the ground: only the tyre reaches it.
            corners = [
                (s, max(0.0 if size <= 1 else BODY_BOTTOM, radius + size * radius * up),
                 a + size * reach * away)
                for away, up in ring
            ]  # fmt: skip
            solid.face(corners, colour)


def _cabin_end(solid: _Solid) -> None:
    shape, front = solid.shape, solid.car.facing == 1
    edge_h = shape.nose if front else shape.tail
    foot_a, foot_h = shape.screen_foot if front else shape.rear_foot
    roof_a = shape.roof[0] if front else shape.roof[1]
    other_a = shape.roof[1] if front else shape.roof[0]
    foot, roof, other = solid.along(foot_a), solid.along(roof_a), solid.along(other_a)
    r = shape.roof_width
    body = solid.colour
    if solid.seen_above:
        solid.face([(-r, 1, other), (r, 1, other), (r, 1, roof), (-r, 1, roof)], body, 1.06)
    pillars = [(-r, 1, roof), (r, 1, roof), (0.98, foot_h, foot), (-0.98, foot_h, foot)]
    solid.face(pillars, body, 0.82)
    _end_glass(solid, (foot, foot_h), roof)
    deck = [(-0.97, foot_h, foot), (0.97, foot_h, foot), (1, edge_h, 0), (-1, edge_h, 0)]
    solid.face(deck, body, 1.05)
    cut, low = 0.05, BODY_BOTTOM
    outline: list[Corner] = [
        (-1 + cut, edge_h, 0), (1 - cut, edge_h, 0), (1, edge_h - 0.06, 0), (1, low + 0.05, 0),
        (1 - cut, low, 0), (-1 + cut, low, 0), (-1, low + 0.05, 0), (-1, edge_h - 0.06, 0),
    ]  # fmt: skip
    solid.face(outline, body, 0.93)
    if solid.rows < TINY_PX:
        return
    solid.wall((-1, 1), (0.30, 0.42), body, 0.86)
    if solid.car.look % 0.3 < 0.16:
        solid.wall((-0.96, 0.96), (low, 0.27), PLASTIC)
    else:
        solid.wall((-0.96, 0.96), (low, 0.29), body, 0.72)
    if solid.rows >= SMALL_PX:
        _end_parts(solid, edge_h, front=front)


def _end_glass(solid: _Solid, foot: tuple[float, float], roof: float) -> None:
    """The windscreen or rear window: dark below, with a strip of reflected sky above."""
    foot_a, foot_h = foot
    wide = solid.shape.roof_width

    def at(share: float, side: float) -> Corner:
        across = 0.9 + (wide * 0.9 - 0.9) * share
        return (side * across, foot_h + (1 - foot_h) * share, foot_a + (roof - foot_a) * share)

    solid.face([at(0.06, -1), at(0.06, 1), at(0.9, 1), at(0.9, -1)], GLASS)
    if solid.rows < SMALL_PX:
        return
    solid.face([at(0.62, -1), at(0.62, 1), at(0.9, 1), at(0.9, -1)], (112, 104, 94))
    for seat in (-0.48, 0.46):  # head-rests or heads
        low, high = at(0.08, 0), at(0.5, 0)
        solid.face(
            [(seat - 0.17, *low[1:]), (seat + 0.17, *low[1:]),
             (seat + 0.1, *high[1:]), (seat - 0.1, *high[1:])],
            (40, 36, 32),
        )  # fmt: skip


def _end_parts(solid: _Solid, edge_h: float, *, front: bool) -> None:
    body = solid.colour
    if front:
        solid.wall((-0.5, 0.5), (edge_h - 0.13, edge_h - 0.045), (36, 36, 36))
        solid.wall((-0.5, 0.5), (edge_h - 0.09, edge_h - 0.082), RIM)
        solid.wall((-0.62, 0.62), (0.16, 0.26), (34, 34, 34))
        solid.wall((-0.29, 0.29), (0.29, 0.36), PLATE)
    else:
        solid.wall((-0.96, 0.96), (edge_h - 0.035, edge_h), body, 1.08)
        solid.wall((-0.7, 0.7), (0.415, 0.425), body, 0.55)
        plate = 0.3 if solid.car.look % 0.2 < 0.08 else edge_h - 0.17
        solid.wall((-0.29, 0.29), (plate, plate + 0.075), PLATE)
        solid.wall((-0.25, 0.25), (plate + 0.02, plate + 0.055), (120, 122, 122))


def _flat_end(solid: _Solid) -> None:
    body, bus = solid.colour, solid.car.style == "bus"
    solid.wall((-1, 1), (BODY_BOTTOM, 1.0), body, 0.95)
    solid.wall((-1, 1), (BODY_BOTTOM, 0.21), PLASTIC)
    if solid.car.facing:
        solid.wall((-0.9, 0.9), (0.4 if bus else 0.46, 0.83 if bus else 0.74), GLASS)
        solid.wall((-0.9, 0.9), (0.68, 0.83 if bus else 0.74), (104, 96, 88))
        solid.wall((-0.7, 0.7), (0.87, 0.95), (30, 30, 32))
        if bus:
            solid.wall((-0.45, 0.45), (0.895, 0.925), (60, 190, 245), lit=True)
        else:
            solid.wall((-0.6, 0.6), (0.24, 0.4), (44, 44, 44))
        solid.wall((-0.24, 0.24), (0.215, 0.25), PLATE)
        return
    if bus:
        solid.wall((-0.82, 0.82), (0.55, 0.86), GLASS)
        solid.wall((-0.82, 0.82), (0.74, 0.86), (100, 92, 84))
        solid.wall((-0.6, 0.6), (0.27, 0.42), body, 0.72)
    else:
        solid.wall((-0.93, 0.93), (0.27, 0.97), body, 0.86)
        solid.wall((-0.012, 0.012), (0.27, 0.97), body, 0.5)
        for hinge in (-0.5, 0.5):
            solid.wall((hinge - 0.012, hinge + 0.012), (0.3, 0.95), RIM)
    solid.wall((-0.22, 0.22), (0.215, 0.25), PLATE)


def _lamps(solid: _Solid, *, lamps: bool) -> None:
    car, shape = solid.car, solid.shape
    if shape.boxy:
        bottom, top, inner = 0.22, 0.3, 0.74
    elif car.facing:
        bottom, top, inner = shape.nose - 0.13, shape.nose - 0.03, 0.6
    else:
        upright = car.style in {"van", "suv"} or car.look % 0.25 < 0.1
        bottom, top, inner = shape.tail - 0.16, shape.tail - 0.03, 0.66
        if upright:
            top, inner = shape.tail + (0.14 if car.style == "van" else 0.0), 0.82
    bright: Colour
    if car.facing:
        bright = (240, 250, 255) if lamps else (214, 218, 216)
    else:
        bright = (70, 70, 255) if car.phase else (40, 36, 196) if lamps else (44, 38, 158)
    shines = bool(lamps or car.phase)
    for side in (-1, 1):
        solid.wall((side * inner, side * 0.97), (bottom, top), bright, lit=shines)
        middle = solid.pixel((side * (inner + 0.97) / 2, (bottom + top) / 2, 0))
        if not car.facing and solid.rows >= SMALL_PX:
            solid.wall((side * inner, side * 0.97), (bottom, bottom + 0.03), (60, 120, 220))
        if shines and car.z > NEAREST_Z:
            halo = (120, 140, 150) if car.facing else (20, 20, 110)
            solid.brush.glow(middle, solid.rows * (0.3 if lamps else 0.16), halo)
    if car.phase and not car.facing and not shape.boxy:
        a = solid.along(shape.roof[1])
        edge = [(-0.2, 0.97, a), (0.2, 0.97, a), (0.2, 0.94, a), (-0.2, 0.94, a)]
        solid.face(edge, (60, 60, 255), lit=True)
