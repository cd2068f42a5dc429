"""In which order frames are shown, by the numbers in their own headers.

Of H.264 the picture order count (ITU-T H.264, 8.2.1.1), of H.265 likewise (ITU-T H.265, 8.3.1), of
MPEG-1 and MPEG-2 the temporal reference (ISO/IEC 13818-2, 6.3.9).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from oneglance.streams.decoding.nal_units import (
    HEAD,
    BitReader,
    H264Sets,
    length_size_of,
    nal_units,
    parameter_sets,
    unescaped,
)

_GROUP, _FRAME = b"\0\0\1\xb8", b"\0\0\1\0"
_PARAMETERS = 512
_H264_B = 1


@dataclass(frozen=True, slots=True)
class Place:
    """A frame's ``number`` in the order of showing, which comes round after ``most``. ``begins``:
    numbers are counted from the frame after all that were decoded before it. ``is_b``: it leans on
    frames before and behind it, where that is read. ``is_in_order``: all are shown as decoded."""

    number: int
    most: int
    begins: bool
    is_b: bool = False
    is_in_order: bool = False


Places = Callable[[memoryview], Place | None]
"""From a packet's bytes to its place; None: they do not say it. Given each packet, in order."""


def places_of(codec: str, extradata: bytes | None) -> tuple[Places, float] | None:
    """Who reads the places of frames of that coding (libav's name), and how many frames lie between
    two numbers, most often; None: it is not known here."""
    if codec == "h264":
        return _H264(extradata or b"").see, 0.5
    if codec == "hevc":
        return _H265(extradata or b"").see, 1.0
    return (_mpeg2, 1.0) if codec in ("mpeg1video", "mpeg2video") else None


def holds_frame(codec: str, data: memoryview) -> bool:
    """Whether a frame begins in those bytes, of one of the codings above."""
    if codec not in ("h264", "hevc"):
        return _FRAME in bytes(data)
    units = [unit for unit in nal_units(data, 0) if len(unit) > 2]
    if codec == "h264":
        return any(unit[0] & 31 in (1, 5) and unit[1] & 0x80 for unit in units)
    return any(unit[0] >> 1 & 63 < 32 and unit[2] & 0x80 for unit in units)


def _mpeg2(data: memoryview) -> Place | None:
    content = bytes(data[:HEAD])
    at = content.find(_FRAME)
    if at < 0 or at + 6 > len(content):
        return None
    number = content[at + 4] << 2 | content[at + 5] >> 6
    return Place(number, 1 << 10, content.find(_GROUP, 0, at) >= 0)


class _H264:
    def __init__(self, extradata: bytes) -> None:
        self._length_size = length_size_of(extradata, 4)
        self._sets = H264Sets()
        is_record = extradata[:1] == b"\1"
        for unit in parameter_sets(extradata) if is_record else nal_units(memoryview(extradata), 0):
            self._sets.read(unit)

    def see(self, data: memoryview) -> Place | None:
        for unit in nal_units(data, self._length_size):
            try:
                if unit[0] & 31 in (1, 5):
                    return self._slice(unit)
                self._sets.read(unit)
            except (IndexError, KeyError):
                return None
        return None

    def _slice(self, unit: bytes) -> Place | None:
        bits = BitReader(unescaped(unit[1:32]))
        bits.ue()
        is_b = bits.ue() % 5 == _H264_B
        sequence = self._sets.sequence_of(bits.ue())
        if sequence.separate_planes:
            bits.read(2)
        number, is_first = bits.read(sequence.number_bits), unit[0] & 31 == 5
        if not sequence.frames_only and bits.read(1):
            return None  # a field
        if sequence.order == 2:  # shown as they are decoded
            return Place(2 * number, 2 << sequence.number_bits, is_first, is_in_order=True)
        if is_first:
            bits.ue()
        if not sequence.order_bits:
            return None
        return Place(bits.read(sequence.order_bits), 1 << sequence.order_bits, is_first, is_b)


class _H265:
    def __init__(self, extradata: bytes) -> None:
        self._length_size = length_size_of(extradata, 21)
        self._order_bits: dict[int, tuple[int, bool]] = {}
        self._sets: dict[int, tuple[int, bool, int]] = {}
        for unit in h265_sets(extradata):
            self._try(unit)

    def see(self, data: memoryview) -> Place | None:
        for unit in nal_units(data, self._length_size):
            if len(unit) < 3:
                continue
            kind = unit[0] >> 1 & 63
            if kind < 32:
                try:
                    return self._slice(unit, kind)
                except (IndexError, KeyError):
                    return None
            self._try(unit)
        return None

    def _try(self, unit: bytes) -> None:
        if len(unit) < 3:
            return
        kind = unit[0] >> 1 & 63
        bits = BitReader(unescaped(unit[2:_PARAMETERS]))
        try:
            if kind == 33:
                number, order_bits, separate_planes = _h265_sequence(bits)
                self._order_bits[number] = order_bits, separate_planes
            elif kind == 34:
                number, sequence = bits.ue(), bits.ue()
                bits.read(1)
                self._sets[number] = (sequence, bool(bits.read(1)), bits.read(3))
        except IndexError:
            return

    def _slice(self, unit: bytes, kind: int) -> Place | None:
        bits = BitReader(unescaped(unit[2:48]))
        if not bits.read(1) or 16 <= kind <= 18:  # no first slice; what was cut off before it
            return None
        if 16 <= kind <= 23:
            bits.read(1)
        sequence, says_output, more = self._sets[bits.ue()]
        order_bits, separate_planes = self._order_bits[sequence]
        if kind in (19, 20):
            return Place(0, 1 << order_bits, True)
        bits.read(more)
        bits.ue()
        bits.read(says_output + 2 * separate_planes)
        return Place(bits.read(order_bits), 1 << order_bits, False)


def h265_sets(extradata: bytes) -> Iterator[bytes]:
    """Parameter sets, of a configuration record (ISO/IEC 14496-15, 8.3.3.1) or as they come."""
    if not length_size_of(extradata, 21):
        yield from nal_units(memoryview(extradata), 0)
        return
    at = 23
    for _ in range(extradata[22] if len(extradata) > 22 else 0):
        count, at = int.from_bytes(extradata[at + 1 : at + 3], "big"), at + 3
        for _ in range(count):
            size, at = int.from_bytes(extradata[at : at + 2], "big"), at + 2
            if size < 2 or at + size > len(extradata):
                return
            yield extradata[at : at + size]
            at += size


def _h265_sequence(bits: BitReader) -> tuple[int, int, bool]:
    """Of a sequence parameter set: its number, the width of a frame's number in it, and whether
    colours are coded apart."""
    bits.read(4)
    layers = bits.read(3)
    bits.read(1 + 88 + 8)
    has = [(bits.read(1), bits.read(1)) for _ in range(layers)]
    bits.read(2 * (8 - layers) if layers else 0)
    for profile, level in has:
        bits.read(88 * profile + 8 * level)
    number = bits.ue()
    separate_planes = bits.ue() == 3 and bool(bits.read(1))
    bits.ue()
    bits.ue()
    if bits.read(1):
        for _ in range(4):
            bits.ue()
    bits.ue()
    bits.ue()
    return number, bits.ue() + 4, separate_planes
