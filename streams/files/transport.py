"""Where an MPEG transport stream in a file lost packets, by its continuity counters.

libav reports that something was lost thereabouts, and no more (ISO/IEC 13818-1, 2.4.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from pathlib import Path

_PACKET, _SYNC = 188, 0x47
_LONGEST = 64 << 20
"""Bytes of one frame that are looked at."""
_TABLES_BEFORE = 4 << 20
"""Bytes before a frame in which the last program table is looked for."""


class Loss(Enum):
    """What is missing between where a frame begins and where the next one does."""

    NOTHING = 0
    INSIDE = 1
    """Something of the frame."""
    AFTER = 2
    """Intact frames that came after it."""


def find_loss(file: Path, begin: int, end: int, pid: int) -> Loss | None:
    """What was lost of the packets with that ``pid`` from byte ``begin`` to the one at ``end``.

    Where counters of all programs start anew, streams were put together and nothing was lost.
    None: this is no transport stream of packets of 188 bytes, or cannot be read.
    """
    found = _read(file, begin, end)
    if found is None:
        return None
    before, parts = found
    last: bytes | None = None
    for index, part in enumerate(parts):
        if _pid(part) != pid or not part[3] & 0x10:
            continue
        if last is not None and not _follows(last, part):
            if index == len(parts) - 1 and _begins_anew(before, parts):
                return Loss.NOTHING
            is_whole = index == len(parts) - 1 and _is_stuffed(last)
            return Loss.AFTER if is_whole else Loss.INSIDE
        last = part
    return Loss.NOTHING


def _read(file: Path, begin: int, end: int) -> tuple[bytes, list[bytes]] | None:
    """What stands some way before the first byte, and the packets from there to the second."""
    if not 0 <= begin < end <= begin + _LONGEST or (end - begin) % _PACKET:
        return None
    early = max(begin % _PACKET, begin - _TABLES_BEFORE // _PACKET * _PACKET)
    try:
        with file.open("rb") as content:
            content.seek(early)
            before, span = content.read(begin - early), content.read(end + _PACKET - begin)
    except OSError:
        return None
    parts = list(_packets(span))
    is_whole = len(parts) * _PACKET == end + _PACKET - begin
    return (before, parts) if is_whole and all(part[0] == _SYNC for part in parts) else None


def _packets(content: bytes) -> Iterator[bytes]:
    return (content[at : at + _PACKET] for at in range(0, len(content) - _PACKET + 1, _PACKET))


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
