"""How the rendered world looks: a studio holds what is drawn once, and paints frames with it."""

from __future__ import annotations

import cv2
import numpy as np

from oneglance.streams.frame import Image
from oneglance.streams.rendered.backdrop import air, backdrop
from oneglance.streams.rendered.brush import Brush, Sprite
from oneglance.streams.rendered.camera import Camera
from oneglance.streams.rendered.people import paint_person
from oneglance.streams.rendered.roadside import (
    gable_end,
    paint_house,
    paint_light,
    paint_pole,
    paint_road,
    paint_shadow,
    sign_name,
)
from oneglance.streams.rendered.setting import Setting
from oneglance.streams.rendered.textures import signs, tree, wall
from oneglance.streams.rendered.things import Kind, Thing
from oneglance.streams.rendered.truth import Sighting
from oneglance.streams.rendered.vehicles import paint_vehicle
from oneglance.streams.rendered.world import EGO_SPEED, World

_GRAIN_SHIFTS = (61, 59)  # rows, columns: the window of grain moves by less than this
_VARIANTS = 3


class Studio:
    """Everything for painting one world at one size. Painting changes nothing in it."""

    def __init__(self, world: World, seed: int, size: tuple[int, int]) -> None:
        """``size``: (width, height) in pixels."""
        self._world, self._seed = world, seed
        width, height = size
        random = np.random.default_rng((seed, 12))
        seasons = ["summer", "autumn", "winter"]
        self._season = str(random.choice(seasons, p=[0.55, 0.25, 0.2]))
        self._air = air(world.weather)
        self._margin = 2 + round(0.014 * width)
        still = world.still_camera(width, height)
        self._still = still
        self._backdrop = backdrop(
            still.padded(self._margin), world.street, world.weather, seed=seed, season=self._season
        )
        self._soft = bool(random.uniform() < 0.6)
        # Cameras expose differently: above 1 the sky burns out.
        self._exposure = float(random.uniform(1.0, 1.35))
        self._film = _film(width, height, random)
        floors = range(3, 6) if world.street.setting is Setting.TOWN else range(2, 3)
        variants = range(_VARIANTS)
        self._walls = {(f, v): self._wall(f, v) for f in floors for v in variants}
        self._trees = {(bush, v): self._tree(bush, v) for bush in (False, True) for v in variants}

    def paint(self, seen: list[Sighting], camera: Camera, *, index: int, time_s: float) -> Image:
        """The image of all ``seen``, given farthest first, with the grain of frame ``index``."""
        image = self._behind(camera)
        world = self._world
        road = Brush(image, self._air, 12.0)
        travelled = EGO_SPEED * time_s, world.stains(time_s), world.zebras(time_s)
        paint_road(road, camera, world.street, travelled)
        houses = [s.thing for s in seen if s.thing.kind is Kind.HOUSE]
        for sighting in seen:
            if sighting.thing.kind is Kind.HOUSE:
                self._add_house(image, houses, camera)
            else:
                self.add(image, sighting, camera)
        return self._developed(image, index)

    def _add_house(self, image: Image, houses: list[Thing], camera: Camera) -> None:
        """Draw the first of ``houses``, given farthest first, and take it from the list."""
        house = houses.pop(0)
        nearer = next((other for other in houses if (other.x > 0) == (house.x > 0)), None)
        floors, front = round(house.height / 3.1), int(house.look * _VARIANTS)
        walls = self._walls[floors, front], self._walls[floors, (front + 1) % _VARIANTS]
        brush = Brush(image, self._air, house.z)
        paint_house(brush, house, camera, walls=walls, outer=gable_end(house, nearer, camera))

    def add(self, image: Image, sighting: Sighting, camera: Camera) -> None:
        """Draw one thing, no house, where ``camera`` sees it."""
        thing, box = sighting.thing, sighting.box
        brush = Brush(image, self._air, thing.z)
        lamps = self._world.weather.lamps
        if thing.kind in {Kind.CAR, Kind.PEDESTRIAN}:
            paint_shadow(brush, thing, camera)
        if thing.kind is Kind.CAR:
            paint_vehicle(brush, thing, camera, lamps=lamps)
        elif thing.kind is Kind.PEDESTRIAN:
            paint_person(brush, thing, camera)
        elif thing.kind is Kind.SIGN:
            brush.stamp(signs(self._air.ambient)[sign_name(thing)], box)
        elif thing.kind is Kind.LIGHT:
            paint_light(brush, thing, box, lamps=lamps)
        elif thing.kind is Kind.TREE:
            sprite = self._trees[thing.style == "bush", int(thing.look * _VARIANTS)]
            brush.cut(sprite, box)
        elif thing.style == "back":
            brush.stamp(signs(self._air.ambient)["back"], box)
        else:
            paint_pole(brush, thing, camera, lamps=lamps)

    def _behind(self, camera: Camera) -> Image:
        """The backdrop, moved as the camera sways: whole pixels, within its margin."""
        margin = self._margin
        right = round(camera.centre - self._still.centre)
        down = round(camera.horizon - self._still.horizon)
        left, top = (
            margin - max(-margin, min(margin, right)),
            margin - max(-margin, min(margin, down)),
        )
        return self._backdrop[top : top + camera.height, left : left + camera.width].copy()

    def _developed(self, image: Image, index: int) -> Image:
        """What lens and sensor do: a little blur, darker corners, grain."""
        if self._soft:
            cv2.GaussianBlur(image, (3, 3), 0, dst=image)
        height, width = image.shape[:2]
        # Another window of one tile of grain each frame: cheap, and the same at every call.
        top, left = (index * 37) % _GRAIN_SHIFTS[0], (index * 53) % _GRAIN_SHIFTS[1]
        film = self._film[top : top + height, left : left + width]
        cv2.multiply(image, film, dst=image, scale=self._exposure / 220)
        return image

    def _wall(self, floors: int, variant: int) -> Sprite:
        random = np.random.default_rng((self._seed, 13, floors, variant))
        return wall(random, floors, ambient=self._air.ambient, lamps=self._world.weather.lamps)

    def _tree(self, bush: bool, variant: int) -> Sprite:
        random = np.random.default_rng((self._seed, 14, int(bush), variant))
        return tree(random, self._season, ambient=self._air.ambient, bush=bush)


def _film(width: int, height: int, random: np.random.Generator) -> Image:
    """What every pixel is multiplied with (220 is 1): vignette and grain."""
    rows, columns = height + _GRAIN_SHIFTS[0], width + _GRAIN_SHIFTS[1]
    across, down = (
        np.linspace(-1, 1, columns)[None, :, None],
        np.linspace(-1, 1, rows)[:, None, None],
    )
    fall = 1 - random.uniform(0.04, 0.14) * (across**2 + down**2)
    depth = random.uniform(0.006, 0.02)
    grain = random.standard_normal((rows, columns, 3), np.float32)
    grain *= np.float32(depth)  # in place: at 4K an array of this size is 100 MB
    grain += 1
    grain *= (220 * fall).astype(np.float32)
    return np.asarray(np.clip(grain, 0, 255, out=grain), np.uint8)
