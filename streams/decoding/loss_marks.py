"""Marks of what was lost on the way, among the bytes of the frames themselves.

Who sees packets get lost (``live.rtsp``) is not who decodes, and libav, between the two, joins
packets into frames and gives them times of its own. A mark that is put where something is missing
comes out at its place. It is a unit that decoders pass over: filler data of H.264 and H.265.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from oneglance.streams.decoding.padding import packet_of

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

_NAME = b"oneglance:\xa5\x3c\x96\xd2\xb7\x69lost"
"""No start code, and nothing that a coder writes."""

# Before it: a NAL unit's header; MPEG-4 has no units that may stand between two of its own.
_HEADERS = {"h264": b"\x0c", "hevc": b"\x4c\x01", "mpeg4": b""}
_END = b"\x80"

_INSIDE, _AFTER = 1, 2


@dataclass(frozen=True, slots=True)
class LossMark:
    """What is missing here: something ``inside`` the frame in whose bytes it lies, something
    ``after`` it and before the next one; ``count`` of packets, 255 at most."""

    inside: bool
    after: bool
    count: int = 1


def can_mark(codec: str) -> bool:
    """Whether frames of that codec (libav's name) can carry marks."""
    return codec in _HEADERS


def coded_mark(mark: LossMark, codec: str) -> bytes:
    """A unit of that codec that carries it."""
    # No byte is zero: zeros could make a start code.
    content = bytes((0x40 | _INSIDE * mark.inside | _AFTER * mark.after, min(255, mark.count)))
    return _HEADERS[codec] + _NAME + content + _END


def find_marks(data: bytes, codec: str) -> tuple[int, list[LossMark]]:
    """Where the first mark among a frame's bytes begins, and all of them in order."""
    marks: list[LossMark] = []
    first, at = len(data), data.find(_NAME)
    while at >= 0 and at + len(_NAME) + 2 <= len(data):
        first = min(first, at - len(_HEADERS[codec]))
        flags, count = data[at + len(_NAME)], data[at + len(_NAME) + 1]
        marks.append(LossMark(bool(flags & _INSIDE), bool(flags & _AFTER), count))
        at = data.find(_NAME, at + 1)
    return max(0, first), marks


def without_marks(
    packet: Packet[VideoStream], codec: str
) -> tuple[Packet[VideoStream], list[LossMark]]:
    """The packet, as far as its bytes belong to one frame, and the marks among them."""
    content = bytes(packet)
    at, marks = find_marks(content, codec)
    if not marks or marks[0].inside:
        return packet, marks
    # What follows belongs to another frame, whose beginning was lost.
    whole = packet_of(content[:at])
    whole.stream, whole.time_base = packet.stream, packet.time_base
    whole.pts, whole.dts, whole.duration = packet.pts, packet.dts, packet.duration
    whole.is_keyframe = packet.is_keyframe
    return whole, marks


@dataclass(slots=True)
class LossCount:
    """How often something was lost so far: ``marked`` in the bytes of frames, or ``unmarked``,
    where their coding has no place for a mark. Written by one thread, read by another."""

    marked: int = 0
    unmarked: int = 0
