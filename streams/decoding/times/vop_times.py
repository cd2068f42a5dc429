"""Times of the frames of an AVI, and those that MPEG-4 frames carry themselves (ISO/IEC 14496-2,
6.2.3 and 6.2.5).

AVI counts packets. Where one packet holds two frames (packed B-frames) and place holders stand
for others, that count is no time of showing; the frames' own headers have it.
"""

from __future__ import annotations

import re
from fractions import Fraction
from heapq import heappop, heappush

from oneglance.streams.decoding.bitstream import LARGEST_PLACE_HOLDER
from oneglance.streams.decoding.nal_units import BitReader
from oneglance.streams.decoding.times.temporal import FrameTimes, Shown, TemporalTimes
from oneglance.streams.files.avi_index import AviIndex

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


def own_times(codec: str, extradata: bytes | None, time_base: Fraction) -> FrameTimes | None:
    """Those of that coding (libav's name); None: its frames carry none that are read here."""
    if codec == "mpeg4":
        return OwnTimes(extradata, time_base)
    return TemporalTimes() if codec in ("mpeg1video", "mpeg2video") else None


class AviTimes:
    """When the frames of an AVI are shown, which knows their places alone, in its time base."""

    def __init__(self, own: FrameTimes | None, index: AviIndex | None) -> None:
        """``own``: the times that its frames carry themselves; ``index``: of its file."""
        self._own, self._index = own, index
        self._swallowed = 0
        self._is_odd = self._knows = self._was_ahead = False
        self._shown_at: list[int] = []
        self.packets = 0
        """Frames up to the last packet, place holders too, which libav passes over."""

    def enters(self, data: memoryview, place: int | None, number: int) -> tuple[int, int | None]:
        """A packet of that ``number`` by libav's count, whose bytes begin at ``place``; how many
        frames a hole swallowed before it, and when its own is shown: None where its file does not
        know, or its packets hold more than one."""
        lost, expected = 0, number + self._swallowed
        true = None if self._index is None or place is None else self._index.number(place)
        if self._index is not None and true is not None and true > expected:
            lost = self._index.lost_between(expected - 1, true)
            self._swallowed, expected = true - number, true
        if isinstance(self._own, TemporalTimes) and expected > self.packets + lost:
            self._own = None  # some places are left empty, which groups do not count
        times = None if self._own is None else self._own.slots(data, expected)
        if times is None:
            self._own, times = None, [expected]
        if self._index is not None and self._index.count:  # fewer may follow the last ones
            times = [min(shown_at, max(expected, self._index.count - 1)) for shown_at in times]
        self._is_odd |= len(times) > 1 or _PACKED.search(bytes(data[:_HEAD])) is not None
        self._is_odd |= self._is_out_of_place(times, expected, is_behind_loss=lost > 0)
        # Once it is certain, from a frame on that none is shown before which was decoded earlier.
        self._knows |= self._own is not None and self._own.is_certain and not self._own.ends_in_b
        self._knows &= self._own is not None and not self._is_odd
        is_known = self._knows and len(times) == 1
        is_known &= self._own is None or not self._own.is_guess
        self.packets = max(self.packets, expected + 1)
        for shown_at in times:
            heappush(self._shown_at, shown_at)
        return lost, times[0] if is_known else None

    def _is_out_of_place(self, times: list[int], expected: int, *, is_behind_loss: bool) -> bool:
        """Whether a frame is shown when none from its place can be: its film's rate was changed.

        A B-frame is shown one before its place, as the frame that it leans on was decoded before;
        that one at its own place, or as many later as B-frames follow it.
        """
        own, was_ahead, self._was_ahead = self._own, self._was_ahead, False
        if own is None or not own.is_certain or len(times) != 1:
            return False
        if own.ends_in_b:
            return times[0] != expected - 1
        self._was_ahead = times[0] > expected
        return times[0] < expected or (was_ahead and not is_behind_loss)

    def ends(self) -> int:
        """How many frames a hole swallowed behind the last packet."""
        if self._index is None:
            return 0
        lost = self._index.lost_between(self.packets - 1, None)
        if not lost:  # only place holders follow
            self.packets = max(self.packets, self._index.count)
        return lost

    def next(self) -> int | None:
        """When the next frame of those that entered is shown."""
        return heappop(self._shown_at) if self._shown_at else None


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
