"""Textures made once: walls with windows, trees, traffic signs. Everything from seeds."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from oneglance.streams.frame import Image
from oneglance.streams.rendered.brush import Colour, Sprite
from oneglance.streams.rendered.things import SIGN_OUTLINES

PIXELS_A_METRE = 22
BAY_METRES = 3.0

WALLS: tuple[Colour, ...] = (
    (176, 196, 210), (196, 206, 212), (150, 178, 196), (96, 118, 172), (74, 92, 142),
    (188, 188, 186), (148, 152, 156), (160, 200, 214),
)  # fmt: skip
SHOPS: tuple[Colour, ...] = (
    (60, 60, 60),
    (46, 40, 140),
    (120, 74, 30),
    (50, 96, 40),
    (30, 140, 200),
)
LEAVES: dict[str, tuple[Colour, ...]] = {
    "summer": ((46, 96, 62), (54, 112, 84), (40, 82, 58), (62, 120, 100)),
    "autumn": ((40, 120, 168), (44, 92, 150), (58, 126, 140), (52, 90, 96)),
    "winter": ((70, 80, 88), (62, 72, 82), (80, 88, 92), (50, 84, 62)),
}


def mottle(
    random: np.random.Generator, size: tuple[int, int], grain: float
) -> npt.NDArray[np.float32]:
    """Cloudy noise of (rows, columns) about 0 with a deviation of about 1; ``grain`` in pixels."""
    rows, columns = size
    total = np.zeros(size, np.float32)
    for octave in range(4):
        step = max(1.0, grain / 2**octave)
        few = random.normal(0, 1, (max(2, round(rows / step)), max(2, round(columns / step))))
        layer = cv2.resize(few.astype(np.float32), (columns, rows), interpolation=cv2.INTER_CUBIC)
        total += np.asarray(layer, np.float32) * 0.55**octave
    return total


def tinted(texture: npt.NDArray[np.floating], ambient: Colour) -> Image:
    """``texture`` in that light, as an image."""
    return np.asarray(np.clip(texture * np.array(ambient), 0, 255), np.uint8)


def wall(random: np.random.Generator, floors: int, *, ambient: Colour, lamps: bool) -> Sprite:
    """A front of seven bays with ``floors`` floors; the lowest may be shops."""
    storey, bay = round(3.1 * PIXELS_A_METRE), round(BAY_METRES * PIXELS_A_METRE)
    rows, columns = storey * floors, bay * 7
    base = np.array(WALLS[int(random.integers(len(WALLS)))]) * random.uniform(0.75, 1.05)
    stone = base + mottle(random, (rows, columns), 60)[:, :, None] * 4
    if random.uniform() < 0.35:  # brick courses
        stone[::4] *= 0.9
        stone[:, ::9] *= 0.95
    stone *= np.linspace(1.05, 0.9, rows)[:, None, None]
    lit_windows = np.zeros((rows, columns), np.uint8)
    frame = base * (1.15 if random.uniform() < 0.7 else 0.6)
    wide, tall = random.uniform(0.36, 0.6), random.uniform(0.5, 0.66)
    shops = floors > 2 and random.uniform() < 0.7
    for floor in range(floors):
        ground = floor == floors - 1
        for number in range(7):
            x, y = number * bay, floor * storey
            if ground and shops:
                box = (x + 4, y + 18, x + bay - 4, y + storey - 6)
            else:
                x1, y1 = x + bay * (1 - wide) / 2, y + storey * 0.2
                box = (int(x1), int(y1), int(x1 + bay * wide), int(y1 + storey * tall))
                if ground and number % 4 == 1:  # a door
                    box = (box[0], box[1], box[2], y + storey)
            _window(stone, lit_windows, box, frame=frame, random=random)
        if floor:
            stone[floor * storey - 2 : floor * storey + 2] *= 0.84
    if shops:
        top = rows - storey
        for number in range(0, 7, 2):
            band = np.array(SHOPS[int(random.integers(len(SHOPS)))])
            stone[top + 3 : top + 16, number * bay : (number + 2) * bay - 6] = band
    image = tinted(stone, ambient)
    if lamps:
        image[lit_windows > 0] = (130, 205, 240)
    return Sprite.of(np.asarray(cv2.GaussianBlur(image, (3, 3), 0), np.uint8))


def _window(
    stone: npt.NDArray[np.floating],
    lit: npt.NDArray[np.uint8],
    box: tuple[int, int, int, int],
    *,
    frame: npt.NDArray[np.floating],
    random: np.random.Generator,
) -> None:
    x1, y1, x2, y2 = box
    stone[y1 - 2 : y2 + 2, x1 - 2 : x2 + 2] = frame
    glass = np.linspace(1.25, 0.7, y2 - y1)[:, None, None] * np.array((96, 84, 74))
    stone[y1:y2, x1:x2] = glass * random.uniform(0.6, 1.3)
    if random.uniform() < 0.45:  # a curtain
        stone[y1 : y1 + (y2 - y1) * 2 // 3, x1 : x1 + (x2 - x1) // 3] = (176, 180, 180)
    middle = (x1 + x2) // 2
    stone[y1:y2, middle - 1 : middle + 1] = frame
    if random.uniform() < 0.3:
        lit[y1:y2, x1:x2] = 1


def tree(random: np.random.Generator, season: str, *, ambient: Colour, bush: bool) -> Sprite:
    """A tree with trunk and boughs, or a bush: leaves in clumps, light from above."""
    rows, columns = (128, 166) if bush else (320, 240)
    texture = np.zeros((rows, columns, 3), np.uint8)
    cover = np.zeros((rows, columns), np.uint8)
    bark = (50, 58, 68)
    lobes = [(0.5, 0.55, 0.4, 0.42)] if bush else [(0.5, 0.36, 0.34, 0.3)]
    low, high = (0.3, 0.7) if bush else (0.16, 0.54)
    middles = random.uniform((0.24, low), (0.76, high), (6, 2))
    lobes += np.hstack([middles, random.uniform((0.16, 0.12), (0.24, 0.2), (6, 2))]).tolist()
    if not bush:
        trunk = np.array([[112, 319], [117, 150], [123, 150], [128, 319]], np.int32)
        for target in (texture, cover):
            cv2.fillPoly(target, [trunk], bark if target is texture else (255,), cv2.LINE_AA)
        for u, v, _, _ in lobes:
            end = (int(u * columns), int(v * rows))
            for target in (texture, cover):
                cv2.line(target, (120, 210), end, bark if target is texture else (255,), 3)
    colours = LEAVES[season]
    leaf = np.array(colours[int(random.integers(len(colours)))])
    count = (1300 if bush else 4200) // (4 if season == "winter" and not bush else 1)
    _leaves((texture, cover), np.array(lobes), leaf, count=count, random=random)
    # Beyond the leaves the colour goes on, so that no dark rim shows at the edge.
    fill = np.array(leaf * 0.7, np.uint8)
    texture[cover == 0] = fill
    return Sprite.of(tinted(texture.astype(np.float32), ambient), cover)


def _leaves(
    targets: tuple[Image, npt.NDArray[np.uint8]],
    lobes: npt.NDArray[np.float64],
    leaf: npt.NDArray[np.float64],
    *,
    count: int,
    random: np.random.Generator,
) -> None:
    """Dabs of colour on texture and cover in clumps ``lobes`` (middles, radii), lit from above."""
    texture, cover = targets
    rows, columns = cover.shape
    depth = np.sort(random.uniform(0, 1, count))
    u, v, ru, rv = lobes[random.integers(0, len(lobes), count)].T
    angle, reach = random.uniform(0, 2 * np.pi, count), random.uniform(0, 1, count) ** 0.6
    x, y = u + ru * reach * np.cos(angle), v + rv * reach * np.sin(angle)
    up = 1 - (y - (v - rv)) / (2 * rv)
    tone = np.maximum(0.2, 0.42 + 0.55 * up + 0.25 * depth + random.normal(0, 0.1, count))
    columns_px = (x * columns).astype(int).tolist()
    rows_px = np.minimum(y * rows, rows - 2).astype(int).tolist()
    sizes = random.integers(1, 4, count).tolist()
    colours = (tone[:, None] * leaf).tolist()
    for at, size, colour in zip(zip(columns_px, rows_px, strict=True), sizes, colours, strict=True):
        cv2.circle(texture, at, size, colour, -1)
        cv2.circle(cover, at, size, (255,), -1)


_SIGN_PX = 128
_RED, _BLUE, _YELLOW = (36, 30, 186), (160, 84, 20), (30, 186, 238)
_WHITE, _BLACK = (238, 238, 238), (26, 26, 26)


@lru_cache(maxsize=4)
def signs(ambient: Colour) -> dict[str, Sprite]:
    """Every kind of sign; ``limit`` has one for each number, as ``limit30``, ``danger`` two."""
    made = {}
    names = [*(f"limit{n}" for n in (30, 50, 60, 70, 80, 100, 120)), "danger1", "danger2"]
    for name in (*names, *(n for n in SIGN_OUTLINES if n not in {"limit", "danger"}), "back"):
        kind = name.rstrip("0123456789")
        texture = np.full((_SIGN_PX, _SIGN_PX, 3), (120, 122, 120), np.uint8)
        cover = np.zeros((_SIGN_PX, _SIGN_PX), np.uint8)
        _plate(kind, texture, cover)
        _pictogram(kind, name[len(kind) :], texture)
        shade = np.linspace(1.03, 0.92, _SIGN_PX)[:, None, None]
        made[name] = Sprite.of(tinted(texture * shade, ambient), cover)
    return made


def _plate(kind: str, texture: Image, cover: npt.NDArray[np.uint8]) -> None:
    rims: dict[str, tuple[tuple[float, Colour], ...]] = {
        "limit": ((1.0, _RED), (0.74, _WHITE)),
        "no_passing": ((1.0, _RED), (0.8, _WHITE)),
        "no_entry": ((1.0, _WHITE), (0.95, _RED)),
        "mandatory": ((1.0, _WHITE), (0.94, _BLUE)),
        "danger": ((1.0, _RED), (0.6, _WHITE)),
        "yield": ((1.0, _RED), (0.6, _WHITE)),
        "priority": ((1.0, _WHITE), (0.72, _YELLOW)),
        "stop": ((1.0, _WHITE), (0.93, _RED)),
        "crossing": ((1.0, _WHITE), (0.92, _BLUE)),
        "back": ((1.0, (140, 142, 142)), (0.9, (120, 122, 122))),
    }
    outline = np.array(SIGN_OUTLINES.get(kind, SIGN_OUTLINES["limit"]))
    centre = outline.mean(axis=0)
    for number, (size, colour) in enumerate(rims[kind]):
        corners = (centre + (outline - centre) * size) * _SIGN_PX
        fixed = np.round(corners * 16).astype(np.int32)
        cv2.fillPoly(texture, [fixed], colour, cv2.LINE_AA, 4)
        if number == 0:
            cv2.fillPoly(cover, [fixed], (255,), cv2.LINE_AA, 4)
    texture[cover == 0] = rims[kind][0][1]


def _pictogram(kind: str, number: str, texture: Image) -> None:
    if kind == "limit":
        _text(texture, number, 74 if len(number) < 3 else 84, _BLACK)
    elif kind == "stop":
        _text(texture, "STOP", 104, _WHITE)
    elif kind == "danger":
        if number == "1":
            _shape(texture, [(0.46, 0.42), (0.54, 0.42), (0.53, 0.7), (0.47, 0.7)], _BLACK)
            cv2.circle(texture, (64, 98), 6, _BLACK, -1, cv2.LINE_AA)
        else:
            _shape(
                texture, [(0.4, 0.86), (0.48, 0.5), (0.56, 0.5), (0.62, 0.86), (0.5, 0.66)], _BLACK
            )
            cv2.circle(texture, (66, 56), 6, _BLACK, -1, cv2.LINE_AA)
    elif kind == "mandatory":
        _shape(texture, [(0.5, 0.12), (0.74, 0.44), (0.26, 0.44)], _WHITE)
        _shape(texture, [(0.43, 0.4), (0.57, 0.4), (0.57, 0.86), (0.43, 0.86)], _WHITE)
    elif kind == "no_entry":
        _shape(texture, [(0.16, 0.4), (0.84, 0.4), (0.84, 0.6), (0.16, 0.6)], _WHITE)
    elif kind == "no_passing":
        car = ((0, 0.5), (0.05, 0.4), (0.21, 0.4), (0.26, 0.5), (0.26, 0.62), (0, 0.62))
        for left, colour in ((0.2, _RED), (0.54, _BLACK)):
            _shape(texture, [(left + u, v) for u, v in car], colour)
    elif kind == "crossing":
        _shape(texture, [(0.5, 0.14), (0.88, 0.84), (0.12, 0.84)], _WHITE)
        _shape(
            texture, [(0.36, 0.78), (0.47, 0.48), (0.55, 0.48), (0.66, 0.78), (0.51, 0.62)], _BLACK
        )
        cv2.circle(texture, (65, 52), 6, _BLACK, -1, cv2.LINE_AA)


def _shape(texture: Image, points: list[tuple[float, float]], colour: Colour) -> None:
    fixed = np.round(np.array(points) * _SIGN_PX * 16).astype(np.int32)
    cv2.fillPoly(texture, [fixed], colour, cv2.LINE_AA, 4)


def _text(texture: Image, text: str, width: int, colour: Colour) -> None:
    """``text`` in the middle, ``width`` pixels wide."""
    font, thick = cv2.FONT_HERSHEY_SIMPLEX, 8
    (natural, _), _ = cv2.getTextSize(text, font, 1.0, thick)
    scale = (width - thick) / (natural - thick)
    (wide, high), _ = cv2.getTextSize(text, font, scale, thick)
    at = ((_SIGN_PX - wide) // 2, (_SIGN_PX + high) // 2)
    cv2.putText(texture, text, at, font, scale, colour, thick, cv2.LINE_AA)
