"""``rendered:`` — a drive that oneglance draws itself: no file, no network, and the truth known."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl

import cv2
import numpy as np
import numpy.typing as npt

from oneglance.streams.errors import UsageError
from oneglance.streams.frame import Frame, Image
from oneglance.streams.painting import background, paint, road
from oneglance.streams.scene import EGO_SPEED, LABELLED, Camera, Thing, World

SMALLEST_SIDE, LARGEST_SIDE = 64, 7680
SMALLEST_OBJECT_SHARE = 8 / 720
"""Objects lower than this share of the picture's height are not there yet."""

_ENDLESS = "inf"


@dataclass(frozen=True, slots=True)
class RenderedBox:
    """The truth about one object: ``name`` is its task, ``xyxy`` in pixels, inside the picture.

    ``visible``: share of the object, 0..1, that is inside the picture and not behind a nearer
    object. ``track_id`` stays with the object from frame to frame.
    """

    name: str
    xyxy: tuple[float, float, float, float]
    visible: float
    track_id: int


class RenderedStream:
    """A seeded drive past cars, people, signs and lights; every frame follows from its index.

    >>> stream = RenderedStream(seed=3, width=320, height=180, frame_count=2)
    >>> [frame.timestamp_s for frame in stream]
    [0.0, 0.03333333333333333]
    """

    live = False

    def __init__(
        self,
        *,
        seed: int = 0,
        width: int = 1280,
        height: int = 720,
        frame_rate: Fraction = Fraction(30),
        frame_count: int | None = 300,
    ) -> None:
        """``frame_count`` None: endless.

        Raises:
            UsageError: a side outside 64..7680, or a rate or count below what makes sense.
        """
        if not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in (width, height)):
            raise UsageError(
                f"rendered: size {width}x{height} is outside {SMALLEST_SIDE}..{LARGEST_SIDE}"
            )
        if frame_rate <= 0:
            raise UsageError(f"rendered: fps must be above 0, not {frame_rate}")
        if frame_count is not None and frame_count < 1:
            raise UsageError(f"rendered: frames must be at least 1 or {_ENDLESS}, not {frame_count}")
        self.seed = seed
        self.frame_rate: Fraction | None = frame_rate
        self.frame_count = frame_count
        self.source = f"rendered:?seed={seed}"
        self._rate = frame_rate
        self._camera = Camera(width, height)
        self._world = World(seed)
        self._closed = threading.Event()
        self._backdrop = background(
            self._camera, daylight=1.0, overcast=self._world.overcast, seed=seed
        )
        self._film = _film(width, height, self._world.daylight)
        self._noise = _noise(width, height, seed)

    @classmethod
    def from_uri(cls, uri: str) -> RenderedStream:
        """Parse ``rendered:?seed=7&frames=600&size=960x540&fps=30000/1001``; all optional.

        Raises:
            UsageError: an unknown option or a value that cannot be used; the message names it.
        """
        query = uri.removeprefix("rendered:").removeprefix("?")
        options = dict(parse_qsl(query, keep_blank_values=True))
        if query and not options:
            raise UsageError(f"{uri}: options look like rendered:?seed=7&frames=600")
        unknown = set(options) - {"seed", "frames", "size", "fps"}
        if unknown:
            raise UsageError(
                f"{uri}: unknown option '{sorted(unknown)[0]}' (options: seed, frames, size, fps)"
            )
        key = ""
        try:
            key = "size"
            width, height = (int(n) for n in options.get("size", "1280x720").split("x"))
            key = "seed"
            seed = int(options.get("seed", "0"))
            key = "frames"
            frames = options.get("frames", "300")
            count = None if frames == _ENDLESS else int(frames)
            key = "fps"
            rate = Fraction(options.get("fps", "30"))
        except (ValueError, ZeroDivisionError):
            raise UsageError(f"{uri}: '{key}={options[key]}' cannot be used") from None
        return cls(seed=seed, width=width, height=height, frame_rate=rate, frame_count=count)

    def render(self, index: int) -> tuple[Image, tuple[RenderedBox, ...]]:
        """The picture of frame ``index`` and the truth about it; the same at every call."""
        time_s = float(index / self._rate)
        things = self._visible_things(time_s)
        image = self._backdrop.copy()
        road(image, self._camera, EGO_SPEED * time_s)
        for thing in things:
            paint(image, thing, self._camera)
        return self._developed(image, index), self._boxes(things)

    def ground_truth(self, index: int) -> tuple[RenderedBox, ...]:
        """The truth about frame ``index``, without drawing it."""
        return self._boxes(self._visible_things(float(index / self._rate)))

    def __iter__(self) -> Iterator[Frame]:
        """The frames, from the first."""
        index = 0
        while not self._closed.is_set() and index != self.frame_count:
            image, _ = self.render(index)
            yield Frame(image, index, float(index / self._rate), self.source)
            index += 1

    def close(self) -> None:
        """End iteration at its next frame."""
        self._closed.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _visible_things(self, time_s: float) -> list[Thing]:
        smallest = SMALLEST_OBJECT_SHARE * self._camera.height
        found = []
        for thing in self._world.things(time_s):
            _, top, _, bottom = self._camera.box(thing)
            if thing.kind not in LABELLED or bottom - top >= smallest:
                found.append(thing)
        return found

    def _developed(self, image: Image, index: int) -> Image:
        """What lens and sensor do: a little blur, darker corners, grain."""
        image = np.asarray(cv2.GaussianBlur(image, (3, 3), 0.6), np.uint8)
        cv2.multiply(image, self._film, dst=image, scale=1 / 255)
        height, width = image.shape[:2]
        # Another window of one tile of grain each frame: cheap, and the same at every call.
        top, left = (index * 37) % 61, (index * 53) % 59
        grain = self._noise[top : top + height, left : left + width]
        cv2.add(image, grain, dst=image)
        cv2.subtract(image, _GRAIN_MEAN, dst=image)
        return image

    def _boxes(self, things: list[Thing]) -> tuple[RenderedBox, ...]:
        width, height = self._camera.width, self._camera.height
        nearer: list[tuple[float, float, float, float]] = []
        boxes = []
        for thing in reversed(things):  # nearest first
            whole = self._camera.box(thing)
            x1, y1 = max(whole[0], 0.0), max(whole[1], 0.0)
            x2, y2 = min(whole[2], float(width)), min(whole[3], float(height))
            if x2 - x1 < 1 or y2 - y1 < 1:
                continue
            if thing.kind in LABELLED:
                visible = _visible_share(whole, (x1, y1, x2, y2), nearer)
                boxes.append(
                    RenderedBox(thing.kind.value, (x1, y1, x2, y2), visible, thing.track_id)
                )
                if thing.kind.value == "car":
                    nearer.append((x1, y1, x2, y2))
        return tuple(reversed(boxes))


_GRAIN_MEAN = (6.0, 6.0, 6.0, 0.0)


def _film(width: int, height: int, daylight: float) -> Image:
    columns = np.linspace(-1, 1, width)[None, :]
    rows = np.linspace(-1, 1, height)[:, None]
    fall = 1 - 0.16 * (columns**2 + rows**2)
    film = np.clip(255 * fall * daylight, 0, 255).astype(np.uint8)
    return np.repeat(film[:, :, None], 3, axis=2)


def _noise(width: int, height: int, seed: int) -> Image:
    random = np.random.default_rng((seed & 0xFFFFFFFF, 7))
    grain = random.normal(6, 2.2, (height + 61, width + 59, 3))
    return np.asarray(np.clip(grain, 0, 12), np.uint8)


def _visible_share(
    whole: tuple[float, float, float, float],
    inside: tuple[float, float, float, float],
    nearer: list[tuple[float, float, float, float]],
    *,
    grid: int = 12,
) -> float:
    """The share of ``whole`` that lies in the picture and behind none of ``nearer``, sampled."""
    centres = (np.arange(grid) + 0.5) / grid
    columns: npt.NDArray[np.float64] = whole[0] + centres * (whole[2] - whole[0])
    rows: npt.NDArray[np.float64] = whole[1] + centres * (whole[3] - whole[1])

    def within(box: tuple[float, float, float, float]) -> npt.NDArray[np.bool_]:
        across = (columns >= box[0]) & (columns <= box[2])
        down = (rows >= box[1]) & (rows <= box[3])
        return down[:, None] & across[None, :]

    seen = within(inside)
    for box in nearer:
        seen &= ~within(box)
    return float(seen.mean())
