"""A finished HLS playlist, fetched, and checked against the frames that came of it."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import av

from oneglance.streams.errors import Reason, SourceBroken
from oneglance.streams.live.connectivity import redirected
from oneglance.streams.live.fetching import fetched, is_there
from oneglance.streams.live.hls.playlist import (
    Coverage,
    Hole,
    Playlist,
    Segment,
    describe,
    parse_playlist,
    rest_of,
)

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

    from oneglance.streams.decoding.accounting import DecodeStats

logger = logging.getLogger(__name__)

_TRIED = 20
"""Segments at the beginning of a playlist that are looked for."""

_LOOK_S = 2.0
"""Longest wait for one of them."""


def keep_only(container: InputContainer, stream: VideoStream) -> None:
    """Have libav fetch the playlist of ``stream`` alone: by default it fetches all renditions
    and the audio too."""
    for other in container.streams:
        if other.index != stream.index:
            other.discard = av.stream.Discard.all


def is_finished(
    address: str, stream: VideoStream, options: Mapping[str, str], *, timeout_s: float
) -> bool:
    """Whether the playlist that ``stream`` was played from says that nothing follows; libav ends
    as well where it cannot fetch it any more."""
    found, text = _listed(address, stream, options, timeout_s)
    return parse_playlist(text, found).is_finished


class FinishedPlaylist:
    """The playlist of a stream, and how much of it came."""

    def __init__(
        self,
        address: str,
        stream: VideoStream,
        length_s: float,
        options: Mapping[str, str],
        *,
        timeout_s: float,
    ) -> None:
        """Fetch the playlist at ``address`` within ``timeout_s``, and see from where on it can be
        had; looking for segments takes less than half of that.

        ``length_s``: what libav says of it, which must do where it cannot be fetched once more.
        """
        self._options, self._look_s = options, min(timeout_s / 5, _LOOK_S)
        self._address, self._text = _listed(address, stream, options, timeout_s)
        playlist = parse_playlist(self._text, self._address)
        if not playlist.is_finished or playlist.duration_s <= 0:
            playlist = Playlist((Segment(address, 0.0, length_s),), is_finished=True)
            self._text = ""
        begin = self._first_there(playlist, 0)
        if begin is None and self._text:
            # They were looked for in the wrong place: the playlist itself lies elsewhere.
            self._address = redirected(self._address, self._look_s)
            playlist = parse_playlist(self._text, self._address)
            begin = self._first_there(playlist, 0)
        head_s = 0.0 if begin is None else playlist.segments[begin].begin_s
        self._tried = 0
        rate = stream.average_rate or stream.codec_context.framerate
        self.playlist = playlist
        self.coverage = Coverage(
            playlist, period_s=float(1 / rate) if rate else None, head_s=head_s
        )

    def rest(self) -> str | None:
        """An address of what follows where libav stopped, for it to go on; None: nothing does.

        After a fragment of MP4 that is truncated, libav takes what comes for its missing part.
        """
        playlist, reached_s = self.playlist, self.coverage.reached_s
        if not self._text or playlist.is_rounded or playlist.splices_s:
            return None
        late_s = 0.1 * min(segment.duration_s for segment in playlist.segments)
        after = sum(segment.begin_s < reached_s - late_s for segment in playlist.segments)
        number = self._first_there(playlist, max(after, self._tried))
        if number is None:
            return None
        self._tried = number + 1
        self.coverage.go_on(playlist.segments[number].begin_s)
        text = rest_of(self._text, playlist, number, self._address)
        packed = base64.b64encode(text.encode()).decode()
        return f"data:application/vnd.apple.mpegurl;base64,{packed}"

    def missing(self, stats: DecodeStats) -> str:
        """How much has not come so far."""
        holes = self.coverage.holes(is_truncated=True)
        return self._described(holes, stats) if holes else "nothing is missing"

    def check(self, source: str, stats: DecodeStats) -> None:
        """Judge a playlist that ended.

        Raises:
            SourceBroken: frames of it are missing.
        """
        if not stats.delivered or not self.coverage.holes(is_truncated=True):
            return
        is_truncated = self.playlist.is_rounded and not self._is_there(self.playlist.segments[-1])
        holes = self.coverage.holes(is_truncated=is_truncated)
        if not holes:
            return
        raise SourceBroken(
            f"{source}: {self._described(holes, stats)}: parts of the playlist cannot be had, are "
            f"shorter than it says, or broken; the {stats.delivered} frames that came were "
            "delivered",
            reason=Reason.LOST,
        )

    def _described(self, holes: list[Hole], stats: DecodeStats) -> str:
        is_damaged = stats.left_out > 0
        return describe(holes, self.playlist, frames=stats.delivered, is_damaged=is_damaged)

    def _first_there(self, playlist: Playlist, number: int) -> int | None:
        """The first segment from ``number`` on that can be had; None: none is found in time."""
        until_s = time.monotonic() + self._look_s
        for at in range(number, min(number + _TRIED, len(playlist.segments))):
            if time.monotonic() > until_s:
                break
            if self._is_there(playlist.segments[at]):
                return at
        return None

    def _is_there(self, segment: Segment) -> bool:
        return is_there(segment.address, self._options, timeout_s=self._look_s, part=segment.bytes)


def _listed(
    address: str, stream: VideoStream, options: Mapping[str, str], timeout_s: float
) -> tuple[str, str]:
    """Address and text of the playlist that ``stream`` is played from; no text where none is."""
    try:
        text = _fetched(address, options, timeout_s)
        playlist = parse_playlist(text, address)
        if not playlist.renditions:
            return address, text
        width = stream.codec_context.width
        declared = str(stream.metadata.get("variant_bitrate"))
        chosen = next(
            (each for each in playlist.renditions if str(each.bandwidth) == declared),
            next(
                (r for r in playlist.renditions if r.resolution.startswith(f"{width}x")),
                playlist.renditions[0],
            ),
        )
        others = [each for each in playlist.renditions if each is not chosen]
        if others:
            logger.info(
                "playing %s of a playlist that offers %s too",
                _named(chosen.resolution, chosen.bandwidth),
                ", ".join(_named(each.resolution, each.bandwidth) for each in others),
            )
        return chosen.address, _fetched(chosen.address, options, timeout_s)
    except (av.error.FFmpegError, OSError, ValueError):
        return address, ""


def _named(resolution: str, bandwidth: int) -> str:
    return f"{resolution or 'a rendition'} ({bandwidth / 1000:.0f} kbit/s)"


def _fetched(address: str, options: Mapping[str, str], timeout_s: float) -> str:
    return fetched(address, options, timeout_s=timeout_s).decode("utf-8", "replace")
