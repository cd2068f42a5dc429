"""Packets into pictures: what every PyAV source does the same way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from types import TracebackType
from typing import TYPE_CHECKING, Self

import av
from av.video.stream import VideoStream

from oneglance.streams.errors import Reason, SourceUnreadable, UsageError, cause
from oneglance.streams.frame import Frame
from oneglance.streams.planes import DecodedImage, can_convert
from oneglance.streams.timestamps import MonotonicTimestamps

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

_FALLBACK_RATE = Fraction(25)

_DEEPEST_REORDER = 16
"""Frames that may be shown between a packet's decoding and its own frame (H.264 and H.265)."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A frame as it came out of the decoder: its packet ``arrived_s``, and decoding it took
    ``decode_s``, without the wait for the packet."""

    frame: VideoFrame
    arrived_s: float
    decode_s: float


@dataclass(slots=True)
class DecodeStats:
    """What came through the decoder so far.

    ``packets`` read; frames ``delivered``; ``damaged`` frames left out and ``first_damaged``,
    the index of the first of them; ``complaint``: what the decoder has said since the last whole
    frame; ``begin_s`` and ``end_s``: when the first delivered frame begins and the last one ends;
    ``first_waits``: how long after it is decoded the first frame is to be shown, in units of the
    stream's time base.
    """

    packets: int = 0
    delivered: int = 0
    damaged: int = 0
    first_damaged: int | None = None
    first_damaged_s: float = 0.0
    complaint: str = ""
    begin_s: Fraction = Fraction(0)
    end_s: Fraction = Fraction(0)
    first_waits: int | None = None
    _lost: list[int] = field(default_factory=list)

    @property
    def index(self) -> int:
        """Index of the next frame; damaged ones have theirs."""
        return self.delivered + self.damaged

    def note_damage(self) -> None:
        """One frame is lost."""
        if self.first_damaged is None:
            self.first_damaged, self.first_damaged_s = self.index, float(self.end_s)
        self.damaged += 1

    def lose(self, pts: int | None) -> None:
        """The frame of that time is lost; frames before it may still be in the decoder."""
        if pts is None:
            self.note_damage()
            return
        self._lost = sorted([*self._lost, pts])
        if len(self._lost) > _DEEPEST_REORDER:
            self.reach(self._lost[0] + 1)

    def reach(self, pts: int | None) -> None:
        """The frame of that time comes next (None: no more come): count those lost before it."""
        while self._lost and (pts is None or self._lost[0] < pts):
            del self._lost[0]
            self.note_damage()


def pick_video(container: InputContainer, source: str) -> VideoStream:
    """The video stream a player would choose, ready to decode.

    Raises:
        SourceUnreadable: there is none (a cover picture is none), or no decoder for it.
    """
    stream = container.streams.best("video")
    story = ""
    if not isinstance(stream, VideoStream):
        kinds = ", ".join(sorted({s.type for s in container.streams}))
        story = f"has no video in it, only {kinds}" if kinds else "has no frames"
    elif stream.disposition & av.stream.Disposition.attached_pic:
        story = "has no video in it, only a cover picture"
    elif stream.codec_context is None:
        story = "holds video in a coding that cannot be decoded here: convert it to H.264"
    if story:
        raise SourceUnreadable(f"{source} {story}", reason=Reason.CODEC)
    assert isinstance(stream, VideoStream)
    # One decoding thread: the processors are the network's, and decoding overlaps with it.
    stream.codec_context.thread_count = 1
    return stream


def decoded(
    container: InputContainer,
    stream: VideoStream,
    tally: DecodeStats,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Decoded]:
    """Every frame that decodes whole, in presentation order; ``tally`` is kept up to date.

    ``clock``: seconds; what ``Decoded.arrived_s`` is told by.

    A packet or frame that libav marks as damaged, or cannot decode for whatever reason, is
    counted and left out: half a picture is not passed off as one, and costs no other.

    Raises:
        av.error.FFmpegError: the container cannot be read on; what the decoder still held was
            given out first. The caller knows how to name it.
    """
    try:
        for packet in container.demux(stream):
            if packet.size:
                tally.packets += 1
                if tally.first_waits is None:
                    tally.first_waits = (packet.pts or 0) - (packet.dts or 0)
            if packet.is_corrupt:
                tally.lose(packet.pts)
            else:
                yield from _whole(packet.decode, packet.pts, tally, clock)
    except av.error.FFmpegError:
        yield from _whole(lambda: stream.decode(None), None, tally, clock)
        tally.reach(None)
        raise
    tally.reach(None)


def _whole(
    decode: Callable[[], list[VideoFrame]],
    pts: int | None,
    tally: DecodeStats,
    clock: Callable[[], float],
) -> Iterator[Decoded]:
    arrived_s, started = clock(), time.perf_counter()
    try:
        frames = decode()
    except av.error.EOFError:
        return
    except av.error.FFmpegError as error:
        # Not only invalid data: a flipped bit can ask for a kind of picture that libav lacks. Like
        # its own player, go on whatever the decoder says; the next packet may be whole.
        tally.complaint = cause(error)
        tally.lose(pts)
        return
    decode_s = time.perf_counter() - started
    for frame in frames:
        if frame.pts is not None:
            tally.reach(frame.pts)
        if frame.is_corrupt:
            tally.note_damage()
        else:
            tally.complaint = ""
            yield Decoded(frame, arrived_s, decode_s / len(frames))


class AvSource:
    """The shared half of files, cameras and network streams.

    The container belongs to whichever thread iterates: ``close()`` from another only asks, and
    iteration ends at its next frame. A source that nobody iterates is closed at once.
    """

    live = False

    def __init__(self, container: InputContainer, source: str) -> None:
        """Take over an open container, and close it when it is of no use.

        Raises:
            SourceUnreadable: it has no video, or none that can be decoded.
        """
        self._container = container
        try:
            self._stream = pick_video(container, source)
        except SourceUnreadable:
            container.close()
            raise
        # Unmeasured, as live streams are, the rate is what the coding itself declares.
        rate = self._stream.average_rate or self._stream.codec_context.framerate
        self.source = source
        self.frame_rate: Fraction | None = Fraction(rate) if rate else None
        self.frame_count: int | None = self._stream.frames or None
        self.tally = DecodeStats()
        self._start_s = _start_s(container)
        self._lock = threading.Lock()
        self._iterating = False
        self._played = False
        self._closed = False

    def __iter__(self) -> Generator[Frame]:
        """Frames until the source ends; see ``Stream``.

        Raises:
            StreamError: the source broke.
            UsageError: it has been iterated before.
        """
        with self._lock:
            if self._played:
                raise UsageError(f"{self.source} was played already: open it again")
            if self._closed:
                return
            self._iterating = self._played = True
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
        self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _period_s(self) -> float:
        return float(1 / (self.frame_rate or _FALLBACK_RATE))

    def _release(self) -> None:
        self._container.close()

    def _frames(self) -> Iterator[Frame]:
        raise NotImplementedError

    def _presented(self) -> Iterator[Frame]:
        """Frames at their presentation times, counted from the start of the container.

        Counting from there and not from the first picture keeps a video that begins after its
        sound where it belongs. A frame without a time follows the one before it, and so does one
        whose time runs back.
        """
        tally = self.tally
        steady = MonotonicTimestamps(self._period_s)
        period = 1 / (self.frame_rate or _FALLBACK_RATE)
        for got in decoded(self._container, self._stream, tally):
            frame = got.frame
            at_s, lasts_s = tally.end_s, period
            if frame.time_base is not None:
                if frame.pts is not None:
                    at_s = frame.pts * frame.time_base - self._start_s - self._late_s()
                if frame.duration:
                    lasts_s = frame.duration * frame.time_base
            index = tally.index
            if not tally.delivered:
                tally.begin_s = at_s
            tally.delivered += 1
            tally.end_s = at_s + lasts_s
            yield self._frame(got, index, steady.steady(float(at_s)))

    def _late_s(self) -> Fraction:
        """How late libav has every frame of an AVI, which holds decoding times alone: its
        players show the first frame when it is decoded, also where frames wait for later ones.
        """
        if self._container.format.name != "avi" or not self.tally.first_waits:
            return Fraction(0)
        return self.tally.first_waits * Fraction(self._stream.time_base or 0)

    def _stamped(self, clock: Callable[[], float]) -> Iterator[Frame]:
        """Frames at the time ``clock`` shows when they arrive, before they are decoded."""
        tally = self.tally
        for got in decoded(self._container, self._stream, tally, clock):
            index = tally.index
            tally.delivered += 1
            yield self._frame(got, index, got.arrived_s)

    def _frame(self, got: Decoded, index: int, at_s: float) -> Frame:
        """``got``, not converted yet.

        Raises:
            SourceUnreadable: libav cannot convert its pixels.
        """
        frame = got.frame
        if not can_convert(frame.format.name):
            raise SourceUnreadable(
                f"{self.source} holds pixels that cannot be converted here ({frame.format.name}): "
                "convert it to H.264",
                reason=Reason.CODEC,
            )
        return Frame(DecodedImage(frame), index, at_s, self.source, decode_s=got.decode_s)


def _start_s(container: InputContainer) -> Fraction:
    """When the container's sound or video begins, exactly (libav rounds its own figure to µs)."""
    starts = [
        stream.start_time * Fraction(stream.time_base)
        for stream in (*container.streams.video, *container.streams.audio)
        if stream.start_time is not None and stream.time_base is not None
    ]
    return min(starts, default=Fraction(0))
