"""What does not move: sky, hills, far town, ground and the surface of the road; drawn once."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from oneglance.streams.frame import Image
from oneglance.streams.rendered.brush import Air, Colour
from oneglance.streams.rendered.camera import Camera
from oneglance.streams.rendered.setting import (
    LANE_WIDTH,
    ROAD_LEFT,
    ROAD_RIGHT,
    Setting,
    Street,
    Weather,
)
from oneglance.streams.rendered.textures import LEAVES, mottle

Field = npt.NDArray[np.floating]

ASPHALT: Colour = (108, 106, 104)
PAVING: Colour = (142, 148, 150)
KERB: Colour = (168, 172, 172)
MARKING: Colour = (214, 217, 216)


def air(weather: Weather) -> Air:
    """The light between things and the camera."""
    brightness = min(1.0, 1.02 * max(weather.ambient))
    return Air(weather.ambient, (224 - 14 * weather.overcast) * brightness, weather.haze_m)


def backdrop(camera: Camera, street: Street, weather: Weather, *, seed: int, season: str) -> Image:
    """The whole image without anything that moves against the camera."""
    random = np.random.default_rng((seed, 11))
    around = air(weather)
    image = _sky(camera, weather, around, random)
    high, low = int(camera.horizon - 0.13 * camera.height), int(camera.horizon) + 3
    _skyline(
        image[high:low],
        camera.horizon - high,
        town=street.setting is not Setting.COUNTRY,
        around=around,
        random=random,
        leaf_colour=LEAVES[season][0],
    )
    top = max(0, int(camera.horizon) + 1)
    ground = _ground(camera, street, weather, random=random, grass=LEAVES[season][3])
    haze = np.minimum(0.7, 1 - np.exp(-_depth(camera, top) / around.haze_m))[:, None, None]
    ground *= np.array(around.ambient) * (1 - haze)
    ground += around.haze * haze
    image[top:] = ground
    return np.asarray(np.clip(image, 0, 255), np.uint8)


def _depth(camera: Camera, top: int) -> Field:
    """Metres to the ground of each row from ``top`` down."""
    rows = np.arange(top, camera.height) + 0.5
    return np.asarray(camera.focal * camera.above_road / np.maximum(rows - camera.horizon, 0.4))


def _sky(camera: Camera, weather: Weather, around: Air, random: np.random.Generator) -> Field:
    clear, grey = np.array([206.0, 158, 104]), np.array([196.0, 190, 184])
    high = clear * (1 - weather.overcast) + grey * weather.overcast
    tone = min(1.0, 1.08 * max(weather.ambient))
    rows = np.clip(np.arange(camera.height) / camera.horizon, 0, 1)[:, None, None]
    sky = high * tone * (1 - rows**1.3) + around.haze * rows**1.3
    # Clouds are flattened towards the horizon; drawn small, they stay soft.
    size = (camera.height // 4 + 1, camera.width // 4 + 1)
    tall = mottle(random, (size[0] * 3, size[1]), camera.width / 10)
    clouds = np.asarray(cv2.resize(tall, size[::-1], interpolation=cv2.INTER_AREA))
    small = np.clip((clouds - 0.6 + 1.1 * weather.overcast) * 0.55, 0, 1)
    wide = cv2.resize(small, (camera.width, camera.height), interpolation=cv2.INTER_CUBIC)
    cloud = np.asarray(wide, np.float32)[:, :, None] * (0.75 - 0.25 * rows).astype(np.float32)
    white = (np.array([244.0, 242, 240]) - 46 * weather.overcast) * tone
    shade = np.clip(mottle(random, size, camera.width / 18) * 7, -22, 22)
    relief = cv2.resize(shade, (camera.width, camera.height), interpolation=cv2.INTER_CUBIC)
    # In place and in single precision: at 4K each array of an image's size is 100 MB.
    clouds_lit = white.astype(np.float32) + np.asarray(relief)[:, :, None] * weather.overcast
    clouds_lit *= cloud
    clouds_lit += sky.astype(np.float32) * (1 - cloud)
    return clouds_lit


def _skyline(
    band: Field,
    horizon: float,
    *,
    town: bool,
    around: Air,
    random: np.random.Generator,
    leaf_colour: Colour,
) -> None:
    """Hills, then trees and roofs, each nearer and darker, standing on row ``horizon`` of ``band``.

    The highest hills are as high as the band.
    """
    height, width = band.shape[:2]
    columns = np.linspace(0, 1, width)
    leaf = np.array(leaf_colour)
    layers: list[tuple[float, Field, float]] = []
    hills = sum(
        np.sin(columns * f * 6.28 + p)
        for f, p in zip(random.uniform(0.4, 2.6, 3), random.uniform(0, 6.28, 3), strict=True)
    )
    layers.append((0.86, 0.4 + 0.11 * np.asarray(hills), 0.0))
    crowns = mottle(random, (2, width), width / 26)[0]
    layers.append((0.66, 0.21 + 0.065 * np.asarray(crowns, np.float64), 0.05))
    if town:
        roofs = np.repeat(random.uniform(0.08, 0.45, 40), width // 40 + 1)[:width]
        layers.append((0.72, roofs, 0.0))
    near = mottle(random, (2, width), width / 60)[1]
    layers.append((0.45, 0.13 + 0.055 * np.asarray(near, np.float64), 0.12))
    rows = np.arange(height)[:, None]
    for haze, rises, rough in layers:
        tops = horizon - np.maximum(rises, 0.02) * height
        colour = leaf * np.array(around.ambient) * (1 - haze) + around.haze * haze
        inside = np.clip(rows + 1 - tops[None, :], 0, 1)[:, :, None]
        grain = 1 + rough * mottle(random, (height, width), 9)[:, :, None]
        band *= 1 - inside
        band += inside * colour * grain


def _ground(
    camera: Camera,
    street: Street,
    weather: Weather,
    *,
    random: np.random.Generator,
    grass: Colour,
) -> Field:
    """The ground's colours by how far right of the lane they lie: the same all along the road."""
    top = max(0, int(camera.horizon) + 1)
    fine = 2  # drawn twice as wide, so that lines far away stay smooth
    columns = (np.arange(camera.width * fine) + 0.5) / fine
    depth = _depth(camera, top)
    across = (columns[None, :] - camera.centre) / camera.focal * depth[:, None]
    profile, start, step = _cross_section(street, weather, random, grass)
    across -= start
    across /= step
    index = np.clip(across, 0, len(profile) - 1, out=across).astype(np.int32)
    wide = profile.astype(np.float32)[index]
    # One texel may cover metres far away: there, an average is nearer the truth than a sample.
    smooth = cv2.resize(wide, (camera.width, len(depth)), interpolation=cv2.INTER_AREA)
    grain = mottle(random, (len(depth), camera.width), 5)[:, :, None]
    coarse = mottle(random, (len(depth), camera.width), camera.width / 9)[:, :, None]
    textured = np.asarray(smooth, np.float32)
    textured *= 1 + 0.012 * grain + 0.02 * coarse
    if weather.wet:  # the sky mirrors in the road, more where it is far
        mirror = np.clip(1 - np.linspace(0, 1.6, len(depth)), 0.08, 0.5)[:, None, None]
        textured *= 1 - 0.55 * mirror
        textured += 205 * 0.55 * mirror
    return textured


def _cross_section(
    street: Street, weather: Weather, random: np.random.Generator, grass: Colour
) -> tuple[Field, float, float]:
    """Colours from left to right, the x of the first, and metres from one to the next."""
    step, reach = 0.02, 60.0
    x = np.arange(-reach, reach, step)
    tones = mottle(random, (2, len(x)), 1.2 / step)[0]
    profile = np.array(grass) * 1.08 * (1 + 0.09 * tones[:, None])
    right_kerb = street.right_kerb

    def lay(left: float, right: float, colour: Colour, rough: float) -> None:
        inside = (x >= left) & (x < right)
        profile[inside] = np.array(colour) * (1 + rough * tones[inside, None])

    if street.pavement:
        if street.setting is Setting.TOWN:  # paved up to the houses
            lay(ROAD_LEFT - street.pavement - 5, ROAD_LEFT - street.pavement, (124, 130, 133), 0.04)
            edge = right_kerb + street.pavement
            lay(edge, edge + 5, (124, 130, 133), 0.04)
        lay(ROAD_LEFT - street.pavement, ROAD_LEFT, PAVING, 0.02)
        lay(right_kerb, right_kerb + street.pavement, PAVING, 0.02)
        lay(ROAD_LEFT - 0.16, ROAD_LEFT, KERB, 0.01)
        lay(right_kerb, right_kerb + 0.16, KERB, 0.01)
        lay(ROAD_LEFT, ROAD_LEFT + 0.1, (84, 84, 83), 0.02)
        lay(right_kerb - 0.1, right_kerb, (84, 84, 83), 0.02)
        lay(ROAD_LEFT + 0.1, right_kerb - 0.1, ASPHALT, 0.03)
        lay(ROAD_RIGHT, right_kerb - 0.1, (116, 116, 115), 0.03)
    else:
        lay(ROAD_LEFT - 1.2, ROAD_RIGHT + 1.2, (104, 118, 122), 0.08)
        lay(ROAD_LEFT - 0.2, ROAD_RIGHT + 0.2, ASPHALT, 0.03)
    for lane in (0.0, -LANE_WIDTH):  # wheels polish two tracks, oil darkens the middle
        for offset, width, change in ((-0.75, 0.3, 0.07), (0.75, 0.3, 0.07), (0.0, 0.25, -0.05)):
            bump = change * np.exp(-(((x - lane - offset) / width) ** 2))
            profile *= 1 + bump[:, None]
    if not street.parking or random.uniform() < 0.4:
        for edge in (ROAD_LEFT + 0.22, ROAD_RIGHT - 0.14):
            lay(edge - 0.06, edge + 0.06, MARKING, 0.02)
    if weather.wet:
        profile *= 0.8
    return profile, -reach, step
