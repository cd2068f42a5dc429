"""What a thing of the rendered world is, and the shapes of vehicles and people in metres."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

Point = tuple[float, float, float]
"""x, y, z in metres (see scene.py)."""

Outline = tuple[tuple[float, float], ...]
"""Corners on the unit square, y down."""


def _ring(corners: int) -> Outline:
    """A regular polygon that touches the sides of the unit square; even at its top."""
    angles = [math.tau * (n + 0.5) / corners for n in range(corners)]
    reach = 0.5 / math.cos(math.pi / corners)
    return tuple((0.5 + reach * math.cos(a), 0.5 + reach * math.sin(a)) for a in angles)


_ROUND, _SQUARE = _ring(48), ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))

SIGN_OUTLINES: dict[str, Outline] = {
    "limit": _ROUND,
    "danger": ((0.5, 0.0), (1.0, 1.0), (0.0, 1.0)),
    "mandatory": _ROUND,
    "stop": _ring(8),
    "yield": ((0.0, 0.0), (1.0, 0.0), (0.5, 1.0)),
    "priority": ((0.5, 0.0), (1.0, 0.5), (0.5, 1.0), (0.0, 0.5)),
    "no_entry": _ROUND,
    "no_passing": _ROUND,
    "crossing": _SQUARE,
}
TRIANGLE_HEIGHT = 0.89
"""Height of a triangular sign of width 1; the others are as high as wide."""


class Kind(StrEnum):
    """What can be seen; the first four are the network's tasks, the rest is scenery."""

    PEDESTRIAN = "pedestrian"
    CAR = "car"
    SIGN = "sign"
    LIGHT = "light"
    HOUSE = "house"
    TREE = "tree"
    POLE = "pole"


LABELLED = (Kind.PEDESTRIAN, Kind.CAR, Kind.SIGN, Kind.LIGHT)


@dataclass(frozen=True, slots=True)
class Thing:
    """One object: the middle of its foot at (x, y, z), its size, and how it looks.

    ``style`` picks the variant, ``look`` in 0..1 its colours. ``facing`` is 1 when it shows us
    its front and 0 its back. ``phase``: the walking phase in radians, a light's place in its
    cycle 0..1, or 1 for a vehicle that brakes.
    """

    kind: Kind
    track_id: int
    x: float
    y: float
    z: float
    width: float
    height: float
    length: float = 0.0
    style: str = ""
    look: float = 0.0
    facing: int = 0
    phase: float = 0.0

    def at(self, x: float, z: float, phase: float) -> Thing:
        """The same thing, elsewhere."""
        return Thing(
            self.kind, self.track_id, x, self.y, z, self.width, self.height, self.length,
            self.style, self.look, self.facing, phase,
        )  # fmt: skip

    def tagged(self, track_id: int) -> Thing:
        """The same thing under its own number."""
        return Thing(
            self.kind, track_id, self.x, self.y, self.z, self.width, self.height, self.length,
            self.style, self.look, self.facing, self.phase,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Profile:
    """A vehicle from the side. Sizes in metres; the rest as shares of height and length.

    Lengthwise shares run from the nose (0) to the tail (1). ``roof_width`` is a share of the
    width: cabins are narrower than bodies.
    """

    width: float
    height: float
    length: float
    share: float
    nose: float
    screen_foot: tuple[float, float]
    roof: tuple[float, float]
    rear_foot: tuple[float, float]
    tail: float
    roof_width: float
    axles: tuple[float, float]

    @property
    def boxy(self) -> bool:
        """No bonnet and no boot: flat at both ends."""
        return self.nose > 0.9


PROFILES = {
    "saloon": Profile(
        1.8, 1.44, 4.5, 0.22, 0.52, (0.27, 0.65), (0.42, 0.7), (0.87, 0.69), 0.66, 0.74,
        (0.18, 0.79),
    ),
    "hatch": Profile(
        1.75, 1.48, 3.95, 0.3, 0.52, (0.24, 0.64), (0.4, 0.84), (0.985, 0.66), 0.63, 0.78,
        (0.19, 0.81),
    ),
    "suv": Profile(
        1.88, 1.68, 4.5, 0.16, 0.57, (0.26, 0.64), (0.38, 0.88), (0.985, 0.63), 0.61, 0.82,
        (0.18, 0.8),
    ),
    "van": Profile(
        1.98, 2.15, 5.0, 0.14, 0.45, (0.15, 0.55), (0.3, 0.985), (1.0, 0.56), 0.55, 0.9,
        (0.17, 0.78),
    ),
    "truck": Profile(
        2.45, 3.3, 8.0, 0.1, 1.0, (0.0, 0.6), (0.0, 1.0), (1.0, 0.4), 1.0, 1.0, (0.14, 0.76)
    ),
    "bus": Profile(
        2.5, 3.0, 10.5, 0.08, 1.0, (0.0, 0.5), (0.0, 1.0), (1.0, 0.5), 1.0, 1.0, (0.2, 0.72)
    ),
}  # fmt: skip

TRAFFIC_SHARES = [profile.share for profile in PROFILES.values()]

BODY_BOTTOM = 0.13
"""Share of a vehicle's height below which only its wheels are."""


def vehicle_parts(car: Thing) -> list[list[Point]]:
    """The corners of a vehicle's body, cabin and wheels: convex, and together its silhouette."""
    shape = PROFILES[car.style]
    half, roof = car.width / 2, car.width / 2 * shape.roof_width
    foot, rear = shape.screen_foot, shape.rear_foot
    body = [
        (half, BODY_BOTTOM, 0.0), (half, shape.nose, 0.0), (half, foot[1], foot[0]),
        (half, BODY_BOTTOM, 1.0), (half, shape.tail, 1.0), (half, rear[1], rear[0]),
    ]  # fmt: skip
    cabin = [
        (half, foot[1], foot[0]), (half, rear[1], rear[0]),
        (roof, 1.0, shape.roof[0]), (roof, 1.0, shape.roof[1]),
    ]  # fmt: skip
    wheels = [
        [(half, 0.0, axle + reach), (half, BODY_BOTTOM, axle + reach)]
        for axle in shape.axles
        for reach in (-0.02, 0.02)
    ]
    return [
        [
            (car.x + side * s, h * car.height, car.z + lengthwise(car, a) * car.length)
            for s, h, a in part
            for side in (-1, 1)
        ]
        for part in (body, cabin, [corner for wheel in wheels for corner in wheel])
    ]


def lengthwise(car: Thing, share: float) -> float:
    """A share from nose to tail as a share from the near end to the far end."""
    return share if car.facing else 1 - share


class Limb(NamedTuple):
    """A rounded bar in a figure's plane: two ends and their radii, in shares of its height.

    A tuple because hundreds are made for each frame.
    """

    part: str
    x1: float
    y1: float
    x2: float
    y2: float
    r1: float
    r2: float


def figure(person: Thing, *, coarse: bool = False) -> list[Limb]:
    """A person's limbs, farthest first; y up from the ground, x right of the middle.

    Seen along its way a walking figure shows legs that lift, seen across it legs that swing.
    ``coarse`` leaves out what is too small to see far away.
    """
    swing = 0.0 if person.style == "stands" else math.sin(person.phase)
    build = 0.88 + 0.3 * ((person.look * 23.7) % 1.0)
    face = person.facing == 1
    if person.style == "across" and person.phase:
        limbs = _striding(person.phase, build)
        return limbs if not coarse else [limb for limb in limbs if limb.part not in _SMALL_PARTS]
    if coarse:
        return _from_afar(swing, build)
    limbs = []
    for side in (-1, 1):
        lift = max(0.0, swing * side) * 0.035
        arm = 0.03 * swing * side
        limbs += [
            Limb("leg", 0.045 * side * build, 0.5, 0.05 * side, 0.26 + lift, 0.058 * build, 0.043),
            Limb("leg", 0.05 * side, 0.26 + lift, 0.05 * side, 0.05 + lift, 0.043, 0.03),
            Limb("shoe", 0.05 * side, 0.028 + lift, 0.06 * side, 0.022 + lift, 0.028, 0.022),
            Limb("sleeve", 0.125 * side * build, 0.79, 0.16 * side * build, 0.62, 0.036, 0.03),
            Limb("sleeve", 0.16 * side * build, 0.62, 0.155 * side * build, 0.5 + arm, 0.03, 0.022),
            Limb(
                "hand",
                0.155 * side * build,
                0.47 + arm,
                0.15 * side * build,
                0.455 + arm,
                0.02,
                0.016,
            ),
        ]
    body = [
        Limb("coat", -0.06 * build, 0.77, -0.03 * build, 0.5, 0.062 * build, 0.07),
        Limb("coat", 0.06 * build, 0.77, 0.03 * build, 0.5, 0.062 * build, 0.07),
        Limb("coat", 0, 0.78, 0, 0.52, 0.07 * build, 0.07 * build),
    ]
    return [*limbs, *body, *_head(0.0, face)]


_SMALL_PARTS = frozenset({"hand", "neck", "shoe"})


def _from_afar(swing: float, build: float) -> list[Limb]:
    limbs = []
    for side in (-1, 1):
        lift = max(0.0, swing * side) * 0.035
        hand = 0.165 * side * build
        limbs += [
            Limb("leg", 0.045 * side * build, 0.5, 0.05 * side, 0.03 + lift, 0.055 * build, 0.03),
            Limb("sleeve", 0.12 * side * build, 0.79, hand, 0.47, 0.036, 0.025),
        ]
    trunk = Limb("coat", 0, 0.76, 0, 0.5, 0.12 * build, 0.1 * build)
    return [*limbs, trunk, Limb("skin", 0, 0.93, 0, 0.9, 0.056, 0.048),
            Limb("hair", 0, 0.955, 0, 0.94, 0.045, 0.055)]  # fmt: skip


def _striding(phase: float, build: float) -> list[Limb]:
    limbs: list[Limb] = []
    for side in (-1, 1):
        swing = math.sin(phase) * side
        forward = math.cos(phase) * side > 0  # this leg is off the ground and bends
        knee_x, foot_x = 0.13 * swing, 0.21 * swing - (0.05 if forward else 0.0)
        lift = 0.04 if forward else 0.0
        lift *= abs(math.cos(phase))
        limbs += [
            Limb("leg", 0, 0.5, knee_x + 0.02, 0.27, 0.065 * build, 0.045),
            Limb("leg", knee_x + 0.02, 0.27, foot_x, 0.055 + lift, 0.045, 0.03),
            Limb("shoe", foot_x, 0.026 + lift, foot_x + 0.055, 0.022 + lift, 0.026, 0.022),
        ]
        arm = Limb("sleeve", 0, 0.78, -0.1 * swing, 0.62, 0.042, 0.033)
        fore = Limb("sleeve", -0.1 * swing, 0.62, -0.15 * swing + 0.03, 0.5, 0.033, 0.025)
        hand = Limb("hand", -0.15 * swing + 0.03, 0.475, -0.15 * swing + 0.035, 0.46, 0.021, 0.016)
        if side < 0:
            limbs = [arm, fore, hand, *limbs]
            limbs.append(Limb("coat", 0.0, 0.77, 0, 0.51, 0.085 * build, 0.078 * build))
        else:
            limbs = [*limbs[:-1], limbs[-1], arm, fore, hand]
    return [*limbs, *_head(0.015, face=False)]


def _head(x: float, face: bool) -> list[Limb]:
    skin = [
        Limb("neck", x, 0.86, x, 0.82, 0.036, 0.042),
        Limb("skin", x, 0.93, x, 0.9, 0.056, 0.048),
    ]
    if face:
        return [*skin, Limb("hair", x - 0.03, 0.965, x + 0.03, 0.965, 0.035, 0.035)]
    return [*skin, Limb("hair", x - 0.005, 0.94, x - 0.012, 0.92, 0.06, 0.05)]


def figure_parts(person: Thing, *, coarse: bool) -> list[list[Point]]:
    """The corners of a figure's limbs, each convex."""
    tall, z = person.height, person.z
    parts = []
    for limb in figure(person, coarse=coarse):
        ends = ((limb.x1, limb.y1, limb.r1), (limb.x2, limb.y2, limb.r2))
        parts.append([
            (person.x + (x + r * u) * tall, (y + r * v) * tall, z)
            for x, y, r in ends
            for u, v in _CIRCLE
        ])  # fmt: skip
    return parts


_CIRCLE = tuple((math.cos(math.tau * n / 8), math.sin(math.tau * n / 8)) for n in range(8))


def figure_bounds(person: Thing, *, coarse: bool) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a figure in shares of its height (see ``Limb``)."""
    left, top, right, low = 1.0, 0.0, -1.0, 1.0
    for _, x1, y1, x2, y2, r1, r2 in figure(person, coarse=coarse):
        left = min(left, x1 - r1, x2 - r2)
        right = max(right, x1 + r1, x2 + r2)
        top = max(top, y1 + r1, y2 + r2)
        low = min(low, y1 - r1, y2 - r2)
    return left, top, right, low
