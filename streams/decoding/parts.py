"""A recording in parts that begin at key frames: together they give the frames of the whole.

A part gives the frames that are shown from its key frame on and before that of the next. It is
decoded from its key frame to some frames past the next: what leads that one, decoded after it and
shown before it, belongs here, where all that it depends on was decoded.

Nothing of this is taken on trust. Each part counts what it was fed and what it gave, and the first
frames behind a key frame are decoded by both its neighbours, which must get the same pixels:
``why_inexact`` compares. Where it finds anything, the recording is to be played whole.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING

import av

from oneglance.streams.decoding.bitstream import Refresh, inspector

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from oneglance.streams.decoding.accounting import DecodedFrame, DecodeStats

_CONTAINERS = frozenset(("mp4", "matroska"))
_CODINGS = frozenset(("h264", "hevc", "mpeg4"))

_COMPARED = 16
"""Frames that both sides of a cut decode: as many as a coding may keep as references."""


@dataclass(frozen=True, slots=True)
class Part:
    """Frames with ``begin`` ≤ time < ``end``, in units of the video's time base; None: the
    recording's beginning and end. ``before``: how many frames come before them, None where the
    container does not say; that it said so rightly shows when the parts before were played.
    """

    begin: int | None = None
    end: int | None = None
    before: int | None = None


@dataclass(slots=True)
class SeenPart:
    """What was seen of a part.

    ``frames``: given. ``fed``: packets that make up its frames. ``own``: packets from its key
    frame to the next one. ``led``, ``leads_next``: frames that lead its key frame, and the next.
    ``declared``: packets that the container says the recording has; 0: it does not say.
    ``first``, ``past``: checksums of its first frames, and of those past its end. ``why``: what
    of it is not as it should be; empty: nothing.
    """

    frames: int = 0
    fed: int = 0
    own: int = 0
    led: int = 0
    leads_next: int = 0
    declared: int = 0
    first: list[int] = field(default_factory=list)
    past: list[int] = field(default_factory=list)
    why: str = ""


def split_points(duration_s: float, limit_s: float, most: int | None = None) -> list[float]:
    """Where to cut, in seconds: into equal parts of ``limit_s`` at most, ``most`` of them.

    >>> split_points(25, 10)
    [8.333333333333334, 16.666666666666668]
    >>> split_points(25, 10, most=1), split_points(10, 10), split_points(10, 0)
    ([], [], [])
    """
    if limit_s <= 0 or duration_s <= limit_s:
        return []
    count = -int(-duration_s // limit_s)
    count = count if most is None else min(count, most)
    return [duration_s * number / count for number in range(1, count)]


def known_duration_s(container: InputContainer, stream: VideoStream) -> float | None:
    """Seconds that the container declares, where it is one that can be played in parts."""
    context = stream.codec_context
    kinds = container.format.name.split(",")
    if _CONTAINERS.isdisjoint(kinds) or context.name not in _CODINGS or stream.time_base is None:
        return None
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / av.time_base


def find_parts(
    container: InputContainer, stream: VideoStream, cuts_s: Sequence[float]
) -> list[Part]:
    """Parts that begin at key frames near ``cuts_s``, seconds from the video's start; fewer, or
    none, where there are no key frames from which decoding can begin. Moves the container on.
    """
    assert stream.time_base is not None
    start = (stream.start_time or 0) * Fraction(stream.time_base)
    keys: list[tuple[int, int | None]] = []
    for cut_s in cuts_s:
        try:
            key = _key_at(container, stream, round((start + Fraction(cut_s)) / stream.time_base))
        except (av.error.FFmpegError, OSError):
            return []
        if key is not None and key[0] > (keys[-1][0] if keys else stream.start_time or 0):
            keys.append(key)
    begins = [(None, 0), *keys]
    ends = [*(begin for begin, _ in keys), None]
    return [
        Part(begin, end, before) for (begin, before), end in zip(begins, ends, strict=True) if keys
    ]


def _key_at(
    container: InputContainer, stream: VideoStream, pts: int
) -> tuple[int, int | None] | None:
    """The key frame that seeking to ``pts`` leads to: its time, and how many frames are shown
    before it, where the container counts them."""
    context = stream.codec_context
    inspect = inspector(context.name, context.extradata, intra_only=False)
    container.seek(pts, stream=stream)
    packets = (packet for packet in container.demux(stream) if packet.size)
    key = next(packets, None)
    if key is None or not key.is_keyframe or key.pts is None:
        return None
    if inspect(memoryview(key), True).refresh not in (Refresh.FULL, Refresh.OPEN):
        return None
    begin, dts = key.pts, key.dts
    entries = stream.index_entries
    if not stream.frames or len(entries) != stream.frames or dts is None:
        return begin, None
    at = entries.search_timestamp(dts, any_frame=True)
    if at < 0 or entries[at].timestamp != dts:
        return begin, None
    # An edit list may hide the first; what leads a key frame follows it at once.
    at -= sum(1 for _ in takewhile(lambda entry: entry.is_discard, entries))
    leading = takewhile(lambda packet: packet.pts is not None and packet.pts < begin, packets)
    return begin, at + sum(1 for _ in leading)


class PartPackets:
    """A container that gives the packets of a part; what decodes them need not know."""

    def __init__(self, container: InputContainer, stream: VideoStream, part: Part) -> None:
        self.seen = SeenPart(declared=stream.frames)
        self.format = container.format
        self._container = container
        self._part = part

    def demux(self, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
        """Packets from the part's key frame on; whoever has enough leaves.

        Raises:
            av.error.FFmpegError: the container cannot be read, or not be moved to the part.
        """
        begin, end, seen = self._part.begin, self._part.end, self.seen
        if begin is not None:
            self._container.seek(begin, stream=stream)
        has_begun, has_ended = begin is None, False
        for packet in self._container.demux(stream):
            is_key = bool(packet.size) and packet.is_keyframe
            has_begun = has_begun or (is_key and packet.pts == begin)
            if not has_begun:  # seeking lands before
                if is_key and packet.pts is not None and begin is not None and packet.pts > begin:
                    break
                continue
            has_ended = has_ended or (end is not None and is_key and packet.pts == end)
            if packet.size:
                self._count(packet, has_ended=has_ended)
            yield packet
        if not has_begun:
            seen.why = "its key frame was not found"
        elif end is not None and not has_ended:
            seen.why = "the next part's key frame was not found"

    def _count(self, packet: Packet[VideoStream], *, has_ended: bool) -> None:
        seen, (begin, end) = self.seen, (self._part.begin, self._part.end)
        seen.own += not has_ended
        if packet.is_discard:
            return
        if packet.pts is None:
            seen.why = "a packet has no time"
        elif begin is not None and packet.pts < begin:
            seen.led += 1
        elif end is None or packet.pts < end:
            seen.fed += 1
            seen.leads_next += has_ended
        elif not has_ended:
            seen.why = "a frame of the next part is decoded before its key frame"

    def frames(self, decoded: Iterator[DecodedFrame], stats: DecodeStats) -> Iterator[DecodedFrame]:
        """Of ``decoded``, those of the part, counted from 0; ``stats``: its decoder's."""
        begin, end, seen = self._part.begin, self._part.end, self.seen
        last: int | None = None
        for got in decoded:
            pts = got.pts
            if pts is None or (last is not None and pts <= last):
                seen.why = "the frames' times do not run forward"
                pts = pts if pts is not None else last
            last = pts
            if pts is not None and begin is not None and pts < begin:
                continue
            if pts is not None and end is not None and pts >= end:
                seen.past.append(_checksum(got))
                if len(seen.past) == _COMPARED:
                    break
                continue
            if begin is not None and len(seen.first) < _COMPARED:
                seen.first.append(_checksum(got))
            yield replace(got, index=seen.frames)
            seen.frames += 1
        if stats.damaged or stats.has_wrong_bytes:
            seen.why = "frames are damaged"


def _checksum(got: DecodedFrame) -> int:
    return zlib.crc32(got.frame.to_ndarray(format="bgr24").tobytes())


def why_inexact(parts: Sequence[Part], seen: Sequence[SeenPart]) -> str:
    """Why the parts' frames may not be those of the whole recording; empty: they are."""
    return next(_doubts(parts, seen), "")


def is_exact(seen: SeenPart) -> bool:
    """Whether a part alone gives no reason for doubt."""
    return not seen.why and seen.frames == seen.fed


def _doubts(parts: Sequence[Part], seen: Sequence[SeenPart]) -> Iterator[str]:
    for number, each in enumerate(seen, 1):
        if not is_exact(each):
            yield f"part {number}: {each.why or f'{each.fed} packets, {each.frames} frames'}"
    for number, (one, other) in enumerate(pairwise(seen), 1):
        both = min(len(one.past), len(other.first))
        if one.leads_next != other.led:
            yield f"parts {number} and {number + 1} do not count the frames between them alike"
        if not both or one.past[:both] != other.first[:both]:
            yield f"part {number + 1} does not begin with the frames that part {number} ends at"
    if seen[0].declared and sum(each.own for each in seen) != seen[0].declared:
        yield "not as many packets came as the container declares"
    before = 0
    for part, each in zip(parts, seen, strict=True):
        if part.before not in {None, before}:
            yield "the container does not count its frames rightly"
        before += each.frames
