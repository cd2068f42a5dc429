"""Times that MPEG-4 frames carry themselves (ISO/IEC 14496-2, 6.2.3 and 6.2.5)."""

from __future__ import annotations

import re
from fractions import Fraction

from oneglance.streams.decoding.bitstream import LARGEST_PLACE_HOLDER
from oneglance.streams.decoding.nal_units import BitReader
from oneglance.streams.decoding.times.temporal import Shown

_HEADER = 64
"""Bytes that a header fits in."""

_HEAD = 512
_PACKED = re.compile(rb"\0\0\x01\xb2DivX\d+b\d+p")
"""What encoders write in the user data before the first frame of a stream that packs B-frames."""

_APART = 16
"""Frames by which showing and decoding may be apart, and more."""


class VopTimes:
    """Reads the times of the frames in each packet, in decoding order."""

    def __init__(self, extradata: bytes | None) -> None:
        self._resolution = 0
        self._base_s = self._base_before_s = 0
        self.ends_in_b = False
        """Whether the last frame that was read is a B-frame, which is shown when it is decoded."""
        self.is_unreadable = False
        """Whether the last packet held something, and no head of a frame."""
        self._read(extradata or b"")

    def times_s(self, data: memoryview) -> list[Fraction]:
        """Seconds, from any origin, of each frame in a packet that is shown; [] where there is
        none, or no header says how its times are counted."""
        return self._read(bytes(data))

    def _read(self, content: bytes) -> list[Fraction]:
        found: list[Fraction] = []
        self.is_unreadable = len(content) > LARGEST_PLACE_HOLDER
        at = content.find(b"\0\0\1")
        while 0 <= at < len(content) - 4:
            kind, header = content[at + 3], content[at + 4 : at + 4 + _HEADER]
            try:
                if 0x20 <= kind <= 0x2F:
                    self._resolution = _resolution(BitReader(header)) or self._resolution
                elif kind == 0xB3:
                    self._base_s = _time_code_s(BitReader(header))
                elif kind == 0xB6 and self._resolution:
                    found += self._frame(BitReader(header))
            except IndexError:  # a truncated header
                return found
            at = content.find(b"\0\0\1", at + 4)
        return found

    def _frame(self, bits: BitReader) -> list[Fraction]:
        self.ends_in_b = is_b = bits.read(2) == 2
        seconds = 0
        while bits.read(1):
            seconds += 1
        is_marked = bits.read(1)
        ticks = bits.read(max(1, (self._resolution - 1).bit_length()))
        if not (is_marked and bits.read(1)):
            return []
        self.is_unreadable = False
        if not is_b:
            self._base_before_s, self._base_s = self._base_s, self._base_s + seconds
        base_s = self._base_before_s + seconds if is_b else self._base_s
        # One that is "not coded" repeats the frame before: the decoder gives nothing.
        return [base_s + Fraction(ticks, self._resolution)] if bits.read(1) else []


class OwnTimes:
    """Those times in units of a container that counts packets, as long as both agree."""

    def __init__(self, extradata: bytes | None, time_base: Fraction) -> None:
        self._times = VopTimes(extradata)
        self._time_base = time_base
        self._shown = Shown()
        self._is_b = self.is_guess = False
        self._origin: Fraction | None = None
        self.is_certain = False
        """Whether the frames' times count from where the container's do."""

    @property
    def ends_in_b(self) -> bool:
        """See ``VopTimes``."""
        return self._is_b

    def slots(self, data: memoryview, dts: int) -> list[int] | None:
        """When each frame of a packet is shown, [] for a place holder; ``dts`` is the packet's
        place. None: its frames say no time, or one far from there (a film whose rate was changed
        afterwards), and the place must do, for all that follow as well."""
        times_s = self._times.times_s(data)
        self._is_b, self.is_guess = self._times.ends_in_b, False
        if self._times.is_unreadable and self._origin is not None:
            shown_at, self._is_b = self._shown.guess(dts)
            self.is_guess = self._shown.is_guess(dts, is_b=self._is_b)
            return [shown_at]
        if not times_s:
            return None if self._origin is None else []
        if not self.is_certain and len(times_s) == 1 and self._times.ends_in_b:
            # The frame after it was decoded before.
            self._origin, self.is_certain = times_s[0] - (dts - 1) * self._time_base, True
        elif self._origin is None:
            # Of another one than the first it is not known what is shown before.
            self._origin, self.is_certain = times_s[0] - dts * self._time_base, dts == 0
        found = [round((time_s - self._origin) / self._time_base) for time_s in times_s]
        if not all(abs(slot - dts) <= _APART for slot in found):
            return None
        for slot in found:
            self._shown.see(slot, dts, is_b=self._is_b)
        return found


def _resolution(bits: BitReader) -> int:
    """Of a video object layer: into how many parts it divides a second."""
    bits.read(1 + 8)
    version = 1
    if bits.read(1):
        version = bits.read(4)
        bits.read(3)
    if bits.read(4) == 15:  # pixels that are not square, by their sides
        bits.read(16)
    if bits.read(1):
        bits.read(3)
        if bits.read(1):
            bits.read(79)  # of the buffer
    if bits.read(2) == 3 and version != 1:  # a shape in grey levels
        bits.read(4)
    bits.read(1)
    return bits.read(16)


def _time_code_s(bits: BitReader) -> int:
    hours, minutes = bits.read(5), bits.read(6)
    bits.read(1)
    return 3600 * hours + 60 * minutes + bits.read(6)
