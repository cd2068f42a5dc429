"""RTSP and HTTP streams: they play, they time out, they say what went wrong.

Reconnecting is not this module's work. libav's own messages quote the whole URL, password
included, so none of them is passed on: each kind of error has a sentence of ours.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator

import av

from oneglance.streams.errors import (
    SourceBroken,
    SourceNotFound,
    SourceStalled,
    SourceUnreadable,
    StreamError,
)
from oneglance.streams.frame import Frame
from oneglance.streams.redaction import redact
from oneglance.streams.stream import check_timeout
from oneglance.streams.watched import WatchedSource, opened_within
from oneglance.streams.wholeness import broken, check_whole

_RTSP = {
    "rtsp_transport": "tcp",  # UDP loses packets and passes few firewalls
    "fpsprobesize": "0",  # measuring a live rate first would hold back the first second of it
}
# A playlist is a list of addresses that a stranger wrote: none may lead into our own files.
_HTTP = {"protocol_whitelist": "http,https,httpproxy,tcp,tls,crypto,data"}
_OPTIONS = {"rtsp": _RTSP, "rtsps": _RTSP, "http": _HTTP, "https": _HTTP}

SCHEMES = tuple(_OPTIONS)


class NetworkStream(WatchedSource):
    """A stream behind a URL.

    RTSP is live. HTTP is live when it has no length (MJPEG cameras, endless transport
    streams); a finished file behind HTTP is a recording with its own presentation times.
    Live frames carry the host's monotonic clock at arrival; those that came while libav was
    still finding out what it is given (RTSP: a third of a second) count as arriving then.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect, within ``timeout_s``; iterating then waits as long at most for each frame.

        Raises:
            SourceNotFound: no such host or path, or nobody listens there.
            SourceStalled: no answer within ``timeout_s``.
            SourceUnreadable: refused (wrong password), or no video libav can play.
            UsageError: a time-out of zero or less, or without end.
        """
        self._clock = clock
        safe = redact(url)
        scheme, rest = url.split(":", 1)
        scheme = scheme.lower()  # libav knows no other
        check_timeout(timeout_s)
        try:
            container = opened_within(
                timeout_s, lambda: _open(f"{scheme}:{rest}", _OPTIONS[scheme], timeout_s)
            )
        except (av.error.FFmpegError, OSError) as error:
            raise _unopened(error, safe, timeout_s) from None
        self.live = scheme.startswith("rtsp") or container.duration is None
        super().__init__(container, safe, timeout_s=timeout_s)

    def _frames(self) -> Iterator[Frame]:
        try:
            yield from self._stamped(self._clock) if self.live else self._presented()
        except (av.error.FFmpegError, OSError) as error:
            raise self._lost(error) from None
        if self._closed:
            return
        if self.live:
            raise SourceBroken(
                f"{self.source} was ended by the server after {self.tally.delivered} frames"
            )
        check_whole(self.source, self._stream, self.tally)

    def _lost(self, error: av.error.FFmpegError | OSError) -> StreamError:
        if isinstance(error, av.error.ExitError | TimeoutError):
            return SourceStalled(self._silence())
        hung_up = error.errno in (errno.EIO, errno.ECONNRESET, errno.EPIPE)
        why = "the server hung up" if hung_up else _kind(error)
        if not self.live:
            return broken(self.source, self._stream, self.tally, why)
        return SourceBroken(f"{self.source} was lost after {self.tally.delivered} frames: {why}")


def _open(url: str, options: dict[str, str], timeout_s: float) -> av.container.InputContainer:
    return av.open(
        url, mode="r", options=options, timeout=(timeout_s, timeout_s), metadata_errors="replace"
    )


_Kinds = tuple[type[Exception], ...]

_UNOPENED: tuple[tuple[_Kinds, type[StreamError], str], ...] = (
    (
        (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError),
        SourceUnreadable,
        "{source} refused us: its user name or password is wrong or missing",
    ),
    (
        (av.error.HTTPNotFoundError,),
        SourceNotFound,
        "{source} is not there: the host answers, the path is unknown",
    ),
    (
        (av.error.HTTPError, av.error.HTTPClientError),
        SourceUnreadable,
        "{source} cannot be had: {kind}",
    ),
    (
        (ConnectionRefusedError,),
        SourceNotFound,
        "{source}: nobody listens there (connection refused)",
    ),
    (
        (av.error.InvalidDataError, EOFError),
        SourceUnreadable,
        "{source} answers, but not with video that can be played",
    ),
    (
        (Exception,),
        SourceNotFound,
        "{source} cannot be reached: no such host, or no way to it",
    ),
)


_ESCAPING_HINT = " (in a password write @ / : ? # as %40 %2F %3A %3F %23)"


def _unopened(error: Exception, source: str, timeout_s: float) -> StreamError:
    if isinstance(error, av.error.ExitError | TimeoutError):
        return SourceStalled(f"{source} did not answer within {timeout_s:g} s")
    meant, sentence = next((m, s) for kinds, m, s in _UNOPENED if isinstance(error, kinds))
    hint = _ESCAPING_HINT if meant is SourceNotFound and "***@" in source else ""
    return meant(sentence.format(source=source, kind=_kind(error)) + hint)


def _kind(error: Exception) -> str:
    """libav's name for the error, without the URL that its message quotes."""
    return str(getattr(error, "strerror", None) or type(error).__name__).lower()
