"""A result as viewers get it: its image is made when somebody asks for it, once for all."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import cv2
import simplejpeg

from oneglance.perception.result import Result
from oneglance.perception.sinks.drawing import annotate
from oneglance.perception.sinks.jsonl import as_object, encoded
from oneglance.streams.frame import Image

LARGEST_WIDTH = 1280
"""Pixels across of an image that is sent; larger ones are scaled down, boxes are not."""

JPEG_QUALITY = 80

KEPT_UP = 0.8
"""Share of a source's frames that the network looks at; where it is less, it cannot keep up."""

_NO_AGE = b'"age_ms":null'


class Shot:
    """A result as viewers get it. ``number`` grows from one to the next over all sources, ``count``
    over those of its own."""

    def __init__(self, result: Result, number: int, time_s: float, *, count: int = 1) -> None:
        self.source = result.frame.source
        self.number, self.count = number, count
        self._result = result
        self._time_s = time_s
        self._lock = threading.Lock()
        self._jpeg: dict[bool, bytes] = {}
        self._head = b""
        self.encoding: asyncio.Future[None] | None = None
        """Whose end the viewers of an event loop wait for; theirs to set."""

    def keeps_up(self, earlier: Shot) -> bool:
        """Whether enough of the frames since ``earlier``, of the same source, were looked at."""
        frames = self._result.frame.index - earlier._result.frame.index
        return self.count - earlier.count >= KEPT_UP * frames

    def jpeg(self, *, boxes: bool = False) -> bytes:
        """The image, with the boxes drawn into it where that is asked for; made once."""
        with self._lock:
            if boxes not in self._jpeg:
                image = self._boxed() if boxes else self._image()
                self._jpeg[boxes] = simplejpeg.encode_jpeg(
                    image, quality=JPEG_QUALITY, colorspace="BGR", colorsubsampling="420"
                )
            return self._jpeg[boxes]

    def _image(self) -> Image:
        """As it is shown, at most ``LARGEST_WIDTH`` across."""
        frame = self._result.frame
        size = _shown_size(frame.size)
        if size == frame.size:
            return frame.image
        planes = frame.yuv()
        if planes is not None:  # only as many pixels are converted as are shown
            return planes.resized(size)
        return _resized(frame.image, size)

    def _boxed(self) -> Image:
        """The same with its boxes, which are drawn first: they are in pixels of the frame."""
        image = annotate(self._result.frame.image, self._result.detections)
        return _resized(image, _shown_size(self._result.frame.size))

    def facts(self, now_s: float) -> dict[str, Any]:
        """What a JSON line says of the result, and ``number``, ``width`` and ``height`` in pixels;
        ``age_ms`` is that of now, None of a recording."""
        return {"age_ms": self._age_ms(now_s)} | self._facts()

    def _facts(self) -> dict[str, Any]:
        found, frame = as_object(self._result), self._result.frame
        found.pop("age_ms", None)
        return found | {"number": self.number, "width": frame.width, "height": frame.height}

    def _age_ms(self, now_s: float) -> float | None:
        age_s = self._result.age_s
        return None if age_s is None else round(1e3 * (age_s + max(0.0, now_s - self._time_s)), 1)

    def text(self, now_s: float) -> str:
        """``facts`` as JSON in one line."""
        return encoded(self.facts(now_s))

    @property
    def is_encoded(self) -> bool:
        """Whether ``message`` costs next to nothing."""
        return bool(self._head)

    def encode(self) -> None:
        """Make what ``message`` is made of, once.

        Raises:
            SourceBroken: the frame cannot be converted.
        """
        self.jpeg()
        if not self._head:
            self._head = encoded({"age_ms": None} | self._facts()).encode()

    def message(self, now_s: float) -> bytes:
        """JSON and JPEG of the same frame in one: four bytes with the length of the JSON (big
        end first), the JSON, the JPEG. All but the age is made once, for all viewers."""
        self.encode()
        jpeg, facts = self.jpeg(), self._head
        if (age_ms := self._age_ms(now_s)) is not None:
            facts = facts.replace(_NO_AGE, b'"age_ms":%.1f' % age_ms, 1)
        return b"".join((len(facts).to_bytes(4, "big"), facts, jpeg))


def _shown_size(size: tuple[int, int]) -> tuple[int, int]:
    width, height = size
    if width <= LARGEST_WIDTH:
        return size
    return LARGEST_WIDTH, max(1, round(height * LARGEST_WIDTH / width))


def _resized(image: Image, size: tuple[int, int]) -> Image:
    if (image.shape[1], image.shape[0]) == size:
        return image
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
