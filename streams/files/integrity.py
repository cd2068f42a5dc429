"""Whether a recording is complete: what its container declares against what came.

libav plays a file that is truncated and then reports a normal end, so this is checked
here. The evidence is twofold: containers declare the lengths of their parts in bytes, and some
say how many frames or seconds there should be. Frame counts and durations alone are often
wrong in good files (edit lists, audio that outlasts the video), missing bytes never are.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from oneglance.streams.decoding.tracks import tagged_s
from oneglance.streams.errors import SourceBroken, SourceUnreadable
from oneglance.streams.files.boxes import BOXES, top_level_boxes
from oneglance.streams.files.containers.nut import NUT, NUT_INDEX
from oneglance.streams.files.flash import FLASH
from oneglance.streams.files.matroska import CLUSTER, EBML, SEGMENT, element_at

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

    from oneglance.streams.decoding.accounting import DecodeStats

_FILE_SIZE, _FIRST_TAG, _LARGEST_FLASH = b"\0\x08filesize\0", 4096, 1 << 50
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
"""Its header, and in that the properties of the file."""
_PAGE, _LONGEST_PAGE = b"OggS", 65307
_PACK, _PACK_TAIL = b"\0\0\1\xba", 1 << 20
_TS_STEPS, _TS_SYNC, _TS_SEEN = ((188, 0), (192, 4), (204, 0)), b"\x47", 8
_TS = b"TS"
_SHORTEST_INDEX, _LONGEST_INDEX = 24, 16 << 20
_LAST_ONES = frozenset((_PAGE, _PACK, _TS, NUT))
_MEDIA_DATA = frozenset((b"moof", b"mdat", CLUSTER, FLASH, _ASF)) | _LAST_ONES


@dataclass(frozen=True, slots=True)
class Truncation:
    """What a file lacks by the lengths written in it: ``missing_bytes`` (0: nothing known to be
    missing) and whether the end falls ``in_media``, not in the index or tags after them.
    ``is_least``: more may be missing."""

    missing_bytes: int = 0
    in_media: bool = False
    is_least: bool = False


def check_integrity(
    source: str,
    stream: VideoStream,
    stats: DecodeStats,
    truncation: Truncation = Truncation(),
    *,
    expected: int | None = None,
) -> None:
    """Judge a recording that ended. ``expected``: its frames, where its container is known to
    declare others besides, which are not shown.

    Raises:
        SourceUnreadable: there was not one intact frame.
        SourceBroken: the file is truncated, or frames were damaged.
    """
    short = _falls_short(stream, stats, truncation, expected or stream.frames)
    if not stats.delivered:
        if truncation.missing_bytes:
            raise SourceUnreadable(
                f"{source} is truncated before its first complete frame{_copy(truncation)}"
            )
        why = f" ({stats.last_error})" if stats.last_error else ""
        what = f"has no frame that can be decoded{why}" if stats.produced else "has no frames"
        raise SourceUnreadable(f"{source} {what}")
    if short:
        too_early = "the file ends too early, or is damaged before"
        what = what_is_cut(truncation) if truncation.missing_bytes else too_early
        raise broken(source, stream, stats, what)
    if stats.is_end_lost:
        what = "what follows in the file is missing or damaged"
        raise broken(source, stream, stats, what)
    if stats.damaged or stats.doubtful:
        said = [_damage(stats)] if stats.damaged else []
        said += [_doubt(stats)] if stats.doubtful else []
        raise SourceBroken(f"{source}: {'; '.join(said)}")


def _doubt(stats: DecodeStats) -> str:
    where = f"from {stats.doubtful_begin_s:.2f} to {stats.doubtful_end_s:.2f} s"
    return (
        f"bytes {where} are wrong by the file's own checksum, and nothing shows in which frames: "
        f"{stats.doubtful} of those that were delivered may be damaged"
    )


def _damage(stats: DecodeStats) -> str:
    one = stats.damaged == 1
    what = "1 frame is damaged" if one else f"{stats.damaged} frames are damaged"
    where = f"at index {stats.first_damaged}, {stats.first_damaged_s:.2f} s"
    first = "" if one else ", the first"
    if stats.left_out == stats.damaged:
        left_out = f"and {'was' if one else 'were'} left out"
        return f"{what} {left_out}{first} {where}; the {stats.delivered} others were delivered"
    given, intact = stats.damaged - stats.left_out, stats.produced - stats.damaged
    return f"{what}{first} {where}; {given} of them and the {intact} others were delivered"


def broken(source: str, stream: VideoStream, stats: DecodeStats, what: str) -> SourceBroken:
    """The error that says where a recording broke, for the caller to raise."""
    container = cast("InputContainer", stream.container)
    declares = stream.frames and container.format.name != "gif"  # libav counts what it finds there
    of = f" of {stream.frames}" if declares else ""
    return SourceBroken(
        f"{source} broke after {stats.delivered}{of} frames, at {float(stats.end_s):.2f} s: "
        f"{what}; the frames before are good"
    )


def find_truncation(file: Path) -> Truncation:
    """Compare a file with the lengths written in it.

    Knows ISO media (mp4, mov), Matroska (mkv, webm), RIFF (avi), FLV and ASF (wmv) whose size
    is in them; of MPEG's streams the last packet alone, of Ogg the last page and of NUT the index
    that it ends with, so that more may be missing.

    Raises:
        OSError: the file cannot be read.
    """
    with file.open("rb") as content:
        return truncation_of(content, os.fstat(content.fileno()).st_size)


def truncation_of(content: BinaryIO, size: int) -> Truncation:
    """As ``find_truncation``, of an open file of so many bytes, wherever it lies.

    Raises:
        OSError: it cannot be read.
    """
    for parts in (_boxes, _elements, _riffs, _flash, _asf, _pages, _packs, _transport, _nut):
        over = [(end - size, name) for name, end in parts(content, size) if end > size]
        if over:
            names = {name for _, name in over}
            return Truncation(
                max(over)[0], not names.isdisjoint(_MEDIA_DATA), not names.isdisjoint(_LAST_ONES)
            )
    return Truncation()


def lacks_index(file: Path) -> bool:
    """Whether this is ISO media with frames but without a complete ``moov``, which finds them.

    Raises:
        OSError: the file cannot be read.
    """
    with file.open("rb") as content:
        size = os.fstat(content.fileno()).st_size
        boxes = dict(_boxes(content, size))
    return not boxes.keys().isdisjoint((b"ftyp", b"mdat")) and boxes.get(b"moov", size + 1) > size


def _falls_short(
    stream: VideoStream, stats: DecodeStats, truncation: Truncation, expected: int
) -> bool:
    """Whether frames are missing: truncation may as well have removed only what follows them."""
    if expected and stats.packets >= expected:
        return False
    if truncation.in_media or (truncation.missing_bytes and stream.frames):
        return True
    length_s = declared_s(stream)
    if length_s is None:
        return truncation.missing_bytes > 0
    played_s = float(stats.end_s - stats.begin_s)
    period_s = float(1 / (stream.average_rate or 25))
    if truncation.missing_bytes:
        return played_s < length_s - 0.5 * period_s
    # Without missing bytes only both together count; either alone is wrong in good files.
    return bool(stream.frames) and played_s < length_s - 1.5 * period_s


def what_is_cut(truncation: Truncation) -> str:
    """That a file is truncated, for ``broken``."""
    return f"the file is truncated{_copy(truncation)}"


def _copy(truncation: Truncation) -> str:
    least = "at least " if truncation.is_least else ""
    return f" ({least}{truncation.missing_bytes} bytes are missing: copy it again)"


def declared_s(stream: VideoStream) -> float | None:
    """How long the video is by its container, in seconds; None: it does not say."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    container = cast("InputContainer", stream.container)
    if container.format.name == "flv":
        return None if container.duration is None else container.duration / 1e6
    return tagged_s(stream)


def declared_end(stream: VideoStream) -> int | None:
    """When the video ends by its container, in units of its time base; None: it does not say."""
    length_s = declared_s(stream)
    if length_s is None or stream.time_base is None:
        return None
    # What Matroska and FLV declare is a time, and no length.
    start = 0 if stream.duration is None else stream.start_time or 0
    return start + round(length_s / stream.time_base)


_Part = tuple[bytes, int]
"""A part of a file: its name, and the offset at which it should end."""


def _boxes(content: BinaryIO, size: int) -> Iterator[_Part]:
    """Top-level boxes of ISO media, as far as they are of known types."""
    if _transport_step(content) is not None:  # its first packet may look like one
        return
    for name, end in takewhile(lambda box: box[0] in BOXES, top_level_boxes(content, size)):
        yield name, size if end is None else end


def _elements(content: BinaryIO, size: int) -> Iterator[_Part]:
    """The segment of a Matroska file and the elements in it, as far as their lengths are known."""
    found = element_at(content, 0)
    if found is None or found.name != EBML:
        return
    while found is not None:
        if found.end is None and found.name != SEGMENT:  # written as a stream
            return
        yield found.name, found.begin if found.end is None else found.end
        if found.name == SEGMENT:
            if found.end is not None and found.begin < found.end <= size:
                return  # all of it is there, and so is all that is in it: no more need be read
            found = element_at(content, found.begin)
        else:
            assert found.end is not None
            found = element_at(content, found.end) if found.end < size else None


def _riffs(content: BinaryIO, size: int) -> Iterator[_Part]:
    """RIFF chunks of an AVI; a long one has several."""
    at = 0
    while at + 12 <= size:
        content.seek(at)
        header = content.read(12)
        length = int.from_bytes(header[4:8], "little")
        if header[:4] != b"RIFF" or header[8:11] != b"AVI" or length == 0:
            return
        at += 8 + length + length % 2
        yield header[8:12], at


def _flash(content: BinaryIO, size: int) -> Iterator[_Part]:
    """An FLV, as far as its first tag says how large it is to be; a live one does not."""
    content.seek(0)
    head = content.read(_FIRST_TAG)
    at = head.find(_FILE_SIZE)
    if head.startswith(FLASH) and 0 < at <= len(head) - len(_FILE_SIZE) - 8:
        (length,) = struct.unpack_from(">d", head, at + len(_FILE_SIZE))
        if size < length < _LARGEST_FLASH:
            yield FLASH, int(length)


def _asf(content: BinaryIO, size: int) -> Iterator[_Part]:
    """An ASF that is no broadcast: it says how large it is (Advanced Systems Format, 3.2)."""
    content.seek(0)
    head = content.read(_FIRST_TAG)
    at = head.find(_ASF_FILE)
    if not head.startswith(_ASF) or not 0 < at <= len(head) - 92:
        return
    (length,), (flags,) = struct.unpack_from("<Q", head, at + 40), head[at + 88 : at + 89]
    if not flags & 1 and size < length < _LARGEST_FLASH:
        yield _ASF, length


def _pages(content: BinaryIO, size: int) -> Iterator[_Part]:
    """The last page of an Ogg, and one more where that is not marked as the last (RFC 3533, 6)."""
    begin, tail, at = _last(_PAGE, content, size - _LONGEST_PAGE)
    if at < 0:
        return
    table = tail[at + 27 : at + 27 + tail[at + 26]] if at + 26 < len(tail) else b""
    end = begin + at + 27 + max(len(table), 1) + sum(table)
    yield _PAGE, end
    if end == size and not tail[at + 5] & 4:
        yield _PAGE, end + 28


def _last(sign: bytes, content: BinaryIO, since: int) -> tuple[int, bytes, int]:
    """Of a file that begins with ``sign``: where its tail begins, the tail, and where in that
    ``sign`` stands last; -1 where it does not, or the file begins otherwise."""
    content.seek(0)
    if content.read(len(sign)) != sign:
        return 0, b"", -1
    begin = content.seek(max(0, since))
    tail = content.read()
    return begin, tail, tail.rfind(sign)


def _packs(content: BinaryIO, size: int) -> Iterator[_Part]:
    """The last pack of an MPEG program stream (ISO/IEC 13818-1, 2.5.3)."""
    begin, tail, at = _last(_PACK, content, size - _PACK_TAIL)
    if at < 0 or at + 14 > len(tail):
        return
    at += 14 + (tail[at + 13] & 7) if tail[at + 4] >> 6 == 1 else 12
    while tail.startswith(b"\0\0\1", at) and at + 6 <= len(tail) and tail[at + 3] >= 0xBB:
        at += 6 + int.from_bytes(tail[at + 4 : at + 6], "big")
        yield _PACK, begin + at


def _transport(content: BinaryIO, size: int) -> Iterator[_Part]:
    """The last packet of an MPEG transport stream, if all have one length."""
    found = _transport_step(content)
    if found is not None:
        step, head = found
        content.seek(size // step * step - step + head)
        if content.read(1) == _TS_SYNC:
            yield _TS, -(-size // step) * step


def _transport_step(content: BinaryIO) -> tuple[int, int] | None:
    """The length of a transport stream's packets, and of what stands before each; None: it is no
    such stream."""
    content.seek(0)
    start = content.read(_TS_SEEN * max(_TS_STEPS)[0])
    return next(
        (
            (step, head)
            for step, head in _TS_STEPS
            if start[head : step * _TS_SEEN : step] == _TS_SYNC * _TS_SEEN
        ),
        None,
    )


def _nut(content: BinaryIO, size: int) -> Iterator[_Part]:
    """The index of a NUT, which ends with its own length and a checksum."""
    content.seek(0)
    if content.read(len(NUT)) != NUT or size < len(NUT) + _SHORTEST_INDEX:
        return
    content.seek(size - 12)
    length = int.from_bytes(content.read(8), "big")
    if _SHORTEST_INDEX <= length < size:
        content.seek(size - length)
        if content.read(len(NUT_INDEX)) == NUT_INDEX:
            return
    content.seek(max(0, size - _LONGEST_INDEX))
    if NUT_INDEX not in content.read():  # otherwise nothing but a part of it is missing
        yield NUT, size + _SHORTEST_INDEX
