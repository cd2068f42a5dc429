"""HLS playlists that are finished: what they declare, and which frames of it came.

libav skips a segment that it cannot fetch and reports nothing, so a hole looks like a jump in
time and a lost end like an end. A finished playlist says how long each of its segments lasts;
the frames are laid over that.

Format: RFC 8216.
"""

from __future__ import annotations

import bisect
import math
import re
import statistics
from dataclasses import dataclass
from urllib.parse import urljoin

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)')

_QUOTED = re.compile(r'URI="([^"]*)"')

_FIRST_GAPS = 25
"""Gaps between frames after which the usual one is known."""

_LARGE = 0.3
"""A pause of so much of a segment is a hole wherever it is."""

_MOST_GAPS = 10_000
"""Small gaps that are remembered."""

_SPLICE_S = 1.0
"""How near to where a playlist is spliced a leap in time is the splice."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a playlist: its address, when it begins and how long it lasts, in seconds; and the
    bytes of it, ``(first, count)``, where it is a part of a file."""

    address: str
    begin_s: float
    duration_s: float
    bytes: tuple[int, int] | None = None

    @property
    def end_s(self) -> float:
        """When the next one begins."""
        return self.begin_s + self.duration_s


@dataclass(frozen=True, slots=True)
class Rendition:
    """One of the codings that a master playlist offers; ``area`` in pixels, 0 where unknown."""

    address: str
    bandwidth: int
    resolution: str = ""

    @property
    def area(self) -> int:
        """Pixels of a frame; 0 where the playlist does not declare it."""
        sides = self.resolution.split("x")
        return math.prod(map(int, sides)) if len(sides) == 2 else 0


@dataclass(frozen=True, slots=True)
class Playlist:
    """``segments`` in order and ``splices_s``, the times at which clock or coding may change; or
    the ``renditions`` of a master playlist, the largest first. ``is_rounded``: durations are given
    in whole seconds, as old ones are."""

    segments: tuple[Segment, ...] = ()
    splices_s: tuple[float, ...] = ()
    renditions: tuple[Rendition, ...] = ()
    is_finished: bool = False
    is_rounded: bool = False

    @property
    def duration_s(self) -> float:
        """How long it lasts."""
        return self.segments[-1].end_s if self.segments else 0.0


def parse_playlist(text: str, address: str) -> Playlist:
    """The playlist that lies at ``address``; lines that make no sense are left out.

    >>> found = parse_playlist("#EXTM3U\\n#EXTINF:2.5,\\na.ts\\n#EXTINF:2,\\nb.ts\\n", "http://h/x/y")
    >>> [(each.address, each.begin_s) for each in found.segments]
    [('http://h/x/a.ts', 0.0), ('http://h/x/b.ts', 2.5)]
    """
    segments: list[Segment] = []
    splices: list[float] = []
    renditions: list[Rendition] = []
    duration_s, time_s, part, offers = 0.0, 0.0, "", None
    is_finished, is_rounded = False, True
    for line in map(str.strip, text.splitlines()):
        tag, _, value = line.partition(":")
        if tag == "#EXTINF":
            duration_s = _number(value.split(",")[0])
            is_rounded &= "." not in value.split(",")[0]
        elif tag == "#EXT-X-BYTERANGE":
            part = value
        elif tag == "#EXT-X-DISCONTINUITY" and time_s > 0:
            splices.append(time_s)
        elif tag == "#EXT-X-STREAM-INF":
            offers = dict(_ATTRIBUTE.findall(value))
        elif tag == "#EXT-X-ENDLIST":
            is_finished = True
        elif line and not line.startswith("#"):
            there = _resolved(address, line)
            if offers is not None:
                bandwidth = int(_number(offers.get("BANDWIDTH", "0")))
                shape = offers.get("RESOLUTION", "").lower()
                is_shape = re.fullmatch(r"\d{1,6}x\d{1,6}", shape)
                renditions.append(Rendition(there, bandwidth, shape if is_shape else ""))
            else:
                before = segments[-1] if segments else None
                segments.append(Segment(there, time_s, duration_s, _part(part, there, before)))
                time_s += duration_s
            duration_s, part, offers = 0.0, "", None
    renditions.sort(key=lambda each: (each.area, each.bandwidth), reverse=True)
    return Playlist(tuple(segments), tuple(splices), tuple(renditions), is_finished, is_rounded)


def rest_of(text: str, playlist: Playlist, number: int, address: str) -> str:
    """The text of the playlist that begins with segment ``number`` of this one, such that it may
    lie anywhere: its addresses are absolute."""
    kept, pending, count = [], [], 0
    for line in map(str.strip, text.splitlines()):
        tag = line.partition(":")[0]
        if line and not line.startswith("#"):
            segment = playlist.segments[count]
            if segment.bytes is not None:
                first, size = segment.bytes
                pending.append(f"#EXT-X-BYTERANGE:{size}@{first}")
            if count >= number:
                kept += [*pending, segment.address]
            pending, count = [], count + 1
        elif tag == "#EXTINF":
            pending.append(line)
        elif tag in {"#EXT-X-KEY", "#EXT-X-MAP"}:
            kept.append(_QUOTED.sub(lambda m: f'URI="{_resolved(address, m[1])}"', line))
        elif tag == "#EXT-X-MEDIA-SEQUENCE":
            kept.append(f"{tag}:{int(_number(line.partition(':')[2])) + number}")
        elif line and tag not in {"#EXT-X-BYTERANGE", "#EXT-X-DISCONTINUITY"}:
            kept.append(line)
    return "\n".join(kept) + "\n"


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return number if 0 <= number < 1e9 else 0.0


def _resolved(address: str, line: str) -> str:
    try:
        return urljoin(address, line)
    except ValueError:  # brackets that hold no IPv6 address
        return line


def _part(text: str, address: str, before: Segment | None) -> tuple[int, int] | None:
    count, at_sign, first = text.partition("@")
    if not count.isdigit():
        return None
    if at_sign and first.isdigit():
        return int(first), int(count)
    follows = before is not None and before.address == address and before.bytes is not None
    return (sum(before.bytes) if follows and before and before.bytes else 0), int(count)


@dataclass(frozen=True, slots=True)
class Hole:
    """A stretch of a playlist's time, in seconds, of which no frame came."""

    begin_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        """How long it is."""
        return self.end_s - self.begin_s


class Coverage:
    """Lays frames over the time of a playlist and finds the holes.

    ``period_s``: how long a frame lasts, as far as the stream declares it. ``head_s``: how much of
    the playlist's beginning cannot be had: frames are counted from there.
    """

    def __init__(self, playlist: Playlist, *, period_s: float | None, head_s: float = 0.0) -> None:
        self._playlist = playlist
        self._head_s = head_s
        self._offset_s: float | None = None
        self._phase_s = 0.0
        self._head: Hole | None = None
        self._splices_s = list(playlist.splices_s)
        self._period_s = period_s
        self._first_gaps_s: list[float] = []
        self._large_s = _LARGE * min(segment.duration_s for segment in playlist.segments)
        self._long: list[tuple[float, float]] = []
        self._last_s, self._count = 0.0, 0

    def place(self, time_s: float) -> float:
        """When, by the playlist, the frame is due that libav puts at ``time_s``."""
        if self._offset_s is None:
            # With sound in a list of its own, libav counts from where the sound begins.
            self._offset_s = self._head_s if time_s < self._head_s / 2 else 0.0
            begin_s = time_s + self._offset_s - self._head_s
            # Video may well begin a little after its sound; its segments begin with it.
            if begin_s <= self._playlist.segments[0].duration_s / 2:
                self._phase_s = begin_s
            due_s = time_s + self._offset_s - self._phase_s
            if due_s > 0:
                self._head = Hole(0.0, due_s)
        else:
            due_s = self._spliced(time_s + self._offset_s - self._phase_s)
            self._note(due_s)
        self._last_s, self._count = due_s, self._count + 1
        return due_s + self._phase_s

    @property
    def reached_s(self) -> float:
        """Up to where the playlist has come."""
        return self._last_s + self._usual_s() if self._count else 0.0

    def go_on(self, begin_s: float) -> None:
        """What comes next is counted from a beginning of its own, which lies at ``begin_s``."""
        self._offset_s = begin_s

    def holes(self, *, is_truncated: bool = False) -> list[Hole]:
        """Where frames are missing, after the last one came; ``is_truncated``: the end is.

        Rounded durations may sum up to more than there is: then an end that is not known to be
        missing is believed.
        """
        period_s = self._usual_s()
        if not self._count:
            return [Hole(0.0, self._playlist.duration_s)]
        found = [] if self._head is None else [self._head]
        gaps = (Hole(begin_s + period_s, end_s) for begin_s, end_s in self._long)
        found += [gap for gap in gaps if self._is_hole(gap, period_s)]
        rest_s = self._playlist.duration_s - self._last_s - period_s
        rounding_s = 0.0 if is_truncated else 0.5 if self._playlist.is_rounded else 0.001
        rounding_s *= len(self._playlist.segments)
        if rest_s > max(0.5 * period_s, 0.1) + rounding_s:
            found.append(Hole(self._last_s + period_s, self._playlist.duration_s))
        return found

    def _note(self, due_s: float) -> None:
        gap_s = due_s - self._last_s
        if len(self._first_gaps_s) < _FIRST_GAPS:
            self._first_gaps_s.append(gap_s)
        is_regular = len(self._long) < _MOST_GAPS
        if gap_s > 1.5 * self._usual_s() and (is_regular or gap_s >= self._large_s):
            self._long.append((self._last_s, due_s))

    def _usual_s(self) -> float:
        if self._first_gaps_s:
            return statistics.median(self._first_gaps_s)
        return self._period_s or 0.04

    def _is_hole(self, gap: Hole, period_s: float) -> bool:
        """Whether the playlist is to blame for a gap.

        Encoders leave out frames and cameras pause. A playlist that lacks something lacks much of
        a segment, or its end.
        """
        segments = self._playlist.segments
        middle_s = (gap.begin_s + gap.end_s) / 2
        at = bisect.bisect_left(segments, middle_s, key=lambda each: each.end_s)
        segment = segments[min(at, len(segments) - 1)]
        if gap.duration_s >= max(_LARGE * segment.duration_s, 1.5 * period_s):
            return True
        is_regular = len(self._long) <= 4 + len(segments)
        near_s = 1.5 * period_s + 0.001 * len(segments)
        is_end = abs(gap.end_s - segment.end_s) <= near_s and not self._playlist.is_rounded
        return is_regular and is_end and gap.duration_s > 1.5 * period_s

    def _spliced(self, due_s: float) -> float:
        """``due_s``, or where the playlist goes on, should the source's clock leap at a splice."""
        expected_s = self._last_s + self._usual_s()
        while self._splices_s and self._splices_s[0] < expected_s - _SPLICE_S:
            del self._splices_s[0]
        if not self._splices_s:
            return due_s
        # A clock leaps by as little as it likes, but only where the splice is.
        tolerance_s = 1.5 * self._usual_s()
        is_here = abs(self._splices_s[0] - expected_s) <= tolerance_s
        if abs(due_s - expected_s) <= (tolerance_s if is_here else _SPLICE_S):
            return due_s
        after_s = max(self._splices_s[0], expected_s)
        assert self._offset_s is not None
        self._offset_s += after_s - due_s
        return after_s


def describe(holes: list[Hole], playlist: Playlist, *, frames: int, is_damaged: bool) -> str:
    """How much is missing of a playlist of which ``frames`` came, and where, in words."""
    missing_s = sum(hole.duration_s for hole in holes)
    came_s = max(playlist.duration_s - missing_s, 0.0)
    about = f" (about {missing_s / came_s * frames:.0f} frames)" if came_s and frames else ""
    places = []
    for hole in holes[:5]:
        place = f"{hole.begin_s:.2f} to {hole.end_s:.2f} s"
        parts = [
            number
            for number, segment in enumerate(playlist.segments, 1)
            if min(segment.end_s, hole.end_s) - max(segment.begin_s, hole.begin_s)
            > 0.1 * segment.duration_s
        ]
        if parts:
            last = f" to {parts[-1]}" if len(parts) > 1 else ""
            of = f" of {len(playlist.segments)}"
            place += f" (segment{'s' if last else ''} {parts[0]}{last}{of})"
        places.append(place)
    what = "missing or damaged" if is_damaged else "missing"
    more = ", …" if len(holes) > 5 else ""
    return (
        f"{missing_s:.2f} of {playlist.duration_s:.2f} s are {what}{about}: "
        f"{', '.join(places)}{more}"
    )
