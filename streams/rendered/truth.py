"""The truth about a rendered frame: boxes, and how much of each object can be seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oneglance.streams.rendered.camera import Box, Camera
from oneglance.streams.rendered.things import LABELLED, Kind, Thing

SMALLEST_OBJECT_SHARE = 8 / 720
"""Objects lower than this share of the image's height are not there yet."""

_MARGIN = 80  # pixels around the image from where a shadow or a glow may reach into it
_SOLID_SHARE = {Kind.CAR: 1.0, Kind.SIGN: 1.0, Kind.LIGHT: 1.0, Kind.PEDESTRIAN: 0.6}
"""How much of its box's width an object hides; there is air beside a person's legs."""


@dataclass(frozen=True, slots=True)
class RenderedBox:
    """The truth about one object.

    ``name``: its task (pedestrian, car, sign, light). ``xyxy``: pixels, clipped to the image.
    ``visible``: share of the object, 0..1, that is inside the image and not behind a nearer
    object, reckoned from boxes. ``track_id`` stays with the object from frame to frame.
    """

    name: str
    xyxy: tuple[float, float, float, float]
    visible: float
    track_id: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """A thing and the box it is painted in; the box may leave the image."""

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
    hidden = np.zeros((camera.height, camera.width), np.bool_)
    boxes = []
    for sighting in reversed(seen):
        thing, whole = sighting.thing, sighting.box
        if thing.kind not in LABELLED:
            continue
        box = camera.clipped(thing, whole)
        if box is None or box[2] - box[0] < 1 or box[3] - box[1] < 1:
            continue
        x1, y1, x2, y2 = (float(side) for side in box)
        inside = (x2 - x1) * (y2 - y1) / ((whole[2] - whole[0]) * (whole[3] - whole[1]))
        behind = hidden[_pixels(y1, y2), _pixels(x1, x2)]
        free = 1 - np.count_nonzero(behind) / behind.size
        visible = float(min(inside, 1.0) * free)
        truth = RenderedBox(thing.kind.value, (x1, y1, x2, y2), visible, thing.track_id)
        boxes.append(truth)
        thin = (x2 - x1) * (1 - _SOLID_SHARE[thing.kind]) / 2
        hidden[_pixels(y1, y2), _pixels(x1 + thin, x2 - thin)] = True
    return tuple(reversed(boxes))


def _pixels(start: float, end: float) -> slice:
    """The pixels from ``start`` to ``end``, at least one."""
    first = int(start)
    return slice(first, max(first + 1, round(end)))
