"""Where and when a rendered drive takes place: the street's cross-section and the light."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

LANE_WIDTH = 3.5
ROAD_LEFT, ROAD_RIGHT = -1.5 * LANE_WIDTH, 0.5 * LANE_WIDTH
"""The carriageway's edges, metres from the middle of our lane: one lane each way."""


class Setting(StrEnum):
    """What lies along the road."""

    TOWN = "town"
    SUBURB = "suburb"
    COUNTRY = "country"


@dataclass(frozen=True, slots=True)
class Weather:
    """The light of one drive.

    ``ambient`` (blue, green, red; 0..1) multiplies the colour of all that is lit by the sky.
    ``overcast`` 0..1. ``haze_m``: the distance at which air hides two thirds of a colour.
    ``lamps`` says that people have switched their lights on.
    """

    ambient: tuple[float, float, float]
    overcast: float
    haze_m: float
    lamps: bool
    wet: bool


@dataclass(frozen=True, slots=True)
class Street:
    """The cross-section beside the carriageway, in metres; 0 where there is none."""

    setting: Setting
    parking: float
    pavement: float

    @property
    def right_kerb(self) -> float:
        """Where the right pavement begins; the left one begins at ``ROAD_LEFT``."""
        return ROAD_RIGHT + self.parking


def weather(random: np.random.Generator) -> Weather:
    """One of clear, cloudy, dull and dusk, weaker or stronger."""
    kind = str(random.choice(["clear", "cloudy", "dull", "dusk"], p=[0.34, 0.28, 0.2, 0.18]))
    strength = random.uniform(0, 1)
    if kind == "clear":
        return Weather((0.98, 1.0, 1.04), 0.3 * strength, 260, lamps=False, wet=False)
    if kind == "cloudy":
        return Weather((0.94, 0.93, 0.92), 0.5 + 0.3 * strength, 180, lamps=False, wet=False)
    if kind == "dull":
        level = 0.62 + 0.2 * strength
        return Weather((level, level * 0.98, level * 0.96), 1.0, 110, lamps=True, wet=True)
    level = 0.3 + 0.22 * strength
    return Weather((level * 1.15, level, level * 0.96), 0.6, 150, lamps=True, wet=strength < 0.4)
