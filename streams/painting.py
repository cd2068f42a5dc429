"""How the rendered world looks: one function a kind of thing, OpenCV polygons with sub-pixel
corners, so that motion is smooth."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from oneglance.streams.frame import Image
from oneglance.streams.scene import (
    LANE_WIDTH,
    NEAREST_Z,
    PARKING,
    PAVEMENT,
    ROAD_LEFT,
    ROAD_RIGHT,
    Camera,
    Kind,
    Thing,
)

Colour = tuple[float, float, float]
"""BGR, 0..255."""

Points = Sequence[tuple[float, float]]

_SHIFT = 4  # sub-pixel bits of OpenCV's drawing functions

WHITE: Colour = (235, 235, 235)
BLACK: Colour = (28, 28, 28)
RED: Colour = (40, 32, 190)
GLASS: Colour = (95, 78, 66)


class Brush:
    """Draws shapes given in the units of a box (0..1 across and down) onto a picture."""

    def __init__(self, image: Image, box: tuple[float, float, float, float], haze: float) -> None:
        self._image = image
        self.x, self.y = box[0], box[1]
        self.w, self.h = box[2] - box[0], box[3] - box[1]
        self._haze = haze

    def shade(self, colour: Colour) -> Colour:
        """Far things take on the colour of the air."""
        blue, green, red = colour
        haze = self._haze
        return (
            blue + (205 - blue) * haze,
            green + (200 - green) * haze,
            red + (195 - red) * haze,
        )

    def poly(self, points: Points, colour: Colour) -> None:
        """A filled polygon in box units."""
        self.pixels([(self.x + u * self.w, self.y + v * self.h) for u, v in points], colour)

    def rect(self, u1: float, v1: float, u2: float, v2: float, colour: Colour) -> None:
        """A filled rectangle in box units."""
        self.poly([(u1, v1), (u2, v1), (u2, v2), (u1, v2)], colour)

    def ellipse(self, u: float, v: float, ru: float, rv: float, colour: Colour) -> None:
        """A filled ellipse in box units: centre and radii."""
        scale = 1 << _SHIFT
        centre = (round((self.x + u * self.w) * scale), round((self.y + v * self.h) * scale))
        axes = (max(1, round(ru * self.w * scale)), max(1, round(rv * self.h * scale)))
        cv2.ellipse(
            self._image, centre, axes, 0, 0, 360, self.shade(colour), -1, cv2.LINE_AA, _SHIFT
        )

    def pixels(self, points: Points, colour: Colour) -> None:
        """A filled polygon in pixels."""
        corners = np.array(points, np.float64)
        if corners[:, 0].max() < -64 or corners[:, 0].min() > self._image.shape[1] + 64:
            return
        fixed = np.round(np.clip(corners, -20000, 20000) * (1 << _SHIFT)).astype(np.int32)
        cv2.fillPoly(self._image, [fixed], self.shade(colour), cv2.LINE_AA, _SHIFT)


def paint(image: Image, thing: Thing, camera: Camera) -> None:
    """Draw one thing where ``camera`` sees it."""
    haze = min(0.75, max(0.0, thing.z) / 150)
    brush = Brush(image, camera.box(thing), haze)
    if thing.kind in {Kind.CAR, Kind.HOUSE}:
        _SOLIDS[thing.kind](brush, thing, camera)
    else:
        _FLAT[thing.kind](brush, thing)


def background(camera: Camera, *, daylight: float, overcast: float, seed: int) -> Image:
    """Sky, far hills and bare ground: what does not move."""
    width, height, horizon = camera.width, camera.height, camera.horizon
    top = np.array([225 - 40 * overcast, 185 - 5 * overcast, 140 + 45 * overcast])
    low = np.array([222, 220, 212])
    ramp = np.clip(np.arange(height) / horizon, 0, 1)[:, None]
    sky = top * (1 - ramp) + low * ramp
    image = np.repeat(sky[:, None, :], width, axis=1).astype(np.uint8)
    brush = Brush(image, (0, 0, width, height), 0)
    random = np.random.default_rng((seed & 0xFFFFFFFF, 99))
    for distance, colour in ((0.6, (178, 172, 160)), (0.4, (148, 152, 138))):
        waves = random.uniform(0.5, 3.0, 3), random.uniform(0, 6.28, 3)
        columns = np.linspace(-0.02, 1.02, 60)
        hills = sum(np.sin(columns * f * 6.28 + p) for f, p in zip(*waves, strict=True))
        rows = horizon / height - distance * 0.10 * (0.55 + 0.15 * np.asarray(hills))
        outline = [(float(u), float(v)) for u, v in zip(columns, rows, strict=True)]
        brush.poly([(-0.02, 0.6), *outline, (1.02, 0.6)], colour)
    ground = np.linspace(0, 1, height - int(horizon))[:, None]
    grass = np.array([112.0, 140, 128]) * (1 - ground) + np.array([70.0, 104, 92]) * ground
    image[int(horizon) :] = grass[:, None, :].astype(np.uint8)
    return np.asarray(np.clip(image * (0.35 + 0.65 * daylight), 0, 255), np.uint8)


def road(image: Image, camera: Camera, ego_z: float) -> None:
    """The carriageway with its markings, as they lie when the camera is at ``ego_z``."""
    brush = Brush(image, (0, 0, 1, 1), 0)

    def strip(left: float, right: float, near: float, far: float, colour: Colour) -> None:
        near = max(near, 0.9)
        if far > near:
            corners = [(left, near), (left, far), (right, far), (right, near)]
            brush.pixels([camera.project(x, 0, z) for x, z in corners], colour)

    strip(ROAD_LEFT - PAVEMENT, ROAD_RIGHT + PARKING + PAVEMENT, 0.9, 400, (150, 152, 152))
    strip(ROAD_LEFT, ROAD_RIGHT + PARKING, 0.9, 400, (104, 103, 101))
    strip(ROAD_LEFT, ROAD_RIGHT, 0.9, 400, (96, 95, 93))
    for edge in (ROAD_LEFT + 0.12, ROAD_RIGHT - 0.12):
        strip(edge - 0.07, edge + 0.07, 0.9, 200, (205, 208, 206))
    period, dash = 9.0, 4.0
    middle = -0.5 * LANE_WIDTH
    start = -(ego_z % period)
    for number in range(10):
        near = start + number * period
        strip(middle - 0.07, middle + 0.07, near, near + dash, (215, 217, 215))


def _body_colour(look: float) -> Colour:
    if look < 0.5:  # most cars are white, grey or black
        grey = 40 + 380 * look
        return (grey, grey * 0.99, grey * 0.97)
    red, green, blue = colorsys.hsv_to_rgb((look * 7.3) % 1.0, 0.75, 0.68)
    return (255 * blue, 255 * green, 255 * red)


def _scaled(colour: Colour, factor: float) -> Colour:
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)


def _car(brush: Brush, car: Thing, camera: Camera) -> None:
    colour = _body_colour(car.look)
    near_z, far_z = max(car.z, NEAREST_Z), max(car.z + car.length, NEAREST_Z)
    tall = car.style != "car"
    half = car.width / 2
    _shadow(brush, car, camera)
    side = half if car.x < 0 else -half  # the flank we see is the one towards us
    if abs(car.x) > half * 0.6:
        _flank(brush, car, camera, side, colour)
    box = (
        *camera.project(car.x - half, car.height, near_z),
        *camera.project(car.x + half, 0, near_z),
    )
    face = Brush(brush._image, box, brush._haze)
    if tall and far_z > near_z:  # the roof line of tall vehicles hides what is behind
        face.rect(0, 0, 1, 0.93, colour)
    (_front if car.facing else _rear)(face, car, colour)


def _shadow(brush: Brush, car: Thing, camera: Camera) -> None:
    half = car.width * 0.5
    near, far = max(car.z, NEAREST_Z), max(car.z + car.length, NEAREST_Z)
    corners = [(-half, near), (-half, far), (half, far), (half, near)]
    brush.pixels([camera.project(car.x + x, 0, z) for x, z in corners], (52, 51, 50))


def _flank(brush: Brush, car: Thing, camera: Camera, side: float, colour: Colour) -> None:
    x, top, length = car.x + side, car.height, car.length

    def quad(a1: float, a2: float, b1: float, b2: float, fill: Colour) -> None:
        """From ``a1`` to ``a2`` of the length and ``b1`` to ``b2`` of the height."""
        corners = [(a1, b1), (a1, b2), (a2, b2), (a2, b1)]
        pixels = [
            camera.project(x, v * top, max(car.z + u * length, NEAREST_Z)) for u, v in corners
        ]
        brush.pixels(pixels, fill)

    dark = _scaled(colour, 0.8)
    if car.style == "car":
        quad(0.0, 1.0, 0.14, 0.62, dark)
        shape = [(0.04, 0.62), (0.14, 1.0), (0.66, 1.0), (0.8, 0.62)]
        points = [camera.project(x, v * top, max(car.z + u * length, NEAREST_Z)) for u, v in shape]
        brush.pixels(points, _scaled(dark, 0.9))
        quad(0.14, 0.4, 0.66, 0.93, GLASS)
        quad(0.43, 0.68, 0.66, 0.93, GLASS)
    else:
        quad(0.0, 1.0, 0.1, 1.0, dark)
        for window in range(4 if car.style == "bus" else 1):
            start = 0.08 + 0.22 * window if car.style == "bus" else 0.72
            quad(start, start + 0.17, 0.5, 0.82, GLASS)
    for wheel in (0.18, 0.8):
        z = max(car.z + wheel * length, NEAREST_Z)
        u, v = camera.project(x, 0.31, z)
        radius_v = 0.31 * camera.focal / z
        radius_u = max(1.0, radius_v * min(1.0, abs(x) / z * 1.4 + 0.12))
        if car.z + wheel * length > NEAREST_Z:
            Brush(brush._image, (u, v, u + 1, v + 1), brush._haze).ellipse(
                0, 0, radius_u, radius_v, (34, 33, 33)
            )


def _rear(face: Brush, car: Thing, colour: Colour) -> None:
    _shell(face, car, colour)
    lit = (60, 60, 245) if car.phase else (44, 40, 165)
    for left in (0.03, 0.82):
        face.rect(left, 0.5, left + 0.15, 0.62, lit)
    face.rect(0.36, 0.64, 0.64, 0.72, (225, 230, 230))
    face.rect(0.0, 0.78, 1.0, 0.86, _scaled(colour, 0.6))


def _front(face: Brush, car: Thing, colour: Colour) -> None:
    _shell(face, car, colour)
    for left in (0.04, 0.78):
        face.rect(left, 0.54, left + 0.18, 0.64, (240, 242, 238))
    face.rect(0.28, 0.57, 0.72, 0.68, (42, 41, 40))
    face.rect(0.37, 0.74, 0.63, 0.81, (225, 230, 230))


def _shell(face: Brush, car: Thing, colour: Colour) -> None:
    tyres = (32, 31, 31)
    face.rect(0.03, 0.8, 0.2, 1.0, tyres)
    face.rect(0.8, 0.8, 0.97, 1.0, tyres)
    if car.style == "car":
        face.poly([(0.14, 0.0), (0.86, 0.0), (0.98, 0.44), (0.02, 0.44)], _scaled(colour, 0.86))
        face.poly([(0.19, 0.06), (0.81, 0.06), (0.9, 0.4), (0.1, 0.4)], GLASS)
        face.rect(0.0, 0.42, 1.0, 0.86, colour)
        face.rect(0.0, 0.42, 1.0, 0.47, _scaled(colour, 1.12))
    else:
        face.rect(0.0, 0.0, 1.0, 0.9, colour)
        glass_bottom = 0.42 if car.facing or car.style == "bus" else 0.3
        if car.style != "truck" or car.facing:
            face.rect(0.08, 0.1, 0.92, glass_bottom, GLASS)
        else:
            face.rect(0.49, 0.03, 0.51, 0.86, _scaled(colour, 0.7))


def _pedestrian(brush: Brush, person: Thing) -> None:
    look = person.look
    skin = _scaled((150, 178, 214), 0.5 + 0.5 * ((look * 5.1) % 1.0))
    coat = _body_colour((look * 3.7) % 1.0)
    trousers = _scaled((96, 70, 56), 0.5 + ((look * 11.3) % 1.0))
    swing = 0.17 * math.sin(person.phase)
    shoes: Colour = (36, 34, 38)
    for side, sign in ((-1, 1.0), (1, -1.0)):
        hip, foot = 0.5 + 0.07 * side, 0.5 + 0.08 * side + swing * sign
        brush.poly(
            [(hip - 0.12, 0.52), (hip + 0.12, 0.52), (foot + 0.09, 0.97), (foot - 0.09, 0.97)],
            _scaled(trousers, 1.0 if side < 0 else 0.85),
        )
        brush.ellipse(foot, 0.975, 0.13, 0.025, shoes)
    for side, lift in ((-1, 0.05 * swing), (1, -0.05 * swing)):
        shoulder, hand, low = 0.5 + 0.26 * side, 0.5 + 0.42 * side, 0.5 + lift
        brush.poly(
            [(shoulder - 0.08, 0.2), (shoulder + 0.08, 0.2), (hand + 0.08, low), (hand - 0.08, low)],
            _scaled(coat, 0.82),
        )
        brush.ellipse(hand, low + 0.02, 0.08, 0.022, skin)
    brush.poly(
        [(0.24, 0.2), (0.36, 0.155), (0.64, 0.155), (0.76, 0.2), (0.7, 0.56), (0.3, 0.56)], coat
    )
    brush.rect(0.43, 0.12, 0.57, 0.17, _scaled(skin, 0.9))
    brush.ellipse(0.5, 0.075, 0.17, 0.075, skin)
    hair = _scaled((52, 60, 78), 0.4 + look)
    brush.ellipse(0.5, 0.05, 0.175, 0.05, hair)
    if person.facing:  # walks towards us: a face below the hair
        brush.ellipse(0.5, 0.09, 0.14, 0.05, skin)


def _sign(brush: Brush, sign: Thing) -> None:
    style, grow = sign.style, 0.5
    if style in {"limit", "no_passing"}:
        brush.ellipse(0.5, 0.5, grow, grow, RED)
        brush.ellipse(0.5, 0.5, 0.38, 0.38, WHITE)
        if style == "limit":
            _digits(brush, "35"[int(sign.look * 2)] if sign.look < 0.99 else "7")
        else:
            brush.rect(0.24, 0.44, 0.47, 0.6, BLACK)
            brush.rect(0.53, 0.44, 0.76, 0.6, RED)
    elif style == "danger":
        brush.poly([(0.5, 0.0), (1.0, 1.0), (0.0, 1.0)], RED)
        brush.poly([(0.5, 0.26), (0.8, 0.88), (0.2, 0.88)], WHITE)
        brush.rect(0.46, 0.48, 0.54, 0.72, BLACK)
        brush.rect(0.46, 0.76, 0.54, 0.83, BLACK)
    elif style == "yield":
        brush.poly([(0.0, 0.0), (1.0, 0.0), (0.5, 1.0)], RED)
        brush.poly([(0.2, 0.12), (0.8, 0.12), (0.5, 0.74)], WHITE)
    elif style == "mandatory":
        brush.ellipse(0.5, 0.5, grow, grow, (170, 92, 28))
        brush.poly([(0.5, 0.16), (0.74, 0.46), (0.26, 0.46)], WHITE)
        brush.rect(0.43, 0.44, 0.57, 0.82, WHITE)
    elif style == "priority":
        brush.poly([(0.5, 0.0), (1.0, 0.5), (0.5, 1.0), (0.0, 0.5)], WHITE)
        brush.poly([(0.5, 0.14), (0.86, 0.5), (0.5, 0.86), (0.14, 0.5)], (40, 190, 235))
    elif style == "no_entry":
        brush.ellipse(0.5, 0.5, grow, grow, RED)
        brush.rect(0.18, 0.4, 0.82, 0.6, WHITE)
    else:
        corner = 0.293  # a regular octagon in its box
        octagon = [
            (corner, 0), (1 - corner, 0), (1, corner), (1, 1 - corner),
            (1 - corner, 1), (corner, 1), (0, 1 - corner), (0, corner),
        ]  # fmt: skip
        brush.poly(octagon, RED)
        for column in (0.16, 0.35, 0.54, 0.73):
            brush.rect(column, 0.38, column + 0.11, 0.62, WHITE)


_SEGMENTS = {  # the strokes of 0, 3, 5 and 7 on a field of 1×1: left, top, right, bottom
    "0": [(0, 0, 0.25, 1), (0.75, 0, 1, 1), (0, 0, 1, 0.16), (0, 0.84, 1, 1)],
    "3": [(0.75, 0, 1, 1), (0, 0, 1, 0.16), (0.2, 0.42, 1, 0.58), (0, 0.84, 1, 1)],
    "5": [(0, 0, 1, 0.16), (0, 0, 0.25, 0.55), (0, 0.42, 1, 0.58), (0.75, 0.45, 1, 1), (0, 0.84, 1, 1)],
    "7": [(0, 0, 1, 0.16), (0.7, 0, 1, 1)],
}  # fmt: skip


def _digits(brush: Brush, tens: str) -> None:
    for digit, left in ((tens, 0.25), ("0", 0.53)):
        for u1, v1, u2, v2 in _SEGMENTS[digit]:
            brush.rect(left + 0.22 * u1, 0.31 + 0.38 * v1, left + 0.22 * u2, 0.31 + 0.38 * v2, BLACK)


def _light(brush: Brush, light: Thing) -> None:
    brush.rect(0.0, 0.0, 1.0, 1.0, (38, 40, 38))
    state = 0 if light.phase < 0.45 else 2 if light.phase < 0.9 else 1
    colours = ((60, 50, 255), (50, 200, 255), (120, 235, 60))
    for lamp, colour in enumerate(colours):
        v = 0.18 + 0.32 * lamp
        if lamp == state:
            brush.ellipse(0.5, v, 0.4, 0.15, _scaled(colour, 0.75))
            brush.ellipse(0.5, v, 0.3, 0.11, colour)
        else:
            brush.ellipse(0.5, v, 0.36, 0.13, _scaled(colour, 0.22))


def _house(brush: Brush, house: Thing, camera: Camera) -> None:
    wall = _scaled((168, 186, 202), 0.62 + 0.4 * ((house.look * 7.7) % 1.0))
    if house.look > 0.6:
        wall = (wall[0] * 0.8, wall[1] * 0.86, wall[2])
    x = house.x
    near, far = max(house.z, 1.0), max(house.z + house.length, 1.0)
    if far <= 1.0:
        return
    outer = x + (house.width if x > 0 else -house.width)

    def quad(x1: float, z1: float, x2: float, z2: float, low: float, high: float, c: Colour) -> None:
        brush.pixels(
            [
                camera.project(x1, low, z1), camera.project(x1, high, z1),
                camera.project(x2, high, z2), camera.project(x2, low, z2),
            ],
            c,
        )  # fmt: skip

    if house.z >= 1.0:
        quad(x, near, outer, near, 0, house.height, _scaled(wall, 0.78))
    quad(x, near, x, far, 0, house.height, wall)
    pane: Colour = (112, 100, 92)
    for floor in range(int(house.height // 3)):
        for number in range(4):
            z1 = house.z + house.length * (0.08 + 0.24 * number)
            z2 = z1 + house.length * 0.12
            if z1 > 1.0:
                quad(x, z1, x, z2, 3 * floor + 1.0, 3 * floor + 2.4, pane)


def _tree(brush: Brush, tree: Thing) -> None:
    brush.rect(0.44, 0.5, 0.56, 1.0, (54, 66, 82))
    leaf = _scaled((58, 118, 84), 0.7 + 0.5 * tree.look)
    for u, v, r, tone in ((0.5, 0.3, 0.42, 0.8), (0.32, 0.4, 0.3, 0.9), (0.66, 0.36, 0.3, 1.05), (0.5, 0.2, 0.28, 1.15)):
        brush.ellipse(u, v, r, r * 0.72, _scaled(leaf, tone))


def _pole(brush: Brush, pole: Thing) -> None:
    del pole
    brush.rect(0, 0, 1, 1, (140, 142, 140))


_SOLIDS: dict[Kind, Callable[[Brush, Thing, Camera], None]] = {Kind.CAR: _car, Kind.HOUSE: _house}
_FLAT: dict[Kind, Callable[[Brush, Thing], None]] = {
    Kind.PEDESTRIAN: _pedestrian,
    Kind.SIGN: _sign,
    Kind.LIGHT: _light,
    Kind.TREE: _tree,
    Kind.POLE: _pole,
}
