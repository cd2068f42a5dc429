"""The rendered world: what stands, walks and drives where at a given time. No drawing here.

Metres and seconds; x to the right of the ego lane's centre, y up from the road, z ahead of the
camera. Right-hand traffic. The world is endless and has no memory: everything follows from
the seed and the time, so any frame can be asked for first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from oneglance.streams.rendered.camera import NEAREST_Z, Camera
from oneglance.streams.rendered.setting import (
    LANE_WIDTH,
    ROAD_LEFT,
    ROAD_RIGHT,
    Setting,
    Street,
    Weather,
    weather,
)
from oneglance.streams.rendered.things import (
    PROFILES,
    SIGN_OUTLINES,
    TRAFFIC_SHARES,
    TRIANGLE_HEIGHT,
    Kind,
    Thing,
)

EGO_SPEED = 9.0
ONCOMING_SPEED = 8.0
CELL_LENGTH = 26.0
CELLS_AHEAD = 6
FARTHEST_Z = 150.0
LIGHT_PERIOD_S = 9.0
WALK_RADIANS_A_METRE = 4.2

_SCENERY = frozenset({Kind.HOUSE, Kind.TREE})
_IDENTITIES = 16  # track ids of a cell
_PAST_CELLS = 1_000_000  # cells behind the start have numbers too; seeds take no negative ones


@dataclass(frozen=True, slots=True)
class Stain:
    """A mended patch, or a cover (as long as wide); ``tone`` times the asphalt's colour."""

    x: float
    z: float
    width: float
    length: float
    tone: float


@dataclass(frozen=True, slots=True)
class _Mover:
    """A thing of a cell as it is when we get there, and its velocity (x, z) until then."""

    thing: Thing
    velocity_x: float = 0.0
    velocity_z: float = 0.0
    crossing: tuple[float, float] | None = None
    """Seconds before our arrival between which it walks; it waits before and after."""


class World:
    """Everything there is, for one seed (0..2**32 - 1)."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._cell = lru_cache(maxsize=64)(self._make_cell)
        self._stains = lru_cache(maxsize=64)(self._make_stains)
        self._oncoming = lru_cache(maxsize=64)(self._make_oncoming)
        random = self._random(0, 1)
        self.weather: Weather = weather(random)
        setting = Setting(str(random.choice(list(Setting), p=[0.46, 0.4, 0.14])))
        paved = setting is not Setting.COUNTRY
        self.street = Street(setting, 1.9 if paved else 0.0, random.uniform(2.2, 3.4) * paved)
        self._busy = float(random.uniform(0.5, 1.0))
        self._lead = self._make_lead(random) if random.uniform() < 0.65 else None
        self._mount = random.uniform(0, 1, 6)

    def camera(self, time_s: float, width: int, height: int) -> Camera:
        """The camera as it is mounted in this drive, swaying a little with the road."""
        still = self.still_camera(width, height)
        sway = 0.006 * math.sin(0.37 * time_s + 6 * self._mount[4])
        nod = 0.0016 * (
            math.sin(5.1 * time_s) + math.sin(7.7 * time_s + 1) * math.sin(0.6 * time_s)
        )
        return still.turned(sway * width, nod * height)

    def still_camera(self, width: int, height: int) -> Camera:
        """The camera without its sway."""
        mount = self._mount
        return Camera(
            width,
            height,
            focal=(0.74 + 0.3 * mount[0]) * width,
            centre=(0.5 + 0.06 * (mount[1] - 0.5)) * width,
            horizon=(0.44 + 0.1 * mount[2]) * height,
            above_road=1.2 + 0.45 * mount[3],
        )

    def things(self, time_s: float) -> list[Thing]:
        """All up to ``FARTHEST_Z`` ahead at ``time_s``: scenery, then the rest; farthest first."""
        first = math.floor(EGO_SPEED * time_s / CELL_LENGTH)
        found = [
            _moved(mover, cell * CELL_LENGTH / EGO_SPEED - time_s, time_s)
            for cell in range(first - 1, first + CELLS_AHEAD + 1)
            for mover in self._cell(cell)
        ]
        if self._lead is not None:
            found.append(_lead_at(self._lead, time_s))
        seen = [t for t in found if NEAREST_Z - t.length < t.z < FARTHEST_Z]
        # Houses and trees stand behind the pavements: painted first, they hide nobody.
        return sorted(seen, key=lambda thing: (thing.kind not in _SCENERY, -thing.z))

    def zebras(self, time_s: float) -> list[float]:
        """How far ahead (metres) the zebra crossings lie."""
        first = math.floor(EGO_SPEED * time_s / CELL_LENGTH)
        return [
            mover.thing.z + cell * CELL_LENGTH - EGO_SPEED * time_s
            for cell in range(first - 1, first + CELLS_AHEAD + 1)
            for mover in self._cell(cell)
            if mover.crossing is not None
        ]

    def stains(self, time_s: float) -> list[Stain]:
        """Patches and covers in the carriageway, farthest first."""
        first = math.floor(EGO_SPEED * time_s / CELL_LENGTH)
        found = []
        for cell in range(first + 2, first - 2, -1):
            ahead = cell * CELL_LENGTH - EGO_SPEED * time_s
            found += [
                Stain(s.x, s.z + ahead, s.width, s.length, s.tone) for s in self._stains(cell)
            ]
        return found

    def _make_stains(self, cell: int) -> list[Stain]:
        random = self._random(cell, 8)
        made = []
        for _ in range(int(random.poisson(1.1))):
            x, z = random.uniform(ROAD_LEFT + 0.4, ROAD_RIGHT - 0.4), random.uniform(0, CELL_LENGTH)
            if random.uniform() < 0.4:
                made.append(Stain(x, z, 0.62, 0.62, 0.7))
            else:
                width, length = random.uniform(0.5, 1.6), random.uniform(1, 7)
                made.append(Stain(x, z, width, length, float(random.uniform(0.82, 1.1))))
        return sorted(made, key=lambda stain: -stain.z)

    def _random(self, cell: int, salt: int) -> np.random.Generator:
        return np.random.default_rng((self._seed, cell + _PAST_CELLS, salt))

    @staticmethod
    def _make_lead(random: np.random.Generator) -> Thing:
        style = str(random.choice(list(PROFILES), p=TRAFFIC_SHARES))
        shape = PROFILES[style]
        return Thing(
            Kind.CAR, 1, 0.0, 0, float(random.uniform(9, 26)), shape.width, shape.height,
            shape.length, style, float(random.uniform()),
        )  # fmt: skip

    def _make_cell(self, cell: int) -> list[_Mover]:
        """What belongs to one cell; z counts from the cell's start."""
        identity = _identity(cell)
        return [
            *self._scenery(self._random(cell, 2)),
            *self._oncoming(cell),
            *self._parked(self._random(cell, 4), identity + 2),
            *self._people(self._random(cell, 5), cell, identity + 5),
            *self._signs(self._random(cell, 6), identity + 11),
            *self._lights(self._random(cell, 7), identity + 13),
        ]

    def _scenery(self, random: np.random.Generator) -> list[_Mover]:
        made: list[_Mover] = []
        street = self.street
        houses = {Setting.TOWN: 0.85, Setting.SUBURB: 0.6, Setting.COUNTRY: 0.08}[street.setting]
        trees = {Setting.TOWN: 0.7, Setting.SUBURB: 1.3, Setting.COUNTRY: 2.3}[street.setting]
        for side in (-1, 1):
            edge = (street.right_kerb if side > 0 else ROAD_LEFT) + side * street.pavement
            floors = int(random.integers(3, 6) if street.setting is Setting.TOWN else 2)
            look, offset, share = random.uniform(0, 1, 3)
            if random.uniform() < houses:
                setback = 0.4 + 2.5 * offset if street.setting is Setting.TOWN else 4 + 5 * offset
                made.append(_Mover(Thing(
                    Kind.HOUSE, 0, edge + side * setback, 0, 0, 9.0, 3.1 * floors,
                    CELL_LENGTH * (0.55 + 0.43 * share), "", look,
                )))  # fmt: skip
            for _ in range(int(random.poisson(trees))):
                bush = random.uniform() < 0.35
                height = random.uniform(0.9, 1.8) if bush else random.uniform(5, 10)
                made.append(_Mover(Thing(
                    Kind.TREE, 0, edge + side * (0.5 + random.exponential(2.2)), 0,
                    random.uniform(0, CELL_LENGTH), height * (1.3 if bush else 0.75), height, 0,
                    "bush" if bush else "tree", random.uniform(),
                )))  # fmt: skip
            if random.uniform() < 0.4 and street.pavement:
                made.append(_Mover(Thing(
                    Kind.POLE, 0, edge - side * (street.pavement - 0.4), 0,
                    random.uniform(0, CELL_LENGTH), 0.16, 7.0, 0, "lamp", 0.0, int(side > 0),
                )))  # fmt: skip
        return made

    def _make_oncoming(self, cell: int) -> list[_Mover]:
        random = self._random(cell, 3)
        made = []
        for number, share in enumerate((0.6, 0.35)):
            style = str(random.choice(list(PROFILES), p=TRAFFIC_SHARES))
            look, wanted = random.uniform(0, 1, 2)
            x = -LANE_WIDTH + random.uniform(-0.3, 0.3)
            if wanted < self._busy * share:
                vehicle = _vehicle(style, x, number * CELL_LENGTH / 2, look, facing=1)
                # One speed for all oncoming traffic, so that nobody drives through anybody.
                made.append(_Mover(vehicle.tagged(_identity(cell) + number), 0.0, -ONCOMING_SPEED))
        return made

    def _parked(self, random: np.random.Generator, identity: int) -> list[_Mover]:
        made = []
        for number, start in enumerate((1.0, 1.0 + CELL_LENGTH / 3, 1.0 + CELL_LENGTH * 2 / 3)):
            style = str(random.choice(list(PROFILES), p=TRAFFIC_SHARES))
            look, offset, wanted = random.uniform(0, 1, 3)
            fits = self.street.parking > 0 and style not in {"truck", "bus"}
            if fits and wanted < self._busy * 0.45:
                vehicle = _vehicle(style, ROAD_RIGHT + 1.1, start + offset, look)
                made.append(_Mover(vehicle.tagged(identity + number)))
        return made

    def _people(self, random: np.random.Generator, cell: int, identity: int) -> list[_Mover]:
        made = []
        street = self.street
        shares = (0.8, 0.65, 0.5, 0.4, 0.3) if street.pavement else (0.25, 0.1, 0.0, 0.0, 0.0)
        for number, share in enumerate(shares):
            look, place, across, phase, wanted = random.uniform(0, 1, 5)
            height = random.uniform(1.5, 1.92) if random.uniform() > 0.12 else 1.2
            side = -1 if random.uniform() < 0.5 else 1
            pace = random.uniform(0.8, 1.6) * random.choice([-1, 1])
            stands = random.uniform() < 0.12
            if wanted < self._busy * share:
                edge = street.right_kerb if side > 0 else ROAD_LEFT
                person = Thing(
                    Kind.PEDESTRIAN, identity + number, edge + side * (0.5 + 1.5 * across), 0,
                    CELL_LENGTH * place, 0.5, height, 0, "stands" if stands else "along", look,
                    int(pace < 0), 6.283 * phase,
                )  # fmt: skip
                made.append(_Mover(person, 0.0, 0.0 if stands else pace))
        if random.uniform() < self._busy * 0.35 and street.pavement:
            made.append(self._crosser(random, cell, identity + 5))
        return made

    def _crosser(self, random: np.random.Generator, cell: int, identity: int) -> _Mover:
        """Somebody who crosses from left to right in a gap of the traffic, or waits for one."""
        pace, height, look = random.uniform(1.2, 1.6), random.uniform(1.55, 1.9), random.uniform()
        z = random.uniform(6, CELL_LENGTH - 6)
        start, end = ROAD_LEFT - 0.6, self.street.right_kerb + 0.7
        takes_s = (end - start) / pace
        latest_end_s = 3.6 if self._lead is not None else 1.4
        for begin_s in np.arange(latest_end_s + takes_s, latest_end_s + takes_s + 7, 0.5):
            if self._gap(cell, z, float(begin_s), float(begin_s) - 4.6 / pace):
                walk = (float(begin_s), float(begin_s) - takes_s)
                break
        else:
            walk = (0.0, 0.0)
            end = start  # no gap: waits at the kerb
        person = Thing(
            Kind.PEDESTRIAN, identity, end, 0, z, 0.5, height, 0, "across", look, 1,
        )  # fmt: skip
        return _Mover(person, pace, 0.0, walk)

    def _gap(self, cell: int, z: float, from_s: float, until_s: float) -> bool:
        """No oncoming vehicle passes ``z`` of ``cell`` between those times before our arrival."""
        for other in range(cell - 5, cell + 2):  # those met before us
            lead = (other - cell) * CELL_LENGTH
            for mover in self._oncoming(other):
                # At other's arrival it stands at other's start; when was it at z of this cell?
                gone = lead + mover.thing.z - z
                passes_s = -lead / EGO_SPEED - gone / ONCOMING_SPEED
                ends_s = passes_s - mover.thing.length / ONCOMING_SPEED
                if passes_s > until_s - 0.6 and ends_s < from_s + 0.6:
                    return False
        return True

    def _signs(self, random: np.random.Generator, identity: int) -> list[_Mover]:
        made: list[_Mover] = []
        x, z = self.street.right_kerb + random.uniform(0.4, 0.9), random.uniform(1, CELL_LENGTH - 4)
        size, foot = random.uniform(0.62, 0.95), random.uniform(1.9, 2.4)
        top = foot
        for number in range(int(random.choice([0, 1, 2], p=[0.35, 0.47, 0.18]))):
            style = str(random.choice(list(SIGN_OUTLINES)))
            tall = size * (TRIANGLE_HEIGHT if style in {"danger", "yield"} else 1)
            made.append(_Mover(Thing(
                Kind.SIGN, identity + number, x, top, z, size, tall, 0, style, random.uniform()
            )))  # fmt: skip
            top += tall + 0.04
        if made:
            made.append(_Mover(Thing(Kind.POLE, 0, x, 0, z + 0.04, 0.08, top)))
        if random.uniform() < 0.25:  # a sign for the others: we see its back
            back = Thing(Kind.POLE, 0, ROAD_LEFT - 0.6, 2.0, z, 0.7, 0.7, 0, "back")
            post = Thing(Kind.POLE, 0, ROAD_LEFT - 0.6, 0, z - 0.04, 0.08, 2.7)
            made += [_Mover(back), _Mover(post)]
        return made

    def _lights(self, random: np.random.Generator, identity: int) -> list[_Mover]:
        wanted = {Setting.TOWN: 0.38, Setting.SUBURB: 0.22, Setting.COUNTRY: 0.1}
        # We always arrive at green: nobody learns from us to drive through red.
        phase = random.uniform(0.47, 0.85) - CELL_LENGTH / EGO_SPEED / LIGHT_PERIOD_S
        overhead, look = random.uniform() < 0.5, random.uniform()
        if random.uniform() > wanted[self.street.setting]:
            return []
        z, kerb = CELL_LENGTH - 1.0, self.street.right_kerb + 0.4
        places = [(kerb, 2.3), (0.4, 4.7) if overhead else (ROAD_LEFT - 0.6, 2.3)]
        made = []
        if overhead:
            arm = Thing(Kind.POLE, 0, (0.4 + kerb) / 2, 5.65, z + 0.05, kerb - 0.4, 0.11)
            mast = Thing(Kind.POLE, 0, kerb, 0, z + 0.06, 0.16, 5.8)
            made += [_Mover(arm), _Mover(mast)]
        for number, (x, foot) in enumerate(places):
            head = Thing(
                Kind.LIGHT, identity + number, x, foot, z, 0.36, 1.02, 0, "", look, 0, phase
            )
            post = Thing(Kind.POLE, 0, x, 0, z + 0.05, 0.11, foot)
            made += [_Mover(head)] if foot > 4 else [_Mover(head), _Mover(post)]
        return made


def _identity(cell: int) -> int:
    return (cell + _PAST_CELLS) * _IDENTITIES


def _vehicle(style: str, x: float, z: float, look: float, *, facing: int = 0) -> Thing:
    shape = PROFILES[style]
    scale = 0.95 + 0.1 * ((look * 17.3) % 1.0)
    return Thing(
        Kind.CAR, 0, x, 0, z, shape.width * scale, shape.height * scale, shape.length * scale,
        style, look, facing,
    )  # fmt: skip


def _lead_at(lead: Thing, time_s: float) -> Thing:
    gap = lead.z + 5 * math.sin(0.31 * time_s) + 2 * math.sin(0.83 * time_s)
    brakes = float(math.cos(0.31 * time_s) < -0.35)
    return lead.at(0.15 * math.sin(0.5 * time_s), gap, brakes)


def _moved(mover: _Mover, ahead_s: float, time_s: float) -> Thing:
    """``mover`` ``ahead_s`` before we reach its cell."""
    thing = mover.thing
    start_z = ahead_s * EGO_SPEED
    if mover.crossing is not None:
        begin_s, end_s = mover.crossing
        to_walk = mover.velocity_x * (min(max(ahead_s, end_s), begin_s) - end_s)
        walks = end_s < ahead_s < begin_s
        phase = WALK_RADIANS_A_METRE * to_walk if walks else 0.0
        return thing.at(thing.x - to_walk, thing.z + start_z, phase)
    # At our arrival everybody is at their own place, so nobody wanders off.
    z = thing.z + start_z - mover.velocity_z * ahead_s
    if thing.kind is Kind.PEDESTRIAN:
        return thing.at(thing.x, z, thing.phase + WALK_RADIANS_A_METRE * mover.velocity_z * time_s)
    if thing.kind is Kind.LIGHT:
        return thing.at(thing.x, z, (thing.phase - ahead_s / LIGHT_PERIOD_S) % 1.0)
    return thing.at(thing.x, z, thing.phase)
