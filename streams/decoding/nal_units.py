"""NAL units of H.264 and H.265, and the bits in them; nothing raises on damaged bytes but a reader
that has come to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

HEAD = 4096
"""Bytes in which parameter sets and messages before the first slice usually fit."""

ZEROS = bytes(4)
"""What no slice has inside."""

SECTOR = 512
"""Bytes of a disk that are lost together."""

FILLED = 128
"""More zeros than encoders put behind a frame whose length its container says, or arithmetic
coders write."""

H264_NUMBERS = 16
"""Reference frames after which H.264's shortest numbers come round."""

_FEW = 4
"""Frames that nothing refers to, and the next, come in a row."""


def numbers_show(lost: int, periods: float) -> bool:
    """Whether H.264's own numbers, by which so many reference frames are missing, show what is
    missing in a gap: they come round, and begin anew with a key frame, which may be missing too."""
    return periods <= (H264_NUMBERS if lost else _FEW)


class BitReader:
    """A reader of bits. Raises IndexError at the end."""

    def __init__(self, content: bytes) -> None:
        self._value, self._left = int.from_bytes(content, "big"), 8 * len(content)

    def read(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise IndexError
        return self._value >> self._left & ((1 << count) - 1)

    def ue(self) -> int:
        """An unsigned Exp-Golomb number (ITU-T H.264, 9.1)."""
        zeros = 0
        while not self.read(1):
            zeros += 1
            if zeros > 32:
                raise IndexError
        return (1 << zeros) - 1 + self.read(zeros)

    def se(self) -> int:
        """A signed one (9.1.1)."""
        value = self.ue()
        return (value + 1) // 2 if value % 2 else -(value // 2)


def unescaped(content: bytes) -> bytes:
    """Without the bytes that keep a start code out of a unit (7.4.1)."""
    return content.replace(b"\0\0\3", b"\0\0")


def length_size_of(extradata: bytes, at: int) -> int:
    """Bytes of the length before each unit; 0 where start codes part them."""
    is_record = extradata[:1] == b"\1" and len(extradata) > at
    return (extradata[at] & 3) + 1 if is_record else 0


def parameter_sets(extradata: bytes) -> Iterator[bytes]:
    """Parameter sets of an H.264 configuration record (ISO/IEC 14496-15, 5.3.3.1)."""
    at = 5
    for mask in (31, 255):
        count, at = (extradata[at] & mask if at < len(extradata) else 0), at + 1
        for _ in range(count):
            size = int.from_bytes(extradata[at : at + 2], "big")
            if unit := extradata[at + 2 : at + 2 + size]:
                yield unit
            at += 2 + size


def nal_units(data: memoryview, length_size: int) -> Iterator[bytes]:
    """The NAL units of a packet, truncated after the first kilobytes of each."""
    if length_size:
        at = 0
        while at + length_size < len(data):
            size = int.from_bytes(data[at : at + length_size], "big")
            at += length_size
            if size:
                yield bytes(data[at : at + min(size, HEAD)])
            at += size
        return
    content = bytes(data[:HEAD])
    at = content.find(b"\0\0\1")
    while at >= 0:
        end = content.find(b"\0\0\1", at + 3)
        unit = content[at + 3 : end if end >= 0 else None]
        if unit:
            yield unit
        if end < 0 and len(content) < len(data):  # seldom: a slice comes first, and ends the search
            content = bytes(data)
            end = content.find(b"\0\0\1", at + 3)
        at = end


def has_hole(content: bytes, length_size: int, is_slice: Callable[[int], bool]) -> bool:
    """Whether zeros stand inside a slice, where they would be escaped (H.264, 7.4.1; H.265,
    7.4.2.1). What follows a slice may be filled up with them, less so where units have a length.
    """
    most = FILLED if length_size else SECTOR
    if length_size:
        units = list(_whole_units(content, length_size))
    else:
        units = content.split(b"\0\0\1")[1:]
    for unit in units:
        if unit and is_slice(unit[0]):
            filled = unit.rstrip(b"\0")
            if ZEROS in filled or len(unit) - len(filled) >= most:
                return True
    return False


def _whole_units(content: bytes, length_size: int) -> Iterator[bytes]:
    at = 0
    while at + length_size < len(content):
        size = int.from_bytes(content[at : at + length_size], "big")
        yield content[at + length_size : at + length_size + size]
        at += length_size + size


@dataclass(frozen=True, slots=True)
class H264Sequence:
    """What slice headers need of a sequence parameter set."""

    number_bits: int
    frames_only: bool
    separate_planes: bool
    gaps_allowed: bool
    order: int
    order_bits: int  # of a frame's place in the order of showing, where ``order`` is 0


_HIGH_PROFILES = frozenset((100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135))
_PROFILES = _HIGH_PROFILES | {66, 77, 88}
_LEVELS = range(9, 63)
_PARAMETERS, _FIRST = 512, 32
"""Bytes of a sequence's set that are read, and of a picture's."""


class H264Sets:
    """The parameter sets of an H.264 stream. Other bytes that lie over a frame may look like some:
    a picture's set must name a sequence that is known, and a known one changes where it is likely.
    """

    def __init__(self) -> None:
        self._sequences: dict[int, H264Sequence] = {}
        self._sequence_of: dict[int, int] = {}

    def read(self, unit: bytes) -> None:
        """The next NAL unit, of whatever type.

        Raises:
            IndexError: it is damaged.
        """
        if unit[0] & 31 == 7:
            number, sequence = _h264_sequence(BitReader(unescaped(unit[1:_PARAMETERS])))
            if number not in self._sequences or _is_likely(unit):
                self._sequences[number] = sequence
        elif unit[0] & 31 == 8:
            bits = BitReader(unescaped(unit[1:_FIRST]))
            picture, number = bits.ue(), bits.ue()
            if number in self._sequences:
                self._sequence_of[picture] = number

    def sequence_of(self, picture: int) -> H264Sequence:
        """What the picture parameter set of that number goes with.

        Raises:
            KeyError: it is not known.
        """
        return self._sequences[self._sequence_of[picture]]


def _is_likely(unit: bytes) -> bool:
    """Whether what looks like an H.264 sequence parameter set is one, and no other bytes, which lie
    over a frame: by its profile and level."""
    return unit[1] in _PROFILES and unit[3] in _LEVELS


def _h264_sequence(bits: BitReader) -> tuple[int, H264Sequence]:
    """An H.264 sequence parameter set: its number, and what slice headers need of it."""
    profile = bits.read(8)
    bits.read(16)
    number = bits.ue()
    separate_planes = False
    if profile in _HIGH_PROFILES:
        chroma = bits.ue()
        if chroma == 3:
            separate_planes = bool(bits.read(1))
        bits.ue()
        bits.ue()
        bits.read(1)
        if bits.read(1):
            for index in range(8 if chroma != 3 else 12):
                if bits.read(1):
                    _skip_scaling(bits, 16 if index < 6 else 64)
    number_bits = bits.ue() + 4
    order, order_bits = bits.ue(), 0
    if order == 0:
        order_bits = bits.ue() + 4
    elif order == 1:
        bits.read(1)
        bits.ue()
        bits.ue()
        for _ in range(bits.ue()):
            bits.ue()
    bits.ue()
    gaps_allowed = bool(bits.read(1))
    bits.ue()
    bits.ue()
    frames_only = bool(bits.read(1))
    return number, H264Sequence(
        number_bits, frames_only, separate_planes, gaps_allowed, order, order_bits
    )


def _skip_scaling(bits: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last
