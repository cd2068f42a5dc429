"""``rendered:`` — a drive that oneglance draws itself: no file, no network, and the truth known."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from fractions import Fraction

from oneglance.streams.errors import UsageError
from oneglance.streams.frame import Frame, Image
from oneglance.streams.options import ConnectOptions
from oneglance.streams.playing import Closing
from oneglance.streams.rendered.camera import Camera
from oneglance.streams.rendered.painting import Studio
from oneglance.streams.rendered.truth import RenderedBox, Sighting, boxes_of, sightings
from oneglance.streams.rendered.world import World

__all__ = ["RenderedBox", "RenderedStream"]

SMALLEST_SIDE, LARGEST_SIDE = 64, 7680
SEEDS = 2**32

_ENDLESS = "inf"
_ALLOWED = {  # option: how its value must look, and how that is said
    "seed": (r"[0-9]{1,10}", f"a whole number from 0 to {SEEDS - 1}"),
    "frames": (rf"[0-9]{{1,18}}|{_ENDLESS}", f"a whole number from 1, or {_ENDLESS}"),
    "size": (
        r"[0-9]{1,5}x[0-9]{1,5}",
        f"WIDTHxHEIGHT with sides from {SMALLEST_SIDE} to {LARGEST_SIDE}, like 1280x720",
    ),
    "fps": (r"[0-9]{1,9}([./][0-9]{1,9})?", "above 0: a number or a fraction like 30000/1001"),
}


class RenderedStream(Closing):
    """A seeded drive past cars, people, signs and lights; every frame follows from its index.

    Each image is a new array. ``timestamp_s`` is ``index`` divided by
    the frame rate, without rounding on the way.

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
            UsageError: a seed outside 0..2**32 - 1, a side outside 64..7680, a frame rate of 0
                or less, or no frame at all.
        """
        _require(0 <= seed < SEEDS, "seed", seed)
        sides_fit = all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in (width, height))
        _require(sides_fit, "size", f"{width}x{height}")
        _require(frame_rate > 0, "fps", frame_rate)
        _require(frame_count is None or frame_count >= 1, "frames", frame_count)
        self._rate = frame_rate
        self._frame_count = frame_count
        self._source = f"rendered:?seed={seed}"
        self._size = width, height
        self._world = World(seed)
        self._studio = Studio(self._world, seed, self._size)
        self._closed = threading.Event()

    @classmethod
    def from_uri(cls, uri: str) -> RenderedStream:
        """Parse ``rendered:?seed=7&frames=600&size=960x540&fps=30000/1001``; all optional.

        Raises:
            UsageError: an unknown or repeated option, or a value that cannot be used; the
                message names the option, the value and what is allowed.
        """
        options = _options(uri)
        width, height = (int(side) for side in options.get("size", "1280x720").split("x"))
        frames = options.get("frames", "300")
        rate = options.get("fps", "30")
        _require(not re.search(r"/0+$", rate), "fps", rate)
        return cls(
            seed=int(options.get("seed", "0")),
            width=width,
            height=height,
            frame_rate=Fraction(rate),
            frame_count=None if frames == _ENDLESS else int(frames),
        )

    @property
    def source(self) -> str:
        """A name safe to print."""
        return self._source

    @property
    def frame_rate(self) -> Fraction | None:
        """Frames a second, exactly."""
        return self._rate

    @property
    def frame_count(self) -> int | None:
        """How many frames there are; None: endless."""
        return self._frame_count

    def render(self, index: int) -> tuple[Image, tuple[RenderedBox, ...]]:
        """The image of frame ``index`` and the truth about it.

        Any index from 0 may be asked for, in any order and beyond ``frame_count`` too; the same
        index gives the same pixels at every call.
        """
        camera, seen = self._scene(index)
        truth = boxes_of(seen, camera)
        hidden = {box.track_id for box in truth if box.visible == 0}
        shown = [sighting for sighting in seen if sighting.thing.track_id not in hidden]
        image = self._studio.paint(shown, camera, index=index, time_s=self._time_s(index))
        return image, truth

    def ground_truth(self, index: int) -> tuple[RenderedBox, ...]:
        """The truth about frame ``index``, farthest object first, without drawing it."""
        camera, seen = self._scene(index)
        return boxes_of(seen, camera)

    def __iter__(self) -> Iterator[Frame]:
        """The frames, from the first."""
        index = 0
        while not self._closed.is_set() and index != self._frame_count:
            started = time.perf_counter()
            image, _ = self.render(index)
            decode_s = time.perf_counter() - started
            yield Frame(image, index, self._time_s(index), self._source, decode_s=decode_s)
            index += 1

    def close(self) -> None:
        """End iteration at its next frame."""
        self._closed.set()

    def _time_s(self, index: int) -> float:
        return float(index / self._rate)

    def _scene(self, index: int) -> tuple[Camera, list[Sighting]]:
        time_s = self._time_s(index)
        camera = self._world.camera(time_s, *self._size)
        return camera, sightings(self._world.things(time_s), camera)


def _options(uri: str) -> dict[str, str]:
    """The options of ``uri``, each known, given once, and looking as it must."""
    query = uri.removeprefix("rendered:").removeprefix("?")
    options: dict[str, str] = {}
    for pair in query.split("&") if query else []:
        key, _, value = pair.partition("=")
        if key not in _ALLOWED:
            raise UsageError(
                f"rendered: unknown option '{pair}' (options: {', '.join(_ALLOWED)}; "
                "for example rendered:?seed=7&frames=600)"
            )
        if key in options:
            raise UsageError(f"rendered: '{key}' is given twice: {options[key]} and {value}")
        _require(re.fullmatch(_ALLOWED[key][0], value) is not None, key, value)
        options[key] = value
    return options


def _require(holds: bool, key: str, value: object) -> None:
    if not holds:
        raise UsageError(f"rendered: '{key}={value}' cannot be used; {key} is {_ALLOWED[key][1]}")


def open_rendered(uri: str, options: ConnectOptions) -> RenderedStream:
    """The source ``rendered:``; nothing of ``options`` concerns it.

    Raises:
        UsageError: see ``RenderedStream.from_uri``.
    """
    del options
    return RenderedStream.from_uri(uri)
