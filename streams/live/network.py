"""RTSP, HTTP and UDP streams: they play, they time out, they say what went wrong.

Coming back after a failure is ``reconnecting``'s work. libav's own messages quote the complete
URL, password included, so none of them is passed on: each error has a sentence of ours.
"""

from __future__ import annotations

import errno
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, cast

import av

from oneglance.streams.decoding.accounting import DecodedFrame
from oneglance.streams.decoding.loss_marks import LossCount
from oneglance.streams.decoding.options import OF_PARTS
from oneglance.streams.decoding.tracks import shown_frames
from oneglance.streams.errors import (
    Reason,
    SourceBroken,
    SourceStalled,
    SourceUnreadable,
    StreamError,
    cause,
)
from oneglance.streams.files.integrity import broken, check_integrity
from oneglance.streams.frame import Frame
from oneglance.streams.live.answers import HttpAnswer
from oneglance.streams.live.connectivity import unopened
from oneglance.streams.live.hls.finished_playlist import FinishedPlaylist, is_finished, keep_only
from oneglance.streams.live.opener import REACHABLE, Opener
from oneglance.streams.live.repetition import Compared, Repetition
from oneglance.streams.live.threaded import Answer, ThreadedSource, opened_within
from oneglance.streams.options import ConnectOptions
from oneglance.streams.pacing import RealTimePacer
from oneglance.streams.redaction import redact_address
from oneglance.streams.timestamps import MonotonicTimestamps

if TYPE_CHECKING:
    from av.container import InputContainer

logger = logging.getLogger(__name__)

_HLS_GAP_S = 10.0
"""A leap in a playlist's times of more than this is a splice and no pause."""

_INDEX_LAST = (
    "An MP4 whose index lies at its end plays from servers alone that give parts of a file "
    "(ranges): copy it here, or move its index with ffmpeg's -movflags +faststart"
)


class NetworkStream(ThreadedSource):
    """A stream behind a URL.

    RTSP and MPEG-TS over UDP are live. HTTP is live when it has no length (MJPEG cameras,
    endless transport streams, HLS playlists without an end); a finished file behind HTTP is a
    recording with its own presentation times. One of which the server gives no length is live,
    until it gives the same again (``compare``), or somebody says what it is (``record``).
    Live frames carry the host's monotonic clock at arrival; those that came while libav was
    still finding out what it is given (RTSP: a third of a second) count as arriving then. HLS
    comes in complete segments, so its frames are let through at the pace of their own times.

    RTP packets that get lost on the way are noticed by their numbers (``live.rtsp``).
    """

    def __init__(
        self,
        url: str,
        options: ConnectOptions | None = None,
        *,
        reads_here: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect, within the options' ``timeout_s``; iterating then waits as long at most for
        the first frame and ``stall_s`` for each other. ``reads_here``: see ``Opener``.

        Raises:
            SourceNotFound: no such host or path, or nobody listens there.
            SourceStalled: no answer within ``timeout_s``.
            SourceUnreadable: refused (wrong password), or no video libav can play.
            UsageError: an accelerator that cannot be used.
        """
        self._clock = clock
        safe = redact_address(url)
        options = options or ConnectOptions()
        scheme, rest = url.split(":", 1)
        url = f"{scheme.lower()}:{rest}"  # libav knows no other
        opener = Opener(url, options, reads_here)
        try:
            container = opened_within(options.timeout_s, opener.open, release=opener.close)
        except (av.error.FFmpegError, OSError) as error:
            raise unopened(error, url, safe, options.timeout_s) from None
        self.live = opener.scheme.startswith(("rtsp", "udp")) or _is_endless(container)
        self._is_segmented = container.format.name == "hls"
        self._playlist: FinishedPlaylist | None = None
        self._repetition: Repetition | None = None
        self._may_end, self._known_left_out = False, 0
        self._url, self._options, self._opener = url, options, opener
        try:
            super().__init__(container, safe, options)
        except BaseException:
            opener.close()
            raise
        if self._is_segmented:
            keep_only(container, self._stream)

    def compare(self, repetition: Repetition) -> None:
        """Leave out what the connection before gave, and end where nothing else comes: it was a
        recording. For an address without a length, before iteration; others know their end.

        Images of an answer in parts (MJPEG) are a recording's where they come again, and the
        answer ends as it announced: by its length, its last chunk or its closing boundary.
        """
        if self.live and self._is_plain_http():
            self._repetition = repetition
            repetition.awaits_end = True

    def record(self) -> None:
        """Play what comes as a recording, whether or not a length says so: its frames have the
        times that it gives them (images in parts have none), and it may end. Before iteration; of
        HTTP alone.
        """
        if self.live and self._is_plain_http():
            self.live, self._may_end = self._is_images, True
            if self._opener.may_read(self._container) and self._opener.ending is None:
                self._read_here()

    def _is_plain_http(self) -> bool:
        """Whether the answer is one recording, stream or camera, and no playlist."""
        return self._opener.scheme.startswith("http") and not self._is_segmented

    @property
    def _is_images(self) -> bool:
        return self._container.format.name == OF_PARTS

    def _read_here(self) -> None:
        """Read it from its beginning such that its end is known for one, where that can be."""

        def discard(late: tuple[InputContainer, HttpAnswer]) -> None:
            late[0].close()
            late[1].close()

        reading = Answer(
            lambda: self._opener.read_here(self._container.format.name), discard=discard
        )
        try:
            container, answer = reading.within(self._options.timeout_s)
        except (av.error.FFmpegError, OSError):
            return
        try:
            self._go_on_with(container)
        except SourceUnreadable:
            answer.close()
        else:
            self._opener.answer = answer

    @property
    def left_out(self) -> int:
        """See ``AvSource``; of what was given before, none."""
        return 0 if self._repeats() else super().left_out - self._known_left_out

    def _free(self) -> None:
        super()._free()
        self._opener.close()

    def _packets(self) -> InputContainer:
        if self._repetition is None:
            return super()._packets()
        shows_end = self._opener.ending is not None
        self._repetition.begin(is_timed=not self._is_images, shows_end=shows_end)
        compared = Compared(
            self._container,
            self._repetition,
            has_ended=self._has_ended,
            clock=self._clock,
        )
        return cast("InputContainer", compared)

    def _decoded(self, clock: Callable[[], float]) -> Iterator[DecodedFrame]:
        """Frames that are new, counted from the first of them."""
        known = 0
        for got in super()._decoded(clock):
            if self._repeats():
                known, self._known_left_out = got.index + 1, super().left_out
            else:
                yield replace(got, index=got.index - known) if known else got

    def _repeats(self) -> bool:
        return self._repetition is not None and self._repetition.is_sure

    _is_busy = _repeats

    def _frames(self) -> Iterator[Frame]:
        try:
            if self.live:
                yield from self._arriving()
            elif self._is_segmented:
                yield from self._listed()
            else:
                yield from self._presented()
            self._check_answer()
            if self._repetition is not None:
                self._repetition.has_ended = True
        except (av.error.FFmpegError, OSError) as error:
            failure = self._failure or error
            # Where no length is declared, hanging up is how an answer ends.
            came_whole = self._is_still() or self._came_whole() or self._came_again()
            if not (failure.errno == errno.EIO and came_whole):
                raise self._lost(failure) from None
        if self._closed:
            return
        if self._came_again():
            logger.info("%s gave the same again: a recording, which has ended", self.source)
            self.live = False
            return
        if self._is_still() or self._may_end:
            self.live = False
        if self.live and self._is_segmented and self._is_finished():
            # Fetched again, it would be played once more from its beginning.
            logger.info("%s: its playlist says that it has ended", self.source)
            self.live = False
            return
        if self.live:
            raise SourceBroken(
                f"{self.source} was ended by the server after {self.stats.delivered} frames",
                reason=Reason.ENDED,
            )
        if self._playlist is not None:
            self._playlist.check(self.source, self.stats)
        check_integrity(self.source, self._stream, self.stats, expected=self._shown_frames())

    @property
    def _failure(self) -> OSError | None:
        """What the answer came to instead of an end, as far as that is known."""
        answer = self._opener.ending
        return None if answer is None else answer.failure

    def _has_ended(self) -> bool:
        answer = self._opener.ending
        return answer is not None and answer.is_over

    def _check_answer(self) -> None:
        """Hold what ended to what the server had announced.

        Raises:
            OSError: it is not all, or may not be.
        """
        if self._failure is not None:
            raise self._failure

    def _split_anew(self, error: av.error.FFmpegError) -> None:
        """Go on with a stream that libav's own reader of MJPEG cannot make out.

        Raises:
            av.error.FFmpegError: ``error`` itself, where that is not what is wrong.
        """
        if not self._is_images or self._opener.is_split:
            raise error
        try:
            container = self._opener.split()
        except (av.error.FFmpegError, OSError):
            raise error from None
        self._go_on_with(container)

    def _is_over(self) -> bool:
        """Whether what libav cannot make out is that no more images follow."""
        if not self._is_images:
            return False
        try:
            return not any(packet.size for packet in self._container.demux(self._stream))
        except (av.error.FFmpegError, OSError):
            return False

    def _is_still(self) -> bool:
        """Whether one image lay there, and no camera."""
        is_image = self._container.format.name.endswith("_pipe")
        return is_image and self.stats.produced == 1

    def _is_finished(self) -> bool:
        patience_s = min(self._options.timeout_s, self._options.stall_s)
        return is_finished(self._url, self._stream, REACHABLE, timeout_s=patience_s)

    def _came_again(self) -> bool:
        """Whether all that the connection before gave came again, and nothing else."""
        return self._repetition is not None and self._repetition.is_whole

    def _came_whole(self) -> bool:
        """Whether as many frames came as a recording of no length in bytes has by its header."""
        duration = self._container.duration
        if self.live or self._is_segmented or self._container.size > 0 or duration is None:
            return False
        if self._container.format.name == "flv":  # which declares when it ends, and no length
            duration -= self._container.start_time or 0
        length_s = duration / av.time_base
        if self._stream.frames:
            return self.stats.packets >= self._shown_frames()
        return self.stats.produced >= max(1, round(length_s / self._period_s))

    def _shown_frames(self) -> int:
        """Frames that are to come of a recording, as far as it says so; 0: it does not."""
        open_ = partial(opened_within, self._options.timeout_s, self._opener.open_unedited)
        try:
            return shown_frames(self._stream, open_)
        except (av.error.FFmpegError, OSError):
            return self._stream.frames

    def _listed(self) -> Iterator[Frame]:
        """Frames at the times of their playlist, also after a part of it that is missing."""
        length_s = (self._container.duration or 0) / av.time_base
        patience_s = min(self._options.timeout_s, self._options.stall_s)
        playlist = self._playlist = FinishedPlaylist(
            self._url, self._stream, length_s, REACHABLE, timeout_s=patience_s
        )
        last_s = -math.inf
        while True:
            for frame in self._presented():
                time_s = playlist.coverage.place(frame.timestamp_s)
                last_s = max(time_s, math.nextafter(last_s, math.inf))
                yield frame.changed(timestamp_s=last_s)
            rest = None if self._closed else playlist.rest()
            if rest is None:
                return
            try:
                self._go_on_with(self._opener.open_list(rest))
            except (av.error.FFmpegError, OSError, SourceUnreadable):
                return  # what is missing is reported all the same

    def _loss_count(self) -> LossCount | None:
        relay = self._opener.relay
        return None if relay is None else relay.losses

    def _silence(self) -> str:
        message = super()._silence()
        return (
            message
            if self._playlist is None
            else f"{message}; {self._playlist.missing(self.stats)}"
        )

    def _arriving(self) -> Iterator[Frame]:
        if not self._is_segmented:
            try:
                yield from self._stamped(self._clock)
            except av.error.InvalidDataError as error:
                if self._is_over():
                    return
                self._split_anew(error)
                yield from self._stamped(self._clock)
            return
        pace, times = (
            RealTimePacer(self._clock),
            MonotonicTimestamps(self._period_s, longest_gap_s=_HLS_GAP_S),
        )
        for frame in self._presented():
            pace.wait_for(times.next_s(frame.timestamp_s), self._halt)
            yield frame.changed(timestamp_s=self._clock())

    def _lost(self, error: av.error.FFmpegError | OSError) -> StreamError:
        if isinstance(error, av.error.ExitError | TimeoutError):
            return SourceStalled(self._silence(), reason=Reason.SILENT)
        hung_up = error.errno in (errno.EIO, errno.ECONNRESET, errno.EPIPE)
        why = "the server hung up" if hung_up else cause(error)
        if error is self._failure and not (hung_up and self._is_images):
            why = error.strerror or why
        if self._came_again():
            self.live = False
            message = (
                f"{self.source} ends too early, after {self.stats.delivered} frames: {why}, and at "
                "the same place as before"
            )
            return SourceBroken(message, reason=Reason.LOST)
        if not self.live:
            is_mp4 = self._container.format.name.startswith("mov")
            cannot_seek = hung_up or self._opener.answer is not None
            if is_mp4 and cannot_seek and not self.stats.packets:
                message = f"{self.source} gave no frame before the server hung up. {_INDEX_LAST}"
                return SourceUnreadable(message, reason=Reason.LOST)
            if self._playlist is not None:
                why += f"; {self._playlist.missing(self.stats)}"
            return broken(self.source, self._stream, self.stats, why)
        return SourceBroken(
            f"{self.source} was lost after {self.stats.delivered} frames: {why}",
            reason=Reason.LOST,
        )


def _is_endless(container: av.container.InputContainer) -> bool:
    """Whether what HTTP brings has no end that is known: neither a duration nor a size. Cameras
    are known to claim a size, though."""
    if container.duration is not None:
        return False
    return container.size <= 0 or container.format.name in {OF_PARTS, "hls"}
