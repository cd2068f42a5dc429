"""RTSP, HTTP and UDP streams: they play, they time out, they say what went wrong.

Coming back after a failure is ``reconnecting``'s work. libav's own messages quote the whole
URL, password included, so none of them is passed on: each kind of error has a sentence of ours.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import av

from oneglance.streams.errors import (
    Reason,
    SourceBroken,
    SourceNotFound,
    SourceStalled,
    SourceUnreadable,
    StreamError,
    cause,
)
from oneglance.streams.files.integrity import broken, check_integrity
from oneglance.streams.frame import Frame
from oneglance.streams.hardware import hardware, incompatible
from oneglance.streams.live.connectivity import why_unreachable
from oneglance.streams.live.threaded import ThreadedSource, opened_within
from oneglance.streams.options import ConnectOptions
from oneglance.streams.pacing import RealTimePacer
from oneglance.streams.redaction import redact_address
from oneglance.streams.timestamps import MonotonicTimestamps

# Measuring the rate first would hold back the first seconds of a live stream.
_AT_ONCE = {"fpsprobesize": "0"}
# A playlist is a list of addresses that a stranger wrote: none may lead into our own files.
_HTTP = {**_AT_ONCE, "protocol_whitelist": "http,https,httpproxy,tcp,tls,crypto,data"}
# What comes while the decoder is busy waits in a ring of 188-byte packets; one that overflows
# loses packets and not the stream.
_UDP = {**_AT_ONCE, "fifo_size": "28672", "overrun_nonfatal": "1"}
_OPTIONS = {"rtsp": _AT_ONCE, "rtsps": _AT_ONCE, "http": _HTTP, "https": _HTTP, "udp": _UDP}

_HLS_GAP_S = 10.0
"""A leap in a playlist's times of more than this is a splice and no pause."""


class NetworkStream(ThreadedSource):
    """A stream behind a URL.

    RTSP and MPEG-TS over UDP are live. HTTP is live when it has no length (MJPEG cameras,
    endless transport streams, HLS playlists without an end); a finished file behind HTTP is a
    recording with its own presentation times.
    Live frames carry the host's monotonic clock at arrival; those that came while libav was
    still finding out what it is given (RTSP: a third of a second) count as arriving then. HLS
    comes in whole segments, so its frames are let through at the pace of their own times.
    """

    def __init__(
        self,
        url: str,
        options: ConnectOptions | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect, within the options' ``timeout_s``; iterating then waits as long at most for
        the first frame and ``stall_s`` for each other.

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
        opening = _Opening(url, options)
        try:
            container = opened_within(options.timeout_s, opening.open)
        except (av.error.FFmpegError, OSError) as error:
            raise _unopened(error, url, safe, options.timeout_s) from None
        self.live = opening.scheme.startswith(("rtsp", "udp")) or container.duration is None
        self._is_segmented = container.format.name == "hls"
        super().__init__(container, safe, options)

    def _frames(self) -> Iterator[Frame]:
        try:
            yield from self._arriving() if self.live else self._presented()
        except (av.error.FFmpegError, OSError) as error:
            raise self._lost(error) from None
        if self._closed:
            return
        if self.live:
            raise SourceBroken(
                f"{self.source} was ended by the server after {self.tally.delivered} frames",
                reason=Reason.ENDED,
            )
        check_integrity(self.source, self._stream, self.tally)

    def _arriving(self) -> Iterator[Frame]:
        if not self._is_segmented:
            yield from self._stamped(self._clock)
            return
        pace, steady = (
            RealTimePacer(self._clock),
            MonotonicTimestamps(self._period_s, longest_gap_s=_HLS_GAP_S),
        )
        for frame in self._presented():
            pace.wait_for(steady.steady(frame.timestamp_s), self._halt)
            yield frame.changed(timestamp_s=self._clock())

    def _lost(self, error: av.error.FFmpegError | OSError) -> StreamError:
        if isinstance(error, av.error.ExitError | TimeoutError):
            return SourceStalled(self._silence(), reason=Reason.SILENT)
        hung_up = error.errno in (errno.EIO, errno.ECONNRESET, errno.EPIPE)
        why = "the server hung up" if hung_up else cause(error)
        if not self.live:
            return broken(self.source, self._stream, self.tally, why)
        return SourceBroken(
            f"{self.source} was lost after {self.tally.delivered} frames: {why}",
            reason=Reason.LOST,
        )


@dataclass(frozen=True, slots=True)
class _Opening:
    url: str
    asked: ConnectOptions

    @property
    def scheme(self) -> str:
        return self.url.split(":", 1)[0]

    def open(self) -> av.container.InputContainer:
        options = dict(_OPTIONS[self.scheme])
        if self.scheme.startswith("rtsp"):
            options["rtsp_transport"] = str(self.asked.transport)
        accelerator = hardware(self.asked.hwaccel)
        try:
            return av.open(
                self.url,
                mode="r",
                options=options,
                timeout=(self.asked.timeout_s, max(self.asked.timeout_s, self.asked.stall_s)),
                metadata_errors="replace",
                hwaccel=accelerator,
            )
        except RuntimeError:
            if accelerator is None:
                raise
            raise incompatible(redact_address(self.url)) from None


_Kinds = tuple[type[Exception], ...]

_UNOPENED: tuple[tuple[_Kinds, type[StreamError], Reason, str], ...] = (
    (
        (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError),
        SourceUnreadable,
        Reason.AUTH,
        "{source} refused us: its user name or password is wrong or missing",
    ),
    (
        (av.error.HTTPNotFoundError,),
        SourceNotFound,
        Reason.NOT_FOUND,
        "{source} is not there: the host answers, the path is unknown",
    ),
    (
        (av.error.HTTPError, av.error.HTTPClientError),
        SourceUnreadable,
        Reason.SERVER,
        "{source} cannot be had: {kind}",
    ),
    (
        (ConnectionRefusedError,),
        SourceNotFound,
        Reason.REFUSED,
        "{source}: nobody listens there (connection refused)",
    ),
    (
        (av.error.InvalidDataError, EOFError),
        SourceUnreadable,
        Reason.CODEC,
        "{source} answers, but not with video that can be played",
    ),
)

_UNREACHED = {
    Reason.NOT_FOUND: "{source} cannot be reached: no host of that name is known",
    Reason.REFUSED: "{source}: nobody listens there (connection refused)",
    Reason.TIMEOUT: "{source} cannot be reached: the host does not answer",
    Reason.TLS: "{source} answers, but not with TLS: is it rtsp:// or http:// without the s?",
    Reason.UNREACHABLE: "{source} cannot be reached: there is no way to the host",
    Reason.UNKNOWN: "{source} cannot be opened: {kind}",
}

# Without an @, at which a later redaction would take all before it for a password.
_ESCAPING_HINT = " (a password's at sign / : ? # are written %40 %2F %3A %3F %23)"

_KNOCK_S = 2.0
"""Longest wait for an answer when finding out why a host could not be reached."""


def _unopened(error: Exception, url: str, source: str, timeout_s: float) -> StreamError:
    if isinstance(error, av.error.ExitError | TimeoutError):
        story = f"{source} did not answer within {timeout_s:g} s"
        return SourceStalled(story, reason=Reason.TIMEOUT)
    known = next((row[1:] for row in _UNOPENED if isinstance(error, row[0])), None)
    # libav calls an RTSP host that it cannot reach invalid data.
    if known is None or known[1] is Reason.CODEC:
        reason = why_unreachable(url, min(timeout_s, _KNOCK_S))
        if known is None or reason is not Reason.UNKNOWN:
            known = SourceNotFound, reason, _UNREACHED[reason]
    meant, reason, sentence = known
    hint = _ESCAPING_HINT if meant is SourceNotFound and "***@" in source else ""
    return meant(sentence.format(source=source, kind=cause(error)) + hint, reason=reason)
