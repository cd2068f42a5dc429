"""The truth about a rendered frame: boxes, and how much of each object can be seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from oneglance.streams.scene_camera import Box, Camera
from oneglance.streams.scene_things import LABELLED, Kind, Thing

SMALLEST_OBJECT_SHARE = 8 / 720
"""Objects lower than this share of the picture's height are not there yet."""

_MARGIN = 80  # pixels around the picture from where a shadow or a glow may reach into it
_SOLID_SHARE = {Kind.CAR: 1.0, Kind.SIGN: 1.0, Kind.LIGHT: 1.0, Kind.PEDESTRIAN: 0.6}
"""How much of its box's width an object hides; there is air beside a person's legs."""


@dataclass(frozen=True, slots=True)
class RenderedBox:
    """The truth about one object.

    ``name``: its task (pedestrian, car, sign, light). ``xyxy``: pixels, clipped to the picture.
    ``visible``: share of the object, 0..1, that is inside the picture and not behind a nearer
    object, reckoned from boxes. ``track_id`` stays with the object from frame to frame.
    """

    name: str
    xyxy: tuple[float, float, float, float]
    visible: float
    track_id: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """A thing and the box it is painted in; the box may leave the picture."""

    thing: Thing
    box: Box


def sightings(things: list[Thing], camera: Camera) -> list[Sighting]:
    """Those of ``things`` that ``camera`` shows, in the same order.

    Labelled objects that are too small are not there yet: neither drawn nor in the truth.
    """
    smallest = SMALLEST_OBJECT_SHARE * camera.height
    found = []
    for thing in things:
        box = camera.box(thing)
        beside = box[2] < -_MARGIN or box[0] > camera.width + _MARGIN or box[3] < -_MARGIN
        if beside or (thing.kind in LABELLED and box[3] - box[1] < smallest):
            continue
        found.append(Sighting(thing, box))
    return found


def boxes_of(seen: list[Sighting], camera: Camera) -> tuple[RenderedBox, ...]:
    """The labelled of ``seen``, given and returned farthest first."""
    nearer: list[Box] = []
    boxes = []
    for sighting in reversed(seen):
        thing, whole = sighting.thing, sighting.box
        if thing.kind not in LABELLED:
            continue
        x1, y1 = max(whole[0], 0.0), max(whole[1], 0.0)
        x2, y2 = min(whole[2], float(camera.width)), min(whole[3], float(camera.height))
        if x2 - x1 < 1 or y2 - y1 < 1:
            continue
        inside = (x1, y1, x2, y2)
        visible = _visible_share(whole, inside, nearer)
        boxes.append(RenderedBox(thing.kind.value, inside, visible, thing.track_id))
        thin = (x2 - x1) * (1 - _SOLID_SHARE[thing.kind]) / 2
        nearer.append((x1 + thin, y1, x2 - thin, y2))
    return tuple(reversed(boxes))


def _visible_share(whole: Box, inside: Box, nearer: list[Box], *, grid: int = 16) -> float:
    """The share of ``whole`` that lies ``inside`` and behind none of ``nearer``, on a grid."""
    rivals = [b for b in nearer if b[0] < inside[2] and b[2] > inside[0]]
    if not rivals and whole == inside:
        return 1.0
    centres = (np.arange(grid) + 0.5) / grid
    columns: npt.NDArray[np.float64] = whole[0] + centres * (whole[2] - whole[0])
    rows: npt.NDArray[np.float64] = whole[1] + centres * (whole[3] - whole[1])

    def within(box: Box) -> npt.NDArray[np.bool_]:
        across = (columns >= box[0]) & (columns <= box[2])
        down = (rows >= box[1]) & (rows <= box[3])
        return down[:, None] & across[None, :]

    seen = within(inside)
    for box in rivals:
        seen &= ~within(box)
    return float(seen.mean())
