"""What every PyAV source does the same way: frames at their times, until it ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, cast

from av.video.stream import VideoStream

from oneglance.streams.decoding.accounting import DecodedFrame, DecodeStats
from oneglance.streams.decoding.loss_marks import LossCount
from oneglance.streams.decoding.options import DecodeOptions, FindLoss
from oneglance.streams.decoding.packets import FrameDecoder
from oneglance.streams.decoding.parts import (
    Part,
    PartPackets,
    SeenPart,
    find_parts,
    known_duration_s,
    split_points,
)
from oneglance.streams.decoding.planes import DecodedImage, can_convert
from oneglance.streams.decoding.tracks import choose_track
from oneglance.streams.errors import Reason, SourceUnreadable, UsageError
from oneglance.streams.files.avi_index import AviIndex
from oneglance.streams.files.gif import GifImages
from oneglance.streams.files.integrity import declared_end
from oneglance.streams.files.layout import Look
from oneglance.streams.frame import Frame
from oneglance.streams.options import ConnectOptions
from oneglance.streams.playing import PlayedOnce
from oneglance.streams.timestamps import MonotonicTimestamps

if TYPE_CHECKING:
    from av.container import InputContainer

logger = logging.getLogger(__name__)

_FALLBACK_RATE = Fraction(25)

_RAW = frozenset(
    ("h261", "h263", "h264", "hevc", "vvc", "mjpeg", "m4v", "mpegvideo", "cavsvideo", "vc1", "obu")
)
"""Formats that are a coding alone: they have no times, and libav gives them a rate of its own."""
_PIPE = "_pipe"
"""What names of formats end with that are images of one kind, one behind the other: likewise."""


def pick_video(container: InputContainer, source: str, number: int | None = None) -> VideoStream:
    """The video stream that ``choose_track`` chooses, ready to decode.

    Raises:
        SourceUnreadable: there is none (a cover image is none), or no decoder for it.
        UsageError: there is none of that ``number``.
    """
    stream = choose_track(container, source, number)
    # One decoding thread: the CPUs are the network's, and decoding overlaps with it.
    stream.codec_context.thread_count = 1
    return stream


class AvSource(PlayedOnce):
    """The shared half of files, cameras and network streams.

    ``created``: when the container says it was recorded, as it is written there.
    """

    live = False

    def __init__(
        self,
        container: InputContainer,
        source: str,
        options: ConnectOptions | None = None,
        *,
        number: int | None = None,
    ) -> None:
        """Take over an open container, and close it when it is of no use.

        Raises:
            SourceUnreadable: it has no video, or none that can be decoded.
            UsageError: it has none of that ``number``; see ``choose_track``.
        """
        super().__init__()
        self._container = container
        try:
            self._stream = pick_video(container, source, number)
        except (SourceUnreadable, UsageError):
            container.close()
            raise
        self._asked = options or ConnectOptions()
        self._is_raw = container.format.name in _RAW or container.format.name.endswith(_PIPE)
        self.source = source
        self.frame_rate: Fraction | None = self._rate()
        self.frame_count: int | None = self._stream.frames or None
        self.stats = DecodeStats()
        self._start_s = _start_s(container)
        self._part: PartPackets | None = None
        self.created: str | None = container.metadata.get("creation_time")

    def cuts_s(self, limit_s: float, *, most: int | None = None) -> list[float]:
        """Where ``parts`` may cut it, in seconds: into parts of ``limit_s``, and ``most`` of them.
        Empty: it is shorter, or of no declared length, or cannot be played in parts.
        """
        duration_s = known_duration_s(self._container, self._stream)
        return [] if duration_s is None else split_points(duration_s, limit_s, most)

    def parts(self, cuts_s: Sequence[float]) -> list[Part]:
        """Parts that begin at key frames near ``cuts_s``; fewer than two where there are none. The
        source is at another place then: open it again to play it.
        """
        return find_parts(self._container, self._stream, cuts_s)

    def confine(self, part: Part) -> SeenPart:
        """Play that part alone, whose frames are counted from 0; before the first frame. What is
        returned is complete when it has been played.
        """
        self._part = PartPackets(self._container, self._stream, part)
        return self._part.seen

    @property
    def left_out(self) -> int:
        """Frames that it produced so far and did not give."""
        return self.stats.left_out

    def _rate(self) -> Fraction | None:
        """What the source declares, or where it does not, what the caller asked for."""
        # Unmeasured, as live streams are, the rate is what the coding itself declares.
        coded = self._stream.codec_context.framerate
        if not self._is_raw:
            return self._stream.average_rate or coded or None
        asked = self._asked.fps  # libav's own default is no declaration
        return coded or (Fraction(asked).limit_denominator(1001) if asked else None)

    @property
    def _period_s(self) -> float:
        return float(1 / (self.frame_rate or _FALLBACK_RATE))

    def _go_on_with(self, container: InputContainer, number: int | None = None) -> None:
        """Play another container in place of the one that came to its end, or cannot be used.

        Raises:
            SourceUnreadable: it has no video, or none that can be decoded.
        """
        try:
            stream = pick_video(container, self.source, number)
        except (SourceUnreadable, UsageError):
            container.close()
            raise
        self._container.close()
        self._container, self._stream, self._start_s = container, stream, _start_s(container)

    def _free(self) -> None:
        self._container.close()

    def _presented(self) -> Iterator[Frame]:
        """Frames at their presentation times, counted from the start of the container.

        Counting from there and not from the first frame keeps a video that begins after its
        sound where it belongs. A frame without a time follows the one before it, and so does one
        whose time runs back.
        """
        stats = self.stats
        times = MonotonicTimestamps(self._period_s)
        period = 1 / (self.frame_rate or _FALLBACK_RATE)
        for got in self._decoded(time.perf_counter):
            if stats.delivered == 2 and self.frame_rate is None and self._is_raw:
                logger.warning(
                    "%s does not say how many frames it has a second: %d are assumed (fps says it)",
                    self.source,
                    _FALLBACK_RATE,
                )
            timestamp_s, lasts_s, unit = stats.end_s, period, self._stream.time_base
            if self._is_raw:  # nor has it times
                timestamp_s = got.index * period
            elif unit is not None:
                if got.pts is not None:
                    start_s = 0 if stats.is_start_lost else self._start_s
                    timestamp_s = got.pts * unit - start_s
                if got.frame.duration:
                    lasts_s = got.frame.duration * unit
            if stats.delivered == 1:
                stats.begin_s = timestamp_s
            stats.end_s = timestamp_s + lasts_s
            yield self._frame(got, times.next_s(float(timestamp_s)))

    def _stamped(self, clock: Callable[[], float]) -> Iterator[Frame]:
        """Frames at the time ``clock`` shows when they arrive, before they are decoded."""
        for got in self._decoded(clock):
            yield self._frame(got, got.arrival_s)

    def _decoded(self, clock: Callable[[], float]) -> Iterator[DecodedFrame]:
        options = DecodeOptions(
            joins=self.live,
            damaged=self._asked.damaged,
            clock=clock,
            find_loss=self._find_loss(),
            look=self._look(),
            index=self._index(),
            losses=self._loss_count(),
            is_cut=self._is_cut(),
            ends_early=self._ends_early,
            find_end=self._find_end,
        )
        if self._part is None:
            packets = self._packets()
            if packets.format.name == "gif":
                packets = cast("InputContainer", GifImages(packets, self.source, self.stats))
            return iter(FrameDecoder(packets, self._stream, self.stats, options))
        # What leads the key frame that it begins at is none of its frames.
        options = replace(options, joins=True)
        part = cast("InputContainer", self._part)
        decoder = FrameDecoder(part, self._stream, self.stats, options)
        return self._part.frames(iter(decoder), self.stats)

    def _packets(self) -> InputContainer:
        """What the packets come from."""
        return self._container

    def _find_loss(self) -> FindLoss | None:
        """What looks up which bytes were lost, where they can be had."""
        return None

    def _look(self) -> Look | None:
        """What looks up what the container itself shows to be wrong with it."""
        return None

    def _index(self) -> AviIndex | None:
        """Which frames of an AVI lie where."""
        return None

    def _is_cut(self) -> bool:
        """Whether its last packet is known to be one in part, which libav does not say."""
        return False

    def _ends_early(self) -> bool:
        """Whether it came to its end before all of its frames did; asked at its end."""
        return False

    def _find_end(self) -> int | None:
        """When it should end, in units of its time base; asked at its end."""
        return declared_end(self._stream)

    def _loss_count(self) -> LossCount | None:
        """What is lost, where the source marks it among the frames' bytes."""
        return None

    def _frame(self, got: DecodedFrame, timestamp_s: float) -> Frame:
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
        return Frame(
            DecodedImage(frame),
            got.index,
            timestamp_s,
            self.source,
            damaged=got.damaged,
            decode_s=got.decode_s,
        )


def _start_s(container: InputContainer) -> Fraction:
    """When the container's sound or video begins, exactly (libav rounds its own figure to µs)."""
    starts = [
        stream.start_time * Fraction(stream.time_base)
        for stream in (*container.streams.video, *container.streams.audio)
        if stream.start_time is not None and stream.time_base is not None
    ]
    return min(starts, default=Fraction(0))
