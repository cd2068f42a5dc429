"""Packets into pictures: what every PyAV source does the same way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import TYPE_CHECKING, Self

import cv2
import numpy as np

from oneglance.streams.frame import Frame, Image

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream as AvVideoStream

_TURNS = {
    90: cv2.ROTATE_90_COUNTERCLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_CLOCKWISE,
}


@dataclass(slots=True)
class Tally:
    """What came through the decoder so far.

    ``packets`` read and ``corrupt`` among them or the frames they gave; ``delivered`` frames;
    ``end_s``: when the last delivered frame ends, seconds from the stream's start.
    """

    packets: int = 0
    corrupt: int = 0
    delivered: int = 0
    end_s: float = 0.0


def upright(frame: VideoFrame) -> Image:
    """The picture as BGR, turned as its display matrix asks (phones film sideways)."""
    image = frame.to_ndarray(format="bgr24")
    turn = _TURNS.get(round(frame.rotation) % 360)
    if turn is not None:
        image = cv2.rotate(image, turn)
    return np.asarray(image, np.uint8)


def decoded(
    container: InputContainer, stream: AvVideoStream, tally: Tally
) -> Iterator[VideoFrame]:
    """Every frame that decodes whole, in presentation order; ``tally`` is kept up to date.

    A packet or frame that libav marks as damaged is counted and left out: half a picture is
    not passed off as one. Errors of the container itself are libav's, for the caller to name.
    """
    import av

    broken: av.error.FFmpegError | None = None
    try:
        for packet in container.demux(stream):
            if packet.size:
                tally.packets += 1
            if packet.is_corrupt:
                tally.corrupt += 1
                continue
            yield from _frames(packet, tally)
    except av.error.FFmpegError as error:
        broken = error
    if broken is not None:
        # What the decoder still holds is good; only then say what happened.
        yield from _frames(None, tally, stream)
        raise broken


def _frames(
    packet: object, tally: Tally, stream: AvVideoStream | None = None
) -> Iterator[VideoFrame]:
    import av

    try:
        frames = packet.decode() if stream is None else stream.decode(None)  # type: ignore[attr-defined]
    except av.error.EOFError:
        return
    except av.error.InvalidDataError:
        tally.corrupt += 1
        return
    for frame in frames:
        if frame.is_corrupt:
            tally.corrupt += 1
        else:
            yield frame


class AvSource:
    """The shared half of files, cameras and network streams.

    The container belongs to whichever thread iterates: ``close()`` from another only asks, and
    iteration ends at its next frame. A source that nobody iterates is closed at once.
    """

    live = False

    def __init__(self, container: InputContainer, source: str) -> None:
        self._container = container
        self._stream = container.streams.video[0]
        # One decoding thread: the processors are the network's, and decoding overlaps with it.
        self._stream.codec_context.thread_count = 1
        self.source = source
        self.tally = Tally()
        self._lock = threading.Lock()
        self._iterating = False
        self._closed = False

    @property
    def frame_rate(self) -> Fraction | None:
        """The declared average rate; None where the source declares none."""
        rate = self._stream.average_rate
        return Fraction(rate) if rate else None

    @property
    def frame_count(self) -> int | None:
        """How many frames the container says it has; None where it does not say."""
        return self._stream.frames or None

    def __iter__(self) -> Iterator[Frame]:
        """Frames until the source ends; see ``Stream``."""
        with self._lock:
            if self._closed:
                return
            self._iterating = True
        try:
            for frame in self._frames():
                if self._closed:
                    return
                yield frame
        finally:
            with self._lock:
                self._iterating, self._closed = False, True
            self._container.close()

    def close(self) -> None:
        """End iteration at its next frame; free the source."""
        with self._lock:
            already, self._closed = self._closed, True
            if already or self._iterating:
                return
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _frames(self) -> Iterator[Frame]:
        raise NotImplementedError
