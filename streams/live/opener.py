"""Opening a stream behind a URL with libav: its options, and the ways round what it cannot do."""

from __future__ import annotations

import errno
import io
import re
from dataclasses import dataclass, replace
from itertools import pairwise

import av
from av.video.stream import VideoStream

from oneglance.streams.decoding.hardware import hardware, incompatible
from oneglance.streams.decoding.options import OF_PARTS
from oneglance.streams.decoding.tracks import UNEDITED, shows_any, warn_unedited
from oneglance.streams.files.image_count import PNG_END
from oneglance.streams.files.transport import FEW, is_tiny
from oneglance.streams.live.answers import HttpAnswer
from oneglance.streams.live.browser import SplitStream
from oneglance.streams.live.fetching import fetched
from oneglance.streams.live.rtsp.relay import RtspRelay
from oneglance.streams.options import ConnectOptions
from oneglance.streams.redaction import redact_address

# Measuring the rate first would hold back the first seconds of a live stream.
_AT_ONCE = {"fpsprobesize": "0"}
# A playlist is a list of addresses that a stranger wrote: none may lead into our own files.
REACHABLE = {"protocol_whitelist": "http,https,httpproxy,tcp,tls,crypto,data"}
# What a segment is called says nothing of what it is.
_ANY_NAME = {
    "extension_picky": "0",
    "allowed_extensions": "ALL",
    "allowed_segment_extensions": "ALL",
}
_HTTP = {**_AT_ONCE, **REACHABLE, **_ANY_NAME}
# What comes while the decoder is busy waits in a ring of 188-byte packets; one that overflows
# loses packets and not the stream.
_UDP = {**_AT_ONCE, "fifo_size": "28672", "overrun_nonfatal": "1"}
_OPTIONS = {"rtsp": _AT_ONCE, "rtsps": _AT_ONCE, "http": _HTTP, "https": _HTTP, "udp": _UDP}

# libav takes an RTSP transport from the address as well.
_OTHER_TRANSPORT = re.compile(r"[?&](multicast|http|https)(&|$)")
# libav reads these by their length; an answer without one is fetched whole.
_BY_LENGTH = frozenset(("image2", "tiff_pipe"))
_LARGEST_IMAGE = 1 << 26
_ODD = (av.error.InvalidDataError, av.error.EOFError)
_NO_END = "it ends in the middle"
_TOO_LARGE = "it is an animation of more than 64 MB, and the server gives no length for it"

_LIST = re.compile(r"\.m3u8?$", re.IGNORECASE)


@dataclass(slots=True)
class Opener:
    """Opens what lies behind ``url``; ``asked``: how long to wait for it, and how to connect.

    ``reads_here``: it had no length before, and is read by us where that can be.
    ``relay``: what RTSP comes through, once open. ``images``: what those of a camera come
    from that only browsers play. ``answer``: what an answer without a length comes from, once it
    is of interest how it ends. ``edited``: whether an edit list decides what is shown.
    """

    url: str
    asked: ConnectOptions
    reads_here: bool = False
    relay: RtspRelay | None = None
    list_url: str | None = None
    images: SplitStream | None = None
    answer: HttpAnswer | None = None
    edited: bool = True

    @property
    def is_split(self) -> bool:
        """Whether the images were found by their markers."""
        return self.images is not None

    @property
    def ending(self) -> HttpAnswer | None:
        """What shows how the answer ends, where it is read by us."""
        return self.answer if self.images is None else self.images.answer

    @property
    def scheme(self) -> str:
        """In small letters, as libav knows it."""
        return self.url.split(":", 1)[0]

    def open(self) -> av.container.InputContainer:
        """What libav plays.

        Raises:
            av.error.FFmpegError, OSError: it cannot be played.
            UsageError: an accelerator that cannot be used.
        """
        try:
            here = self._read_here() if self.reads_here else None
            return self._shown(here or self._understood(self._open()))
        except NotImplementedError:  # libav wants the length of an APNG that repeats
            if not self.scheme.startswith("http"):
                raise
            return self._animation()
        except (av.error.FFmpegError, OSError) as error:
            is_odd = isinstance(error, _ODD) or error.errno == errno.EIO
            if not (is_odd and self.scheme.startswith("http")):
                raise
            # libav does not look at what came before an answer that ended by hanging up.
            found = self._read_here() if error.errno == errno.EIO else None
            found = found or self._tiny()
            if found is not None:
                return found
            try:
                return self.split()
            except (av.error.FFmpegError, OSError):
                raise error from None

    def _shown(self, found: av.container.InputContainer) -> av.container.InputContainer:
        """``found``, or the same without the edit lists that leave nothing of it."""
        videos = found.streams.video
        if not self.edited or not videos or any(map(shows_any, videos)):
            return found
        warn_unedited(redact_address(self.url), videos[0])
        found.close()
        self.close()
        self.answer, self.edited = None, False
        return self.open()

    def open_unedited(self) -> av.container.InputContainer:
        """It once more, without its edit list, only to be looked at.

        Raises:
            av.error.FFmpegError, OSError: it cannot be opened.
        """
        return replace(self, edited=False)._open_at(self.url)

    def split(self) -> av.container.InputContainer:
        """The images behind the URL, found by their markers.

        Raises:
            av.error.FFmpegError, OSError: there are none.
        """
        patience_s = max(self.asked.timeout_s, self.asked.stall_s)
        self.images = SplitStream(self.url, patience_s)
        try:
            return av.open(
                self.images,
                mode="r",
                format=OF_PARTS,
                options=dict(_AT_ONCE),
                timeout=(self.asked.timeout_s, patience_s),
            )
        except BaseException:
            self.close()
            raise

    def _read_here(self) -> av.container.InputContainer | None:
        """What lies there, read by us, if there is video."""
        try:
            found, self.answer = self.read_here()
        except (av.error.FFmpegError, OSError):
            return None
        if found.streams.video:
            return found
        found.close()
        self.answer.close()
        self.answer = None
        return None

    def _understood(self, found: av.container.InputContainer) -> av.container.InputContainer:
        """``found``, or the same read otherwise, where libav does not take it for what it is or
        would not see its end."""
        if found.format.name == "apng" and self.may_read(found):
            found.close()
            return self._animation()
        is_tiny = self.scheme.startswith("http") and 0 < found.size < FEW
        is_known = found.format.name in {"mpegts", OF_PARTS}
        again = self._tiny() if is_tiny and not is_known else None
        if again is None:
            return self._with_an_end(found)
        found.close()
        return again

    def _animation(self) -> av.container.InputContainer:
        """An APNG without a length, fetched whole: it has an end, and shows whether that came.

        Raises:
            av.error.FFmpegError, OSError: it cannot be had, or is too large.
        """
        answer = HttpAnswer(self.url, max(self.asked.timeout_s, self.asked.stall_s))
        try:
            content = _content(answer, _LARGEST_IMAGE)
        finally:
            answer.close()
        if len(content) >= _LARGEST_IMAGE:
            raise OSError(errno.EFBIG, _TOO_LARGE)
        if not content.endswith(PNG_END):
            answer.failure = answer.failure or ConnectionResetError(errno.ECONNRESET, _NO_END)
            self.answer = answer
        return av.open(io.BytesIO(content), mode="r", format="apng")

    def _tiny(self) -> av.container.InputContainer | None:
        """A transport stream of so few packets that libav does not know it, if it is one."""
        try:
            whole = HttpAnswer(self.url, self.asked.timeout_s)
            try:
                content = _content(whole, FEW)
            finally:
                whole.close()
            if not is_tiny(content):
                return None
            if whole.failure is None:
                return av.open(io.BytesIO(content), mode="r", format="mpegts")
            found, self.answer = self.read_here("mpegts")
        except (av.error.FFmpegError, OSError):
            return None
        return found

    def _with_an_end(self, found: av.container.InputContainer) -> av.container.InputContainer:
        """``found``, but read by us where it is a recording of no length in bytes."""
        if found.duration is None or found.format.name == "hls" or not self.may_read(found):
            return found
        if any(map(_goes_back, found.streams.video)):  # which libav can, by asking anew
            return found
        try:
            again, self.answer = self.read_here(found.format.name)
        except (av.error.FFmpegError, OSError):
            return found
        found.close()
        return again

    def may_read(self, found: av.container.InputContainer) -> bool:
        """Whether ``found`` comes over HTTP without a length."""
        return self.scheme.startswith("http") and found.size <= 0

    def read_here(self, form: str = "") -> tuple[av.container.InputContainer, HttpAnswer]:
        """What lies there from its beginning, and the answer that it is read from by us, which
        shows how it ends. ``form``: its format by libav's name; empty: libav finds it out.

        Raises:
            av.error.FFmpegError, OSError: it cannot be read by us.
        """
        patience_s = max(self.asked.timeout_s, self.asked.stall_s)
        answer = HttpAnswer(self.url, patience_s, unpacks=True)  # as libav does
        form = form or ("" if answer.boundary is None else OF_PARTS)
        try:
            again = av.open(
                answer,
                mode="r",
                format=form.split(",", maxsplit=1)[0] or None,
                options={**_AT_ONCE, **REACHABLE, **({} if self.edited else UNEDITED)},
                timeout=(self.asked.timeout_s, patience_s),
                metadata_errors="replace",
                hwaccel=hardware(self.asked.hwaccel),
            )
        except BaseException:
            answer.close()
            raise
        return again, answer

    def close(self) -> None:
        """Hang up, where libav did not connect itself and leaves that to us."""
        if self.images is not None:
            self.images.close()
        if self.answer is not None:
            self.answer.close()

    def open_list(self, url: str) -> av.container.InputContainer:
        """A playlist, wherever it lies, opened as that behind the URL was.

        Raises:
            av.error.FFmpegError, OSError: it cannot be played.
        """
        return replace(self, list_url=url)._open()

    def _open(self) -> av.container.InputContainer:
        is_rtsp = self.scheme.startswith("rtsp") and not _OTHER_TRANSPORT.search(self.url)
        if not is_rtsp:
            return self._open_at(self.list_url or self.url)
        try:
            self.relay = RtspRelay(self.url, self.asked.timeout_s, self.asked.transport)
        except ValueError:
            return self._open_at(self.url)  # libav says what is wrong with it
        try:
            return self._open_at(self.relay.url)
        except BaseException:
            self.relay.close()
            raise

    def _open_at(self, url: str) -> av.container.InputContainer:
        options = _OPTIONS[self.scheme] | ({} if self.edited else UNEDITED)
        if _LIST.search(self.url.split("?")[0]):
            # A segment that hangs is given up in time to go on with the next.
            hang_s = min(self.asked.timeout_s, self.asked.stall_s) / 2
            options["rw_timeout"] = str(round(hang_s * 1e6))
        if self.scheme.startswith("rtsp"):
            # The relay asks for datagrams, and puts them in order.
            options["rtsp_transport"] = "tcp" if self.relay else str(self.asked.transport)
        accelerator = hardware(self.asked.hwaccel)
        try:
            found = av.open(
                url,
                mode="r",
                format="hls" if self.list_url else None,
                options=options,
                timeout=(self.asked.timeout_s, max(self.asked.timeout_s, self.asked.stall_s)),
                metadata_errors="replace",
                hwaccel=accelerator,
            )
        except RuntimeError:
            if accelerator is None:
                raise
            raise incompatible(redact_address(self.url)) from None
        if found.format.name not in _BY_LENGTH or found.size > 0:
            return found
        found.close()
        image = fetched(
            url, options, timeout_s=self.asked.timeout_s, most=_LARGEST_IMAGE, ends=False
        )
        return av.open(io.BytesIO(image), mode="r")


def _goes_back(stream: VideoStream) -> bool:
    """Whether an edit list shows a later part of the file before an earlier one."""
    return any(later.pos < sooner.pos for sooner, later in pairwise(stream.index_entries))


def _content(answer: HttpAnswer, most: int) -> bytes:
    """What comes of it, ``most`` bytes at most."""
    found = bytearray()
    while len(found) < most and (piece := answer.read(most - len(found))):
        found += piece
    return bytes(found)
