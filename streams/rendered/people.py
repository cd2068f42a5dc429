"""People: rounded limbs, clothes and hair."""

from __future__ import annotations

import math

from oneglance.streams.rendered.brush import Brush, Colour
from oneglance.streams.rendered.camera import COARSE_PX, Camera
from oneglance.streams.rendered.things import Limb, Thing, figure

COATS: tuple[Colour, ...] = (
    (40, 38, 38), (58, 54, 50), (98, 62, 40), (132, 96, 62), (46, 42, 128), (36, 36, 178),
    (70, 92, 58), (120, 132, 138), (196, 200, 202), (60, 140, 190), (92, 70, 120), (160, 130, 70),
)  # fmt: skip
TROUSERS: tuple[Colour, ...] = (
    (92, 64, 48), (64, 46, 38), (38, 36, 36), (110, 114, 118), (70, 96, 124), (54, 50, 48),
)  # fmt: skip
SKIN: tuple[Colour, ...] = ((168, 194, 232), (140, 172, 216), (104, 138, 186), (64, 88, 126))
HAIR: tuple[Colour, ...] = ((28, 30, 34), (40, 54, 78), (70, 104, 146), (150, 152, 156))


def _cap(steps: int) -> tuple[tuple[float, float], ...]:
    """Half a circle, as (cosine, sine)."""
    return tuple(
        (math.cos(math.pi * n / steps), math.sin(math.pi * n / steps)) for n in range(steps + 1)
    )


_FINE_CAP, _CAP, _BLUNT_CAP = _cap(6), _cap(4), _cap(2)


def paint_person(brush: Brush, person: Thing, camera: Camera) -> None:
    """Draw ``person``; small ones without the light on their limbs."""
    colours = _clothes(person.look)
    scale = camera.figure_px(person)
    foot_x, foot_y = camera.project(person.x, 0, person.z)
    seen = 0
    for limb in figure(person, coarse=scale < COARSE_PX):
        seen += limb.part in {"leg", "sleeve"}
        # The far leg and arm lie in the shade of the body.
        tone = 0.78 if limb.part in {"leg", "sleeve"} and seen % 4 in {1, 2} else 1.0
        _bar(brush, limb, (foot_x, foot_y, scale), _toned(colours[limb.part], tone))
    if scale > 70 and person.look % 0.5 < 0.25:  # a bag or a rucksack over the coat
        bag = Limb("bag", 0.01, 0.73, 0.0, 0.62, 0.05, 0.058)
        _bar(brush, bag, (foot_x, foot_y, scale), _toned(COATS[int(person.look * 97) % 12], 0.8))


def _clothes(look: float) -> dict[str, Colour]:
    coat = COATS[int(look * 0.9999 * len(COATS))]
    skin = SKIN[int(look * 131) % len(SKIN)]
    return {
        "coat": coat,
        "sleeve": _toned(coat, 0.86),
        "leg": TROUSERS[int(look * 53) % len(TROUSERS)],
        "shoe": (34, 34, 38),
        "hand": skin,
        "neck": _toned(skin, 0.82),
        "skin": skin,
        "hair": HAIR[int(look * 71) % len(HAIR)],
    }


def _toned(colour: Colour, tone: float) -> Colour:
    return colour[0] * tone, colour[1] * tone, colour[2] * tone


def _bar(brush: Brush, limb: Limb, place: tuple[float, float, float], colour: Colour) -> None:
    """A rounded bar: the outline around two circles, as one polygon."""
    foot_x, foot_y, scale = place
    x1, y1 = foot_x + limb.x1 * scale, foot_y - limb.y1 * scale
    x2, y2 = foot_x + limb.x2 * scale, foot_y - limb.y2 * scale
    r1, r2 = limb.r1 * scale, limb.r2 * scale
    length = math.hypot(x2 - x1, y2 - y1) or 1.0
    ux, uy = (x2 - x1) / length, (y2 - y1) / length
    caps = _FINE_CAP if scale > 100 else _CAP if scale > 25 else _BLUNT_CAP
    outline = [(x1 + r1 * (c * uy - s * ux), y1 - r1 * (c * ux + s * uy)) for c, s in caps]
    outline += [(x2 - r2 * (c * uy - s * ux), y2 + r2 * (c * ux + s * uy)) for c, s in caps]
    brush.poly(outline, colour)
    if scale > 90 and limb.part in {"coat", "leg", "sleeve"}:
        light = [(x1 - 0.5 * r1, y1), (x1, y1), (x2, y2), (x2 - 0.5 * r2, y2)]
        brush.poly(light, _toned(colour, 1.14))
