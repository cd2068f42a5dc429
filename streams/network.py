"""RTSP and HTTP streams: they play, they time out, they say what went wrong.

Reconnecting is not this module's work. libav's own messages quote the whole URL, password
included, so none of them is passed on: each kind of error has a sentence of ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import av

from oneglance.streams.decoding import AvSource, decoded, upright
from oneglance.streams.errors import (
    SourceBroken,
    SourceNotFound,
    SourceStalled,
    SourceUnreadable,
    StreamError,
)
from oneglance.streams.frame import Frame
from oneglance.streams.redaction import redact

SCHEMES = ("rtsp", "rtsps", "http", "https")

_OPTIONS: dict[str, dict[str, str]] = {
    "rtsp": {"rtsp_transport": "tcp"},  # UDP loses packets and passes few firewalls
    "rtsps": {"rtsp_transport": "tcp"},
}


class NetworkStream(AvSource):
    """A stream behind a URL.

    RTSP is live. HTTP is live when it has no length (MJPEG cameras, endless transport
    streams); a finished file behind HTTP is a recording with its own presentation times.
    Live frames carry the host's monotonic clock at arrival.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect, within ``timeout_s``; reading then waits as long at most for each frame.

        Raises:
            SourceNotFound: no such host or path, or nobody listens there.
            SourceStalled: no answer within ``timeout_s``.
            SourceUnreadable: refused (wrong password), or no video libav can play.
        """
        self._timeout_s = timeout_s
        self._clock = clock
        safe = redact(url)
        scheme = url.split(":", 1)[0].lower()
        try:
            container = av.open(
                url,
                mode="r",
                options=_OPTIONS.get(scheme, {}),
                timeout=(timeout_s, timeout_s),
                metadata_errors="replace",
            )
        except (av.error.FFmpegError, OSError) as error:
            raise _connecting(error, safe, timeout_s) from None
        if not container.streams.video:
            container.close()
            raise SourceUnreadable(f"{safe} has no video in it")
        self.live = scheme.startswith("rtsp") or container.duration is None
        super().__init__(container, safe)

    def _frames(self) -> Iterator[Frame]:
        stream, tally = self._stream, self.tally
        start = stream.start_time or 0
        try:
            for frame in decoded(self._container, stream, tally):
                stamp_s = self._clock()
                if not self.live and frame.pts is not None and frame.time_base is not None:
                    stamp_s = float((frame.pts - start) * frame.time_base)
                yield Frame(upright(frame), tally.delivered, stamp_s, self.source)
                tally.delivered += 1
        except (av.error.FFmpegError, OSError) as error:
            if self._closed:
                return
            raise self._reading(error) from None
        if self.live and not self._closed:
            raise SourceBroken(
                f"{self.source} was ended by the server after {tally.delivered} frames"
            )

    def _reading(self, error: Exception) -> StreamError:
        after = f"after {self.tally.delivered} frames"
        if isinstance(error, av.error.ExitError | av.error.TimeoutError):
            return SourceStalled(
                f"{self.source} gave nothing for {self._timeout_s:g} s, {after}"
            )
        return SourceBroken(f"{self.source} broke {after}: {_kind(error)}")


def _connecting(error: Exception, source: str, timeout_s: float) -> StreamError:
    text = _kind(error)
    if isinstance(error, av.error.ExitError | av.error.TimeoutError):
        return SourceStalled(f"{source} did not answer within {timeout_s:g} s")
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        return SourceUnreadable(f"{source} refused us: the user name or password is wrong or missing")
    if isinstance(error, av.error.HTTPNotFoundError):
        return SourceNotFound(f"{source} is not there: the host answers, the path is unknown")
    if isinstance(error, ConnectionRefusedError):
        return SourceNotFound(f"{source}: nobody listens there (connection refused)")
    if isinstance(error, av.error.InvalidDataError):
        return SourceUnreadable(f"{source} answers, but not with video that can be played")
    return SourceNotFound(f"{source} cannot be reached: {text}")


def _kind(error: Any) -> str:
    """libav's name for the error, without the URL that its message quotes."""
    return str(getattr(error, "strerror", None) or type(error).__name__).lower()
