"""The rendered world: what stands, walks and drives where at a given time. No drawing here.

Metres and seconds; x to the right of the ego lane's centre, y up from the road, z ahead of the
camera. Right-hand traffic. The world is endless and has no memory: everything follows from
the seed and the time, so any frame can be asked for first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np

EGO_SPEED = 9.0
CELL_LENGTH = 26.0
HORIZON_CELLS = 4
NEAREST_Z = 2.2
FARTHEST_Z = 95.0
LANE_WIDTH = 3.5
ROAD_LEFT, ROAD_RIGHT = -1.5 * LANE_WIDTH, 0.5 * LANE_WIDTH
PARKING = 1.9
PAVEMENT = 2.8

SIGNS = ("limit", "danger", "mandatory", "stop", "yield", "priority", "no_entry", "no_passing")
VEHICLES = {  # width, height, length in metres, share of the traffic
    "car": (1.8, 1.45, 4.2, 0.66),
    "van": (1.95, 2.1, 4.9, 0.16),
    "truck": (2.4, 3.2, 7.5, 0.1),
    "bus": (2.5, 3.0, 9.5, 0.08),
}


class Kind(StrEnum):
    """What can be seen; the first four are the network's tasks, the rest is scenery."""

    PEDESTRIAN = "pedestrian"
    CAR = "car"
    SIGN = "sign"
    LIGHT = "light"
    HOUSE = "house"
    TREE = "tree"
    POLE = "pole"


LABELLED = frozenset({Kind.PEDESTRIAN, Kind.CAR, Kind.SIGN, Kind.LIGHT})
SCENERY = frozenset({Kind.HOUSE, Kind.TREE})


@dataclass(frozen=True, slots=True)
class Thing:
    """One object: the middle of its foot at (x, y, z), its size, and how it looks.

    ``style`` picks the variant, ``look`` in 0..1 its colours. ``facing`` is 1 when it shows us
    its front and 0 its back; ``phase`` is the walking phase or a light's state.
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


class World:
    """Everything there is, for one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._cell = lru_cache(maxsize=64)(self._make_cell)
        random = self._random(0, 1)
        self.daylight = float(random.choice([1.0, 0.92, 0.8, 0.58]))
        self.overcast = float(random.uniform(0, 1))
        self._busy = float(random.uniform(0.45, 1.0))
        self._lead_gap = float(random.uniform(9, 26))
        self._lead_style = str(random.choice(list(VEHICLES), p=[v[3] for v in VEHICLES.values()]))
        self._lead_look = float(random.uniform())
        self._has_lead = bool(random.uniform() < 0.7)

    def things(self, time_s: float) -> list[Thing]:
        """All between NEAREST_Z and FARTHEST_Z at ``time_s``: scenery, then farthest first."""
        ego_z = EGO_SPEED * time_s
        first = math.floor(ego_z / CELL_LENGTH)
        found = [
            thing
            for cell in range(first - 1, first + HORIZON_CELLS + 1)
            for thing in self._at(cell, time_s)
        ]
        if self._has_lead:
            found.append(self._lead(time_s))
        seen = [t for t in found if NEAREST_Z - t.length < t.z < FARTHEST_Z]
        # Houses and trees stand behind the pavements: painted first, they hide nobody.
        return sorted(seen, key=lambda thing: (thing.kind not in SCENERY, -thing.z))

    def _random(self, cell: int, salt: int) -> np.random.Generator:
        # Cells behind the start count too; SeedSequence takes no negative numbers.
        return np.random.default_rng((self._seed & 0xFFFFFFFF, cell + 1_000_000, salt))

    def _lead(self, time_s: float) -> Thing:
        width, height, length, _ = VEHICLES[self._lead_style]
        gap = self._lead_gap + 5 * math.sin(0.31 * time_s) + 2 * math.sin(0.83 * time_s)
        brakes = float(math.cos(0.31 * time_s) < -0.35)
        return Thing(
            Kind.CAR, 1, 0.15 * math.sin(0.5 * time_s), 0, gap, width, height, length,
            self._lead_style, self._lead_look, 0, brakes,
        )  # fmt: skip

    def _at(self, cell: int, time_s: float) -> list[Thing]:
        """The things of one cell, moved to where they are at ``time_s``."""
        ego_z = EGO_SPEED * time_s
        # Time until we are there: what moves is at its own place then, so nobody wanders off.
        ahead_s = cell * CELL_LENGTH / EGO_SPEED - time_s
        moved = []
        for thing, velocity_x, velocity_z in self._cell(cell):
            z = thing.z - ego_z - velocity_z * ahead_s
            x = thing.x - velocity_x * ahead_s
            phase = thing.phase
            if thing.kind is Kind.PEDESTRIAN:
                phase = thing.phase + 1.9 * time_s
            elif thing.kind is Kind.LIGHT:
                phase = (thing.phase + time_s / 9.0) % 1.0
            moved.append(
                Thing(
                    thing.kind, thing.track_id, x, thing.y, z, thing.width, thing.height,
                    thing.length, thing.style, thing.look, thing.facing, phase,
                )  # fmt: skip
            )
        return moved

    def _make_cell(self, cell: int) -> list[tuple[Thing, float, float]]:
        """The things of one cell with their velocities (x, z), as they are when we are there."""
        random = self._random(cell, 2)
        base = cell * CELL_LENGTH
        identity = (cell + 1_000_000) * 16
        made: list[tuple[Thing, float, float]] = []
        made += self._scenery(random, base, identity)
        made += self._traffic(random, base, identity + 4)
        made += self._people(random, base, identity + 8)
        made += self._signals(random, base, identity + 12)
        return made

    @staticmethod
    def _scenery(
        random: np.random.Generator, base: float, identity: int
    ) -> list[tuple[Thing, float, float]]:
        made = []
        for side in (-1, 1):
            edge = ROAD_RIGHT + PARKING if side > 0 else ROAD_LEFT
            x = edge + side * (PAVEMENT + random.uniform(1.5, 5.5))
            height = random.uniform(6, 14)
            if random.uniform() < 0.72:
                length = CELL_LENGTH * random.uniform(0.6, 0.95)
                house = Thing(
                    Kind.HOUSE, identity, x, 0, base, 8.0, height, length, "", random.uniform()
                )
                made.append((house, 0.0, 0.0))
            for _ in range(int(random.integers(0, 3))):
                tree = Thing(
                    Kind.TREE, identity, edge + side * (PAVEMENT + random.uniform(0.2, 1.4)), 0,
                    base + random.uniform(0, CELL_LENGTH), random.uniform(2.2, 4.0),
                    random.uniform(4, 7), 0, "", random.uniform(),
                )  # fmt: skip
                made.append((tree, 0.0, 0.0))
        return made

    def _traffic(
        self, random: np.random.Generator, base: float, identity: int
    ) -> list[tuple[Thing, float, float]]:
        made = []
        for number in range(3):
            style = str(random.choice(list(VEHICLES), p=[v[3] for v in VEHICLES.values()]))
            width, height, length, _ = VEHICLES[style]
            scale = random.uniform(0.92, 1.08)
            oncoming = number < 2
            wanted = self._busy * (0.75, 0.45, 0.6)[number]
            look, offset = random.uniform(), random.uniform(0, CELL_LENGTH)
            if random.uniform() > wanted:
                continue
            x = -LANE_WIDTH + random.uniform(-0.3, 0.3) if oncoming else ROAD_RIGHT + 1.15
            if not oncoming and style in {"truck", "bus"}:
                continue
            z = base + offset if not oncoming else base + number * CELL_LENGTH / 2
            thing = Thing(
                Kind.CAR, identity + number, x, 0, z, width * scale, height * scale, length,
                style, look, int(oncoming),
            )  # fmt: skip
            # One speed for all oncoming traffic, so that nobody drives through anybody.
            made.append((thing, 0.0, -8.0 if oncoming else 0.0))
        return made

    def _people(
        self, random: np.random.Generator, base: float, identity: int
    ) -> list[tuple[Thing, float, float]]:
        made = []
        for number in range(4):
            wanted = self._busy * (0.7, 0.55, 0.4, 0.22)[number]
            height = random.uniform(1.5, 1.9)
            side = -1 if random.uniform() < 0.4 else 1
            walk = random.uniform(0.7, 1.6) * random.choice([-1, 1])
            place, look, phase = random.uniform(0, 1, 3)
            if random.uniform() > wanted:
                continue
            edge = ROAD_RIGHT + PARKING if side > 0 else ROAD_LEFT
            x = edge + side * (0.5 + 1.6 * place)
            crossing = number == 3
            if crossing:
                x = ROAD_RIGHT + 1.0
            thing = Thing(
                Kind.PEDESTRIAN, identity + number, x, 0, base + CELL_LENGTH * place,
                0.36 * height, height, 0, "crossing" if crossing else "walking", look,
                int(walk < 0), 6.283 * phase,
            )  # fmt: skip
            made.append((thing, 1.1 if crossing else 0.0, 0.0 if crossing else walk))
        return made

    @staticmethod
    def _signals(
        random: np.random.Generator, base: float, identity: int
    ) -> list[tuple[Thing, float, float]]:
        made = []
        x, z = ROAD_RIGHT + 2.3, base + random.uniform(2, CELL_LENGTH - 2)
        if random.uniform() < 0.75:
            size = random.uniform(0.65, 0.95)
            foot = random.uniform(1.9, 2.5)
            style, look = str(random.choice(SIGNS)), random.uniform()
            made.append((Thing(Kind.POLE, identity, x, 0, z + 0.05, 0.08, foot + size), 0.0, 0.0))
            sign = Thing(Kind.SIGN, identity, x, foot, z, size, size, 0, style, look)
            made.append((sign, 0.0, 0.0))
            if random.uniform() < 0.3:
                other = str(random.choice(SIGNS))
                upper = Thing(Kind.SIGN, identity + 3, x, foot + size + 0.05, z, size, size, 0, other)
                made.append((upper, 0.0, 0.0))
        if random.uniform() < 0.4:
            phase, z = random.uniform(), base + CELL_LENGTH - 1
            places = [(ROAD_RIGHT + 2.2, 2.3), (ROAD_LEFT - 0.6, 2.3)]
            if random.uniform() < 0.5:  # over the lane, on an arm
                places[1] = (0.4, 4.6)
                reach = places[0][0] - 0.4
                arm = Thing(Kind.POLE, 0, 0.4 + reach / 2, 5.6, z + 0.05, reach, 0.1)
                mast = Thing(Kind.POLE, 0, places[0][0], 0, z + 0.06, 0.14, 5.7)
                made += [(arm, 0.0, 0.0), (mast, 0.0, 0.0)]
            for number, (light_x, foot) in enumerate(places):
                light = Thing(
                    Kind.LIGHT, identity + 1 + number, light_x, foot, z, 0.36, 1.0, 0, "", 0, 0, phase
                )
                if foot < 4:
                    made.append((Thing(Kind.POLE, 0, light_x, 0, z + 0.05, 0.11, foot), 0.0, 0.0))
                made.append((light, 0.0, 0.0))
        return made


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole behind a windscreen. ``width`` and ``height`` of the picture in pixels."""

    width: int
    height: int
    above_road: float = 1.35

    @property
    def focal(self) -> float:
        """Pixels for one metre at one metre."""
        return 0.86 * self.width

    @property
    def horizon(self) -> float:
        """The row of the horizon."""
        return 0.47 * self.height

    def project(self, x: float, y: float, z: float) -> tuple[float, float]:
        """(column, row) in pixels of a point of the world; ``z`` must be positive."""
        return (
            self.width / 2 + self.focal * x / z,
            self.horizon + self.focal * (self.above_road - y) / z,
        )

    def box(self, thing: Thing) -> tuple[float, float, float, float]:
        """x1 y1 x2 y2 in pixels around ``thing``, near and far face; may leave the picture."""
        corners = []
        for z in (max(thing.z, NEAREST_Z), max(thing.z + thing.length, NEAREST_Z)):
            corners.append(self.project(thing.x - thing.width / 2, thing.y + thing.height, z))
            corners.append(self.project(thing.x + thing.width / 2, thing.y, z))
        columns, rows = zip(*corners, strict=True)
        return min(columns), min(rows), max(columns), max(rows)
