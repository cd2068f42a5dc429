"""Where an MPEG transport stream in a file lost packets, by its continuity counters.

libav reports that something was lost thereabouts, and no more (ISO/IEC 13818-1, 2.4.3).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import numpy.typing as npt

from oneglance.streams.decoding.padding import packet_of

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

_PACKET, _SYNC = 188, 0x47
_STEPS = ((_PACKET, 0), (192, 4), (204, 16))
"""Bytes from one packet to the next, and what stands before it from where libav says it begins:
cameras (.m2ts) put a time before each, and tuners a code after."""
FEW = 64 * 204
"""Bytes of which libav may take a transport stream for something else: it counts on more."""
_FEWEST = 3
_LONGEST = 64 << 20
"""Bytes of one frame that are looked at."""
_LONGEST_GROUP_US = 10_000_000
"""Microseconds before the end in which the last key frame is looked for."""
_QUIET = frozenset(("h264", "hevc"))
"""Codings whose decoders may say nothing of an end that is missing; others do."""
_RESTS = (bytes(64), b"\x5a" * 64)
_TABLES_BEFORE = 4 << 20
"""Bytes before a frame in which the last program table is looked for."""


class Loss(Enum):
    """What is missing between where a frame begins and where the next one does."""

    NOTHING = 0
    INSIDE = 1
    """Something of the frame."""
    AFTER = 2
    """Intact frames that came after it."""


def is_tiny(content: bytes) -> bool:
    """Whether ``FEW`` bytes of the beginning of a file are all of it, and a transport stream."""
    if len(content) >= FEW:
        return False
    return any(
        len(content) >= _FEWEST * step
        and all(content[at] == _SYNC for at in range(before, len(content), step))
        for step, before in ((_PACKET, 0), (192, 4), (204, 0))
    )


def find_loss(file: Path, begin: int, end: int | None, pid: int) -> Loss | None:
    """What was lost of the packets with that ``pid`` from byte ``begin`` to the one at ``end``
    (None: the end of the file).

    Where counters of all programs start anew, streams were put together and nothing was lost.
    None: this is no transport stream, or cannot be read.
    """
    found = _read(file, begin, end)
    if found is None:
        return None
    before, parts, is_cut = found
    following = None if end is None else len(parts) - 1
    last: bytes | None = None
    for index, part in enumerate(parts):
        if _pid(part) != pid or not part[3] & 0x10:
            continue
        if last is not None and not _follows(last, part):
            if index == following and _begins_anew(before, parts):
                return Loss.NOTHING
            is_whole = index == following and _is_stuffed(last)
            return Loss.AFTER if is_whole else Loss.INSIDE
        last = part
    if end is not None or (last and _is_stuffed(last)):
        return Loss.NOTHING
    return Loss.INSIDE if is_cut or not _is_all_there(file, pid) else Loss.NOTHING


def begins_inside(file: Path, end: int, pid: int) -> bool:
    """Whether a file begins in the middle of a frame of that ``pid``, of which libav gives nothing;
    ``end``: where its first packet begins."""
    found = _read(file, 0, end)
    own = (part for part in found[1] if _pid(part) == pid and part[3] & 0x10) if found else iter(())
    first = next(own, None)
    return first is not None and not first[1] & 0x40


def _is_all_there(file: Path, pid: int) -> bool:
    """Whether the last frame, whose packets are full, ends there: one in 184 does, and any that was
    cut between two packets. What follows the end of a frame changes nothing in it, so it is decoded
    twice, with what it depends on, and something else behind it. True where that cannot be done."""
    try:
        with av.open(str(file.absolute())) as container:
            stream = next(each for each in container.streams.video if each.id == pid)
            if stream.codec_context.name not in _QUIET:
                return True
            if container.duration:
                end = (container.start_time or 0) + container.duration
                container.seek(max(container.start_time or 0, end - _LONGEST_GROUP_US))
            group: list[Packet[VideoStream]] = []
            for packet in container.demux(stream):
                if packet.is_keyframe and packet.size:
                    group.clear()
                if packet.size and (group or packet.is_keyframe):
                    group.append(packet)
            context = stream.codec_context
            zeros, other = (
                _last_image(context.name, context.extradata, group, rest) for rest in _RESTS
            )
    except (av.error.FFmpegError, StopIteration, OSError):
        return True
    return zeros is None or other is None or np.array_equal(zeros, other)


def _last_image(
    codec: str, extradata: bytes | None, group: list[Packet[VideoStream]], rest: bytes
) -> npt.NDArray[np.uint8] | None:
    """The image of a group's last frame with ``rest`` behind it; None: there is none."""
    if not group:
        return None
    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    if extradata:
        decoder.extradata = extradata
    last = packet_of(bytes(group[-1]) + rest)
    last.pts, last.dts, last.time_base = group[-1].pts, group[-1].dts, group[-1].time_base
    frames = [frame for packet in (*group[:-1], last) for frame in decoder.decode(packet)]
    frames += decoder.decode(None)
    found = [frame for frame in frames if frame.pts == last.pts]
    return np.asarray(found[-1].to_ndarray(), np.uint8) if found else None


def _read(file: Path, begin: int, end: int | None) -> tuple[bytes, list[bytes], bool] | None:
    """The packets some way before the first byte, joined; those from there to the second; whether
    the end of the file has cut one in two."""
    try:
        with file.open("rb") as content:
            size = content.seek(0, os.SEEK_END)
            last = size if end is None else end + _PACKET
            if not 0 <= begin < last <= begin + _LONGEST:
                return None
            for step, head in _STEPS:
                if end is not None and (end - begin) % step:
                    continue
                early = max(begin % step, begin - _TABLES_BEFORE // step * step)
                content.seek(early)
                before, span = content.read(begin - early), content.read(last + head - begin)
                parts = list(_packets(span, step, head))
                if parts and all(part[0] == _SYNC for part in parts):
                    joined = before if step == _PACKET else b"".join(_packets(before, step, head))
                    return joined, parts, end is None and (size - begin) % step not in (0, head)
    except OSError:
        return None
    return None


def _packets(content: bytes, step: int, head: int) -> Iterator[bytes]:
    return (content[at : at + _PACKET] for at in range(head, len(content) - _PACKET + 1, step))


def _pid(part: bytes) -> int:
    return (part[1] & 0x1F) << 8 | part[2]


def _follows(last: bytes, part: bytes) -> bool:
    if part[3] & 0x20 and part[4] and part[5] & 0x80:  # it says that its counter starts anew
        return True
    step = (part[3] - last[3]) & 15
    return step == 1 or (step == 0 and part[4:] == last[4:])  # a packet may be sent twice


def _begins_anew(before: bytes, parts: list[bytes]) -> bool:
    """Whether the counter of the program table breaks as well, just before the last packet."""
    table: bytes | None = None
    for part in parts:
        if _pid(part) == 0:
            table = part
    if table is None:
        return False
    for at in range(len(before) - _PACKET, -1, -_PACKET):
        part = before[at : at + _PACKET]
        if part[0] == _SYNC and _pid(part) == 0:
            return not _follows(part, table) or table[3] & 15 == 0
    return False


def _is_stuffed(part: bytes) -> bool:
    """Whether a packet is filled up, as the last one of a frame is."""
    if not part[3] & 0x20:
        return False
    length, flags = part[4], part[5] if part[4] else 0
    used = 1 + 6 * (flags >> 4 & 1) + 6 * (flags >> 3 & 1) + (flags >> 2 & 1)
    return length == 0 or length > used
