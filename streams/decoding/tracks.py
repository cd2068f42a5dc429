"""Which of a container's videos is played: cameras of one car often share a file."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, cast

from av.stream import Disposition
from av.video.stream import VideoStream

from oneglance.streams.errors import Reason, SourceUnreadable, UsageError

if TYPE_CHECKING:
    from av.container import InputContainer

logger = logging.getLogger(__name__)

UNEDITED = {"ignore_editlist": "1"}
"""libav's option to play an MP4 without its edit lists."""

_IMAGE_CODECS = frozenset(("bmp", "gif", "jpegxl", "mjpeg", "png", "tiff", "webp"))
_EACH_ITS_OWN = frozenset(("gif", "apng"))
_COUNTED = frozenset(("theora", "vp8"))
"""Codings whose frames an Ogg counts: its time base is the length of one."""
_TWO_FRAMES = 1.9
"""Frames that a track lasts; less is one frame."""


def choose_track(container: InputContainer, source: str, number: int | None = None) -> VideoStream:
    """The largest video of all, the first of those that are as large; or that of ``number``,
    counted from 0 as ``describe_tracks`` does.

    Raises:
        SourceUnreadable: there is none: sound alone, a cover image, the tiles of one image; or
            there is no decoder for it.
        UsageError: there is no video of that ``number``.
    """
    tracks = video_tracks(container)
    message = ""
    if _is_tiled(container):
        tiles = sum(_is_tile(stream) for stream in container.streams.video)
        message = (
            f"is one image made of {tiles} tiles, which are not put together here: convert it to "
            "JPEG or PNG"
        )
    elif not tracks and container.streams.video:
        message = "has no video in it, only a cover image"
    elif not tracks:
        types = ", ".join(sorted({s.type for s in container.streams}))
        message = f"has no video in it, only {types}" if types else "has no frames"
    if message:
        raise SourceUnreadable(f"{source} {message}", reason=Reason.CODEC)
    if number is not None and not 0 <= number < len(tracks):
        raise UsageError(
            f"{source} has no video of number {number} (videos: {describe_tracks(tracks)})"
        )
    # max() keeps the first of several that are as large.
    chosen = max(tracks, key=_pixels) if number is None else tracks[number]
    if chosen.codec_context is None:
        raise SourceUnreadable(
            f"{source} holds video in a coding that cannot be decoded here: convert it to H.264",
            reason=Reason.CODEC,
        )
    return chosen


def video_tracks(container: InputContainer) -> list[VideoStream]:
    """The videos that may be chosen, in the container's order: no cover images, no thumbnails,
    and no layers that depend on another video. Still images are among them if nothing moves."""
    unwanted = Disposition.attached_pic | Disposition.dependent | Disposition.timed_thumbnails
    tracks = [stream for stream in container.streams.video if not stream.disposition & unwanted]
    return [track for track in tracks if not _is_still(track)] or tracks


def describe_tracks(tracks: Sequence[VideoStream]) -> str:
    """Such as ``0: 640x360 h264, 1: 320x180 h264``."""
    return ", ".join(f"{number}: {_describe(track)}" for number, track in enumerate(tracks))


def _describe(track: VideoStream) -> str:
    context = track.codec_context
    if context is None:
        return "in an unknown coding"
    title = track.metadata.get("title") or track.metadata.get("TITLE")
    return f"{context.width}x{context.height} {context.name}" + (f" '{title}'" if title else "")


def _pixels(track: VideoStream) -> tuple[bool, int]:
    """What can be decoded comes first, whatever its size."""
    context = track.codec_context
    return (False, 0) if context is None else (True, context.width * context.height)


def _is_still(track: VideoStream) -> bool:
    """Whether this is an image beside the video: the first image of an animated AVIF or HEIC (an
    item, which lasts no time), or a cover that was copied into Matroska as a track of its own."""
    context = track.codec_context
    if track.frames == 1 and track.duration is None:
        return True
    if context is None or context.name not in _IMAGE_CODECS:
        return False
    return track.frames == 1 or _lasts_one_frame(track)


def _lasts_one_frame(track: VideoStream) -> bool:
    """By the duration among its tags; False without."""
    duration_s, rate = tagged_s(track), track.average_rate
    if duration_s is None or not rate:
        return False
    return duration_s * rate < _TWO_FRAMES


def tagged_s(track: VideoStream) -> float | None:
    """Seconds that a track lasts by its tags, where Matroska's writers put it; None without."""
    words = re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", track.metadata.get("DURATION", ""))
    if words is None:
        return None
    return int(words[1]) * 3600 + int(words[2]) * 60 + float(words[3])


def _is_tile(stream: VideoStream) -> bool:
    return bool(stream.disposition & Disposition.dependent) and stream.frames <= 1


def _is_tiled(container: InputContainer) -> bool:
    """Whether the container holds a still image in parts (HEIC and AVIF do; what stands beside
    them is a thumbnail), and not a video with layers."""
    tiles = [stream for stream in container.streams.video if _is_tile(stream)]
    return len(tiles) > 1 and all(stream.frames <= 1 for stream in container.streams.video)


def period_of(stream: VideoStream) -> float | None:
    """A frame's length in units of the stream's time base; None where no rate is declared, and
    no length at all where each frame says how long it lasts: no gap is a loss there.
    """
    container = cast("InputContainer", stream.container).format.name
    if container in _EACH_ITS_OWN:
        return math.inf
    if container == "ogg" and stream.codec_context.name in _COUNTED:
        return 1.0
    rate = stream.average_rate or stream.codec_context.framerate
    return float(1 / (Fraction(rate) * stream.time_base)) if rate and stream.time_base else None


def shows_any(stream: VideoStream) -> bool:
    """Whether the edit list of a track of mp4 leaves any of its frames."""
    is_mp4 = cast("InputContainer", stream.container).format.name.startswith("mov")
    if not is_mp4 or not stream.frames:
        return True
    return any(not entry.is_discard for entry in stream.index_entries)


def warn_unedited(source: str, stream: VideoStream) -> None:
    """Say of a track of which its edit list leaves nothing that it is played without."""
    logger.warning(
        "%s: its edit list leaves none of its %d frames: it is played without that list",
        *(source, stream.frames),
    )


def shown_frames(stream: VideoStream, open_unedited: Callable[[], InputContainer]) -> int:
    """The frames that a track declares, without those that its edit list is known to leave out.
    ``open_unedited``: opens it once more with ``UNEDITED``, where that is of interest.

    Raises:
        StreamError, av.error.FFmpegError, OSError: that failed.
    """
    declared, listed = stream.frames, len(stream.index_entries)
    is_mp4 = cast("InputContainer", stream.container).format.name.startswith("mov")
    if not (is_mp4 and 0 < listed < declared):
        return declared
    # An index that is damaged lacks some as well.
    with open_unedited() as whole:
        is_edited = len(whole.streams[stream.index].index_entries) == declared
    return listed if is_edited else declared


def empty_before(stream: VideoStream, last: int | None, before: int | None) -> list[int]:
    """The times of frames that mp4's index shows as empty, between two others (None: the beginning
    and the end)."""
    entries = stream.index_entries
    at = len(entries) if before is None else entries.search_timestamp(before, any_frame=True)
    empty: list[int] = []
    while at > 0 and entries[at - 1].size == 0:
        if last is not None and entries[at - 1].timestamp <= last:
            break
        at -= 1
        empty.append(entries[at].timestamp)
    return empty[::-1]
