"""Shapes with sub-pixel corners, in the light and haze of the place where they stand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from oneglance.streams.frame import Image
from oneglance.streams.rendered.camera import Box

Colour = tuple[float, float, float]
"""BGR, 0..255."""

Points = Sequence[tuple[float, float]]

_LARGE_WALL = 12_000  # pixels
_SHIFT = 4  # sub-pixel bits of OpenCV's drawing functions
_ONE = 1 << _SHIFT
_FAR = 16_000  # pixels; cv2.ellipse overflows beyond 2**15, cv2.fillPoly does not


@dataclass(frozen=True, slots=True)
class Air:
    """What lies between things and the camera: ambient light (BGR, 0..1) and grey haze (0..255)."""

    ambient: Colour
    haze: float
    haze_m: float

    def thickness(self, z: float) -> float:
        """Share of a colour that haze has replaced at ``z`` metres, 0..1."""
        return 1 - math.exp(-max(z, 0.0) / self.haze_m)


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A texture in falling sizes, each half the one before; ``alphas`` None where opaque."""

    levels: tuple[Image, ...]
    alphas: tuple[npt.NDArray[np.uint8], ...] | None

    @classmethod
    def of(cls, texture: Image, alpha: npt.NDArray[np.uint8] | None = None) -> Sprite:
        """Make the smaller sizes of ``texture``."""
        levels, alphas = [texture], [alpha]
        while min(levels[-1].shape[:2]) >= 8:
            levels.append(_halved(levels[-1]))
            last = alphas[-1]
            alphas.append(None if last is None else _halved(last))
        known = tuple(a for a in alphas if a is not None)
        return cls(tuple(levels), known or None)

    def level(self, height_px: float) -> int:
        """The smallest size that still has ``height_px`` rows, else the largest."""
        wanted = 0
        while wanted + 1 < len(self.levels) and self.levels[wanted + 1].shape[0] >= height_px:
            wanted += 1
        return wanted


def _halved(texture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    height, width = texture.shape[:2]
    half = cv2.resize(
        texture, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA
    )
    return cast("npt.NDArray[np.uint8]", half)


class Brush:
    """Draws onto an image at one distance; colours are given as in plain daylight, nearby."""

    __slots__ = ("_bias", "_gain", "_haze", "image")

    def __init__(self, image: Image, air: Air, z: float) -> None:
        self.image = image
        self._haze = air.thickness(z)
        clear = 1 - self._haze
        self._gain = tuple(a * clear for a in air.ambient)
        self._bias = air.haze * self._haze

    def shade(self, colour: Colour) -> Colour:
        """``colour`` in this light and at this distance."""
        (blue, green, red), bias = self._gain, self._bias
        return colour[0] * blue + bias, colour[1] * green + bias, colour[2] * red + bias

    def poly(self, points: Points, colour: Colour, *, lit: bool = False) -> None:
        """A filled polygon in pixels; ``lit`` colours shine by themselves."""
        fixed = np.array([(int(x * _ONE), int(y * _ONE)) for x, y in points], np.int32)
        fill = colour if lit else self.shade(colour)
        cv2.fillPoly(self.image, [fixed], fill, cv2.LINE_AA, _SHIFT)

    def rect(self, box: Box, colour: Colour, *, lit: bool = False) -> None:
        """A filled upright rectangle in pixels."""
        x1, y1, x2, y2 = box
        self.poly([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], colour, lit=lit)

    def ellipse(
        self, at: tuple[float, float], radii: tuple[float, float], colour: Colour,
        *, lit: bool = False,
    ) -> None:  # fmt: skip
        """A filled upright ellipse in pixels: centre and radii."""
        x, y = at
        if not -_FAR < x < _FAR or max(radii) > _FAR:
            return
        axes = (max(1, round(radii[0] * _ONE)), max(1, round(radii[1] * _ONE)))
        cv2.ellipse(
            self.image, (round(x * _ONE), round(y * _ONE)), axes, 0, 0, 360,
            colour if lit else self.shade(colour), -1, cv2.LINE_AA, _SHIFT,
        )  # fmt: skip

    def glow(self, at: tuple[float, float], radius: float, colour: Colour) -> None:
        """Light that spills over what is already there, fading to nothing at ``radius`` pixels."""
        size = 2 * round(radius) + 1
        left, top = round(at[0]) - size // 2, round(at[1]) - size // 2
        height, width = self.image.shape[:2]
        x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + size, width), min(top + size, height)
        if x2 <= x1 or y2 <= y1 or size > 600:
            return
        halo = _halo(size, colour)[y1 - top : y2 - top, x1 - left : x2 - left]
        spot = self.image[y1:y2, x1:x2]
        cv2.add(spot, halo, dst=spot)

    def stamp(self, sprite: Sprite, box: Box) -> None:
        """``sprite`` fitted to ``box`` (pixels), its edge blended, its corners sub-pixel."""
        x1, y1, x2, y2 = box
        window = _window(self.image, box)
        level = sprite.level(y2 - y1)
        if window is None or sprite.alphas is None:
            return
        left, top, right, bottom = window
        texture = self._hazed(sprite.levels[level])
        step_x, step_y = texture.shape[1] / (x2 - x1), texture.shape[0] / (y2 - y1)
        matrix = np.array(
            [
                [step_x, 0, (left + 0.5 - x1) * step_x - 0.5],
                [0, step_y, (top + 0.5 - y1) * step_y - 0.5],
            ]
        )
        size, flags = (right - left, bottom - top), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        paint = cv2.warpAffine(texture, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        cover = cv2.warpAffine(sprite.alphas[level], matrix, size, flags=flags)
        spot = self.image[top:bottom, left:right]
        share = np.asarray(cover, np.int32)[:, :, None]
        spot[:] = spot + (np.asarray(paint, np.int32) - spot) * share // 255

    def cut(self, sprite: Sprite, box: Box) -> None:
        """``sprite`` fitted to ``box`` in whole pixels and cut out: for large, ragged scenery."""
        window = _window(self.image, box)
        if window is None or sprite.alphas is None:
            return
        left, top, right, bottom = window
        level = sprite.level(box[3] - box[1])
        texture = sprite.levels[level]
        rows, columns = texture.shape[:2]
        step_x, step_y = columns / (box[2] - box[0]), rows / (box[3] - box[1])
        u1, v1 = max(0, int((left - box[0]) * step_x)), max(0, int((top - box[1]) * step_y))
        u2 = min(columns, max(u1 + 1, round((right - box[0]) * step_x)))
        v2 = min(rows, max(v1 + 1, round((bottom - box[1]) * step_y)))
        if u1 >= columns or v1 >= rows:
            return
        size = (right - left, bottom - top)
        paint = cv2.resize(self._hazed(texture[v1:v2, u1:u2]), size)
        cover = cv2.resize(sprite.alphas[level][v1:v2, u1:u2], size)
        _, mask = cv2.threshold(cover, 110, 255, cv2.THRESH_BINARY)
        cv2.copyTo(paint, mask, self.image[top:bottom, left:right])

    def quad(self, sprite: Sprite, corners: Points, part: tuple[float, float]) -> None:
        """An opaque ``sprite`` on a wall: ``corners`` top left, top right, bottom right, bottom
        left in pixels; ``part``: the share of the texture's width that is left and right there."""
        xs, ys = [p[0] for p in corners], [p[1] for p in corners]
        window = _window(self.image, (min(xs), min(ys), max(xs), max(ys)))
        if window is None:
            return
        left, top, right, bottom = window
        texture = self._hazed(sprite.levels[sprite.level(0.75 * max(ys[3] - ys[0], ys[2] - ys[1]))])
        height, width = texture.shape[:2]
        u1, u2 = part[0] * width, part[1] * width
        source = np.array([(u1, 0), (u2, 0), (u2, height), (u1, height)], np.float32)
        size = (right - left, bottom - top)
        # A large wall has more pixels than texels: warp at half size, enlarge, cut out.
        coarse = 2 if size[0] * size[1] > _LARGE_WALL else 1
        target = np.array([((x - left) / coarse, (y - top) / coarse) for x, y in corners])
        matrix = cv2.getPerspectiveTransform(source, target.astype(np.float32))
        spot = self.image[top:bottom, left:right]
        if coarse == 1:
            cv2.warpPerspective(
                texture, matrix, size, dst=spot,
                flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT,
            )  # fmt: skip
            return
        half = (-(-size[0] // 2), -(-size[1] // 2))
        small = cv2.warpPerspective(texture, matrix, half, borderMode=cv2.BORDER_REPLICATE)
        large = cv2.resize(small, (2 * half[0], 2 * half[1]))[: size[1], : size[0]]
        mask = np.zeros(spot.shape[:2], np.uint8)
        outline = np.array([(round(x - left), round(y - top)) for x, y in corners], np.int32)
        cv2.fillConvexPoly(mask, outline, (255,))
        cv2.copyTo(large, mask, spot)

    def _hazed(self, texture: Image) -> Image:
        if self._haze < 0.05:
            return texture
        hazed = cv2.convertScaleAbs(texture, alpha=1 - self._haze, beta=self._bias)
        return np.asarray(hazed, np.uint8)


def _window(image: Image, box: Box) -> tuple[int, int, int, int] | None:
    """The whole pixels that ``box`` touches inside ``image``."""
    height, width = image.shape[:2]
    left, top = max(int(box[0]), 0), max(int(box[1]), 0)
    right, bottom = min(int(box[2]) + 1, width), min(int(box[3]) + 1, height)
    return (left, top, right, bottom) if right > left and bottom > top else None


@lru_cache(maxsize=256)
def _halo(size: int, colour: Colour) -> Image:
    axis = np.linspace(-1, 1, size)
    distance = np.hypot(axis[None, :], axis[:, None])
    fall = np.clip(1 - distance, 0, 1) ** 2
    return np.asarray(fall[:, :, None] * np.array(colour), np.uint8)
