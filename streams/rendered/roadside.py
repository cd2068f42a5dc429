"""Signs, lights, poles, houses and trees, and what is painted or mended on the road."""

from __future__ import annotations

from oneglance.streams.rendered.backdrop import ASPHALT, MARKING
from oneglance.streams.rendered.brush import Brush, Colour, Sprite
from oneglance.streams.rendered.camera import NEAREST_Z, ROOF_HEIGHT, Box, Camera
from oneglance.streams.rendered.setting import LANE_WIDTH, ROAD_LEFT, Street
from oneglance.streams.rendered.things import Kind, Thing
from oneglance.streams.rendered.world import Stain

LIMITS = ("30", "50", "50", "30", "60", "70", "80", "100", "120")
LAMPS: tuple[Colour, ...] = ((58, 52, 255), (48, 196, 255), (140, 240, 70))
ROOFS: tuple[Colour, ...] = ((62, 70, 126), (66, 64, 66), (56, 60, 96), (88, 88, 88))
FLAT_PX = 7
"""Walls narrower than this many pixels are drawn without windows."""
DASH_PERIOD, DASH_LENGTH = 9.0, 4.0


def sign_name(sign: Thing) -> str:
    """Which of the sprites ``sign`` is."""
    if sign.style == "limit":
        return f"limit{LIMITS[int(sign.look * 0.999 * len(LIMITS))]}"
    if sign.style == "danger":
        return "danger1" if sign.look < 0.5 else "danger2"
    return sign.style


def paint_shadow(brush: Brush, thing: Thing, camera: Camera) -> None:
    """The dark ground below a vehicle or a person; no part of its box."""
    if thing.kind is Kind.PEDESTRIAN:
        scale = camera.figure_px(thing)
        x, y = camera.project(thing.x, 0, thing.z)
        brush.ellipse((x, y - 0.004 * scale), (0.13 * scale, 0.018 * scale), (70, 70, 70))
        return
    near, far = thing.z + 0.03 * thing.length, thing.z + thing.length
    for grown, colour in ((0.55, (74, 73, 72)), (0.48, (44, 43, 43))):
        left, right = thing.x - grown * thing.width, thing.x + grown * thing.width
        corners = [(left, near), (left, far), (right, far), (right, near)]
        brush.poly([camera.project(x, 0, z) for x, z in corners], colour)


def paint_light(brush: Brush, light: Thing, box: Box, *, lamps: bool) -> None:
    """A housing with three lamps, one of them lit by the phase of its cycle."""
    x1, y1, x2, y2 = box
    wide, tall = x2 - x1, y2 - y1
    housing = (30, 32, 30) if light.look < 0.8 else (40, 58, 44)
    brush.rect((x1, y1, x2, y2), housing)
    brush.rect((x1, y1, x1 + 0.14 * wide, y2), (58, 60, 58))
    state = 0 if light.phase < 0.45 else 2 if light.phase < 0.9 else 1
    for lamp, colour in enumerate(LAMPS):
        at = (x1 + 0.5 * wide, y1 + (0.19 + 0.31 * lamp) * tall)
        if lamp != state:
            brush.ellipse(at, (0.33 * wide, 0.118 * tall), (26, 27, 26))
            dim = (colour[0] * 0.17, colour[1] * 0.17, colour[2] * 0.17)
            brush.ellipse((at[0], at[1] + 0.012 * tall), (0.28 * wide, 0.098 * tall), dim)
            continue
        brush.ellipse(at, (0.36 * wide, 0.127 * tall), colour, lit=True)
        heart = (min(255.0, colour[0] + 80), min(255.0, colour[1] + 60), min(255.0, colour[2] + 60))
        brush.ellipse(at, (0.2 * wide, 0.07 * tall), heart, lit=True)
        halo = (colour[0] * 0.3, colour[1] * 0.3, colour[2] * 0.3)
        brush.glow(at, (1.6 if lamps else 0.8) * wide, halo)
    for lamp in range(3 if tall > 30 else 0):  # visors
        y = y1 + (0.19 + 0.31 * lamp - 0.135) * tall
        brush.rect((x1 + 0.14 * wide, y, x2 - 0.14 * wide, y + 0.04 * tall), (20, 21, 20))


def paint_pole(brush: Brush, pole: Thing, camera: Camera, *, lamps: bool) -> None:
    """A grey post or arm, lighter on one side; lamp posts carry an arm and a lamp."""
    x1, y1, x2, y2 = camera.box(pole)
    brush.rect((x1, y1, x2, y2), (128, 130, 129))
    if x2 - x1 > 2:
        brush.rect((x1, y1, x1 + 0.4 * (x2 - x1), y2), (158, 160, 159))
    if pole.style == "lamp":
        way = -1 if pole.facing else 1
        metre = camera.focal / pole.z
        end = x1 + way * 1.3 * metre
        brush.poly([(x1, y1), (x2, y1), (end, y1 - 0.3 * metre), (end, y1 - 0.4 * metre)],
                   (120, 122, 121))  # fmt: skip
        at = (end + way * 0.25 * metre, y1 - 0.33 * metre)
        colour = (170, 226, 244) if lamps else (190, 192, 190)
        brush.ellipse(at, (0.34 * metre, 0.09 * metre), colour, lit=lamps)


def gable_end(house: Thing, nearer: Thing | None, camera: Camera) -> float:
    """How far out (x) the end of ``house`` shows beside the ``nearer`` house on its side."""
    away = 1 if house.x > 0 else -1
    outer = house.x + away * house.width
    if nearer is None or nearer.z + nearer.length <= NEAREST_Z:
        return outer
    farther = house.z / (nearer.z + nearer.length)
    overlooks = (house.height - camera.above_road) > (nearer.height - camera.above_road) * farther
    if overlooks or _is_low(house):
        return outer
    return away * max(away * house.x, min(away * outer, away * nearer.x * farther))


def _is_low(house: Thing) -> bool:
    """Low houses have pitched roofs, tall ones flat roofs."""
    return house.height < 7


def paint_house(
    brush: Brush, house: Thing, camera: Camera, *, walls: tuple[Sprite, Sprite], outer: float
) -> None:
    """The front along the road, the gable towards us as far as ``outer`` (x), and the roof.

    ``walls``: the textures of front and gable.
    """
    x, top = house.x, house.height
    near, far = max(house.z, NEAREST_Z), house.z + house.length
    if far <= near:
        return
    away, at = (1 if x > 0 else -1), camera.project
    ridge, rise = x + away * house.width / 2, top + ROOF_HEIGHT
    if _is_low(house):
        eaves = x - away * 0.4
        roof = [
            at(eaves, top, near),
            at(eaves, top, far),
            at(ridge, rise, far),
            at(ridge, rise, near),
        ]
        brush.poly(roof, ROOFS[int(house.look * 41) % len(ROOFS)])
    face = [at(x, top, near), at(outer, top, near), at(outer, 0, near), at(x, 0, near)]
    if house.z >= NEAREST_Z and abs(face[1][0] - face[0][0]) > 0.5:
        gable = list(face)
        if _is_low(house):
            gable.insert(1, at(ridge, rise, near))
        brush.poly(gable, (112, 122, 130))
        if abs(face[1][0] - face[0][0]) > FLAT_PX:
            brush.quad(walls[1], face, (0.0, abs(outer - x) / house.width * 3 / 7))
    corners = [at(x, top, near), at(x, top, far), at(x, 0, far), at(x, 0, near)]
    brush.poly(corners, (130, 140, 148))  # its smooth edge shows where the texture's is cut
    first = (near - house.z) / house.length
    if abs(corners[1][0] - corners[0][0]) > FLAT_PX:
        brush.quad(walls[0], corners, (first, 1.0))


def paint_road(
    brush: Brush, camera: Camera, street: Street, travelled: tuple[float, list[Stain], list[float]]
) -> None:
    """What lies on the road: patches, the dashed line and zebra crossings.

    ``travelled``: the metres driven, the patches, and how far ahead the zebras lie.
    """
    driven, stains, zebras = travelled

    def strip(sides: tuple[float, float], ends: tuple[float, float], colour: Colour) -> None:
        near, far = max(ends[0], NEAREST_Z * 0.999), ends[1]
        if far > near:
            left, right = sides
            corners = [(left, near), (left, far), (right, far), (right, near)]
            brush.poly([camera.project(x, 0, z) for x, z in corners], colour)

    for stain in stains:
        colour = (ASPHALT[0] * stain.tone, ASPHALT[1] * stain.tone, ASPHALT[2] * stain.tone)
        x, half = stain.x, stain.width / 2
        if stain.width != stain.length:
            strip((x - half, x + half), (stain.z, stain.z + stain.length), colour)
        elif stain.z > NEAREST_Z:
            at = camera.project(x, 0, stain.z)
            metre = camera.focal / stain.z
            radii = (half * metre, half * metre * camera.above_road / stain.z)
            brush.ellipse(at, radii, colour)
    middle, start = -0.5 * LANE_WIDTH, -(driven % DASH_PERIOD)
    for number in range(12):
        near = start + number * DASH_PERIOD
        strip((middle - 0.07, middle + 0.07), (near, near + DASH_LENGTH), MARKING)
    for z in zebras:
        left = ROAD_LEFT + 0.3
        while -1.5 < z < 80 and left + 0.5 < street.right_kerb:
            strip((left, left + 0.5), (z - 1.5, z + 1.5), MARKING)
            left += 1.0
