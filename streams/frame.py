"""The frame: one image with its index, time and source."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Protocol, Self, TypedDict, Unpack, runtime_checkable

import numpy as np
import numpy.typing as npt

from oneglance.streams.errors import Reason, SourceBroken
from oneglance.streams.yuv import Bytes, YuvPlanes

Image = npt.NDArray[np.uint8]
"""H×W×3 uint8, BGR (OpenCV's order)."""

_NO_METADATA: Mapping[str, object] = MappingProxyType({})


@runtime_checkable
class DeferredImage(Protocol):
    """An image that nobody has asked for yet, as its source holds it: a decoder's planes."""

    @property
    def size(self) -> tuple[int, int]:
        """``(width, height)`` of the image that ``to_bgr`` makes, in pixels."""
        ...

    def to_bgr(self) -> Image:
        """The image, H×W×3 uint8 BGR, contiguous and the caller's own; called once.

        Raises:
            ValueError: it cannot be made.
        """
        ...

    def yuv(self) -> YuvPlanes | None:
        """Its brightness and colours as they are, not to be written to; None where it is held in
        another way."""
        ...

    def planes(self) -> tuple[Bytes, ...]:
        """The bytes that it is made from, as rows, the brightness first; not to be written to."""
        ...


class _LazyImage:
    """An image made by the first thread that asks, while the others wait; then the planes go."""

    __slots__ = ("_deferred", "_image", "_lock", "size")

    def __init__(self, source: Image | DeferredImage) -> None:
        self._lock = threading.Lock()
        self._deferred: DeferredImage | None = None
        self._image: Image | None = None
        if isinstance(source, np.ndarray):
            self._image = checked(source)
            self.size = source.shape[1], source.shape[0]
        else:
            self._deferred = source
            self.size = source.size

    def image(self) -> Image:
        with self._lock:
            if self._image is None:
                assert self._deferred is not None
                self._image = checked(self._deferred.to_bgr())
                self._deferred = None
            return self._image

    def yuv(self) -> YuvPlanes | None:
        with self._lock:
            return None if self._deferred is None else self._deferred.yuv()

    def planes(self) -> tuple[Bytes, ...]:
        with self._lock:
            if self._image is not None:
                return (self._image.reshape(self._image.shape[0], -1),)
            assert self._deferred is not None
            return self._deferred.planes()


class FrameFacts(TypedDict, total=False):
    """What ``Frame.changed`` may change."""

    index: int
    timestamp_s: float
    source: str
    metadata: Mapping[str, object]
    damaged: bool
    decode_s: float | None


@dataclass(frozen=True, slots=True, eq=False, init=False)
class Frame:
    """An image and what is known of it; frozen, because several threads hold it at once.

    ``image`` is H×W×3 uint8 in BGR order, made when it is first asked for where the source is a
    decoder: a frame that is dropped is never converted. ``index`` is 0-based and counts every
    frame the source produced, those dropped later included. ``timestamp_s`` is the capture time
    in seconds: the presentation time for recordings, the host's monotonic clock at arrival for
    live sources. ``source`` is a name safe to print: no credential in it. ``metadata``: what the
    source knows besides (a ROS header's ``stamp`` and ``frame_id``, a camera's own clock); never
    a credential. ``damaged``: the decoder could not make all of the image. ``decode_s``: seconds
    that it took to decode, waiting left out; None where the source does not say.

    Frames are equal when they are the same object: comparing pixels would give an array.

    >>> frame = Frame(np.zeros((4, 6, 3), np.uint8), index=0, timestamp_s=0.0, source="demo")
    >>> frame.size, frame.metadata, frame.damaged
    ((6, 4), mappingproxy({}), False)
    >>> frame.changed(index=7).index
    7
    """

    index: int
    timestamp_s: float
    source: str
    metadata: Mapping[str, object]
    damaged: bool
    decode_s: float | None
    _pixels: _LazyImage = field(repr=False)

    def __init__(  # noqa: PLR0913 - one for each thing known of a frame
        self,
        image: Image | DeferredImage,
        index: int,
        timestamp_s: float,
        source: str,
        *,
        metadata: Mapping[str, object] = _NO_METADATA,
        damaged: bool = False,
        decode_s: float | None = None,
    ) -> None:
        """``image``: the pixels, or whatever can make them when they are asked for.

        Raises:
            ValueError: the image is not H×W×3 uint8.
        """
        self._set(
            _pixels=_LazyImage(image),
            index=index,
            timestamp_s=timestamp_s,
            source=source,
            metadata=MappingProxyType(dict(metadata)) if metadata else _NO_METADATA,
            damaged=damaged,
            decode_s=decode_s,
        )

    @property
    def image(self) -> Image:
        """The pixels, H×W×3 uint8 BGR; the same array for whoever asks, from any thread.

        Raises:
            SourceBroken: what the decoder gave cannot be converted.
        """
        try:
            return self._pixels.image()
        except ValueError as error:
            raise SourceBroken(
                f"{self.source}: frame {self.index} cannot be converted: {error}",
                reason=Reason.CODEC,
            ) from None

    @property
    def size(self) -> tuple[int, int]:
        """``(width, height)`` in pixels; asking converts nothing."""
        return self._pixels.size

    @property
    def width(self) -> int:
        """Pixels in a row."""
        return self.size[0]

    @property
    def height(self) -> int:
        """Rows."""
        return self.size[1]

    def yuv(self) -> YuvPlanes | None:
        """The decoder's planes, for who needs the image smaller only: what ``image`` is made of.
        None where there are none, or ``image`` is there already and costs nothing."""
        return self._pixels.yuv()

    def planes(self) -> tuple[Bytes, ...]:
        """The bytes of the image as it was captured, in rows, without converting it: those of the
        decoder's planes while there is no ``image``. Not to be written to."""
        return self._pixels.planes()

    def changed(self, **changes: Unpack[FrameFacts]) -> Self:
        """The same image with other facts; asking converts nothing, and both share what is made.

        Raises:
            TypeError: a frame has no such fact.
        """
        unknown = changes.keys() - FrameFacts.__annotations__.keys()
        if unknown:
            raise TypeError(f"a frame has no {', '.join(sorted(unknown))} to change")
        other = object.__new__(type(self))
        other._set(**{f.name: getattr(self, f.name) for f in fields(self)} | dict(changes))
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        facts = {name: getattr(self, name) for name in FrameFacts.__annotations__}
        return _restored, (self.image, facts | {"metadata": dict(self.metadata)})

    def _set(self, **facts: Any) -> None:
        for name, value in facts.items():
            object.__setattr__(self, name, value)


def _restored(image: Image, facts: dict[str, Any]) -> Frame:
    return Frame(image, **facts)


def checked(image: Image) -> Image:
    """``image`` itself.

    Raises:
        ValueError: it is not H×W×3 uint8.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"a frame is H×W×3 uint8, not {image.shape} {image.dtype}")
    return image
