"""What a coded frame says before it is decoded: what it depends on, what may depend on it.

Read from the headers alone: NAL unit types, H.264 slice headers (ITU-T H.264, 7.3), H.265
(ITU-T H.265, 7.4.2.2), and the headers of MPEG-4 Part 2 and MPEG-2. Nothing here raises on damaged
bytes: what cannot be read is an ordinary frame that depends on the one before.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum

from oneglance.streams.decoding.ffv1 import SliceChecks
from oneglance.streams.decoding.nal_units import (
    FILLED,
    HEAD,
    ZEROS,
    BitReader,
    H264Sets,
    has_hole,
    length_size_of,
    nal_units,
    parameter_sets,
    unescaped,
)

_ONE_EACH = frozenset(
    ("av1", "libdav1d", "flv", "h263", "h263i", "msmpeg4", "msmpeg4v1", "msmpeg4v2", "wmv1", "wmv2")
)
"""Of each of their packets comes a frame, and the headers alone do not say more."""

_GAP = bytes(FILLED)
_ARITHMETIC = frozenset(("vp8", "vp9", "av1", "libdav1d"))

LARGEST_PLACE_HOLDER = 19
"""Bytes of an MPEG-4 frame that only says "not coded" (libav's bound for packed B-frames)."""


class Refresh(Enum):
    """How far decoding can begin anew at a frame."""

    NONE = 0
    GRADUAL = 1
    """Row by row: intact after ``recovery`` more frames (intra refresh)."""
    OPEN = 2
    """It and all shown after it; frames decoded later and shown before it may depend on others."""
    FULL = 3
    """It and all that follow."""


@dataclass(frozen=True, slots=True)
class CodedFrame:
    """What is known of a packet's frame, or of one field of it (a "coded picture").

    ``recovery``: see ``Refresh.GRADUAL``. ``is_reference``: others may depend on it.
    ``leads``: it depends on frames before the last refresh (True), never does (False), or its
    time decides (None). ``shows``: a frame must come of it (True), none does (False), or nothing
    is known: then one is missing if the decoder fails (None). ``lost_before``: reference frames
    that were left out before it, by its own count. ``begins``: its first slice is that of its
    first rows. ``fault``: what its own bytes show to be wrong with it, in words: zeros where no
    encoder writes any, as after a disk or a download that left a part out; a wrong checksum.
    """

    refresh: Refresh = Refresh.NONE
    recovery: int = 0
    is_reference: bool = True
    leads: bool | None = None
    shows: bool | None = True
    lost_before: int = 0
    begins: bool = True
    fault: str = ""


_UNREADABLE = CodedFrame(is_reference=False)
"""Of H.264 and H.265: whether others depend on it is noticed with them, when it is missing."""

Inspector = Callable[[memoryview, bool], CodedFrame]
"""From a packet's bytes, and whether its container calls it a key frame, to what it says."""


def inspector(codec: str, extradata: bytes | None, *, intra_only: bool) -> Inspector:
    """Who reads packets of that codec (libav's name), in decoding order and each one once."""
    if intra_only:
        return lambda _data, _key: CodedFrame(Refresh.FULL)
    if codec in ("h264", "hevc"):
        is_h264 = codec == "h264"
        see = (_H264(extradata or b"") if is_h264 else _H265(extradata or b"")).see
        is_slice = _is_h264_slice if is_h264 else _is_h265_slice
        size = length_size_of(extradata or b"", 4 if is_h264 else 21)
        return _noticing(see, lambda data: has_hole(data, size, is_slice))
    if codec in ("mpeg4", "mpeg1video", "mpeg2video"):
        return _mpeg4 if codec == "mpeg4" else _mpeg2
    if codec == "ffv1":
        return _checked()
    shows = _SHOWN.get(codec, lambda _content: codec in _ONE_EACH or None)
    other: Inspector = lambda data, key: CodedFrame(  # noqa: E731 - as the others are functions
        Refresh.FULL if key else Refresh.NONE, shows=shows(data)
    )
    return _noticing(other, _has_gap) if codec in _ARITHMETIC else other


def _shows_vp8(data: memoryview) -> bool | None:
    """Frames that others only depend on are packets of their own (RFC 6386, 9.1)."""
    return bool(data[0] & 0x10) if len(data) else None


def _shows_vp9(data: memoryview) -> bool | None:
    """They come together with one that is shown, or alone (VP9 specification, 6.2, annex B)."""
    if not len(data) or data[0] >> 6 != 2:
        return None
    if data[-1] >> 5 == 6:  # several frames
        return True
    bits = BitReader(bytes(data[:2]).ljust(2, b"\0"))
    if bits.read(4) & 3 == 3:
        bits.read(1)
    # One that is hidden is alone in no stream that is known, but where its end is lost.
    return True if bits.read(1) or bits.read(2) & 1 else None


_SHOWN = {"vp8": _shows_vp8, "vp9": _shows_vp9}


def _noticing(see: Inspector, lacks: Callable[[bytes], bool]) -> Inspector:
    def noticing(data: memoryview, key: bool) -> CodedFrame:
        coded = see(data, key)
        content = bytes(data)
        if ZEROS in content and lacks(content):
            return replace(coded, fault="a hole in its data")
        return coded

    return noticing


def _checked() -> Inspector:
    checks = SliceChecks()

    def see(data: memoryview, key: bool) -> CodedFrame:
        fault = "a wrong checksum" if checks.is_wrong(bytes(data)) else ""
        return CodedFrame(Refresh.FULL if key else Refresh.NONE, fault=fault)

    return see


def _is_h264_slice(head: int) -> bool:
    return 1 <= (head & 31) <= 5


def _is_h265_slice(head: int) -> bool:
    return (head >> 1 & 63) < 32


def _has_gap(content: bytes) -> bool:
    return _GAP in content


def has_hash(data: memoryview) -> bool:
    """Whether an H.265 frame ends with its MD5 (ITU-T H.265, D.2.19: a suffix message of type
    132); of the kinds of hash there are, libav checks this one."""
    # A unit of type 40, the message's type, its size (one plane or three), and the kind of hash.
    return re.search(rb"\x50\x01\x84[\x11\x31]\x00", bytes(data[-128:])) is not None


def _mpeg4(data: memoryview, key: bool) -> CodedFrame:
    content = bytes(data[:HEAD])
    at = content.find(b"\0\0\1\xb6")
    if at < 0 or at + 4 >= len(content):
        return CodedFrame(Refresh.OPEN if key else Refresh.NONE)
    if content[at + 4] == 0:  # a marker bit is always set there; zeros would be an I-frame
        return CodedFrame(fault="a hole in its data")
    coding_type = content[at + 4] >> 6
    return CodedFrame(
        Refresh.OPEN if coding_type == 0 else Refresh.NONE,
        is_reference=coding_type != 2,
        shows=len(data) > LARGEST_PLACE_HOLDER,
    )


def _mpeg2(data: memoryview, key: bool) -> CodedFrame:
    content = bytes(data[:HEAD])
    at = content.find(b"\0\0\1\0")
    if at < 0 or at + 5 >= len(content):
        # libav's decoder gives nothing for it, without a word, and what follows in another order.
        fault = "a hole in its data" if content.startswith(bytes(4)) else ""
        return CodedFrame(Refresh.OPEN if key else Refresh.NONE, fault=fault)
    coding_type = content[at + 5] >> 3 & 7
    return CodedFrame(
        Refresh.OPEN if coding_type == 1 else Refresh.NONE, is_reference=coding_type != 3
    )


class _H264:
    """Follows frame numbers, so that a lost reference is noticed."""

    def __init__(self, extradata: bytes) -> None:
        self.length_size_of = length_size_of(extradata, 4)
        self._sets = H264Sets()
        self._last: int | None = None  # frame number of the last reference frame
        self._field: tuple[int, bool] | None = None  # a first field: its frame number, its parity
        self._intra_since = False
        if extradata[:1] == b"\1":
            for unit in parameter_sets(extradata):
                self._parameters(unit)
        else:
            for unit in nal_units(memoryview(extradata), 0):
                self._parameters(unit)

    def see(self, data: memoryview, key: bool) -> CodedFrame:
        recovery: int | None = None
        for unit in nal_units(data, self.length_size_of):
            nal_type = unit[0] & 31
            if nal_type in (7, 8):
                self._parameters(unit)
            elif nal_type == 6:
                recovery = _recovery(unescaped(unit[1:]), signed=False)
            elif nal_type in (1, 5):
                try:
                    return self._slice(unit, key, recovery)
                except (IndexError, KeyError):
                    return CodedFrame(is_reference=bool(unit[0] & 0x60))
        return _UNREADABLE

    def _parameters(self, unit: bytes) -> None:
        with suppress(IndexError):
            self._sets.read(unit)

    def _slice(self, unit: bytes, key: bool, recovery: int | None) -> CodedFrame:
        bits = BitReader(unescaped(unit[1:24]))
        begins = bits.ue() == 0
        is_intra = bits.ue() in (2, 7)
        sequence = self._sets.sequence_of(bits.ue())
        if sequence.separate_planes:
            bits.read(2)
        number = bits.read(sequence.number_bits)
        is_idr, is_reference = unit[0] & 31 == 5, bool(unit[0] & 0x60)
        second = False
        if not sequence.frames_only and bits.read(1):
            bottom = bool(bits.read(1))
            second = self._field == (number, not bottom)
            self._field = None if second else (number, bottom)
        else:
            self._field = None
        lost = 0
        if not is_idr and self._last is not None and not sequence.gaps_allowed and not second:
            lost = (number - self._last) % (1 << sequence.number_bits)
            lost = max(0, lost - 1)
        if is_reference or lost:
            self._last = number
        refresh = self._refresh(is_idr, is_intra, key, recovery)
        if second:
            refresh = Refresh.NONE
        return CodedFrame(refresh, recovery or 0, is_reference, None, not second, lost, begins)

    def _refresh(self, is_idr: bool, is_intra: bool, key: bool, recovery: int | None) -> Refresh:
        if is_idr:
            self._intra_since = False
            return Refresh.FULL
        if recovery is not None and not (is_intra and recovery == 0):
            return Refresh.GRADUAL
        if is_intra and (key or recovery == 0 or self._intra_since):
            return Refresh.OPEN
        # Where no IDR frame ever comes, whatever depends on one before the last but one I-frame
        # is a thing of theory; a single one may be a scene change that others reach across.
        self._intra_since |= is_intra
        return Refresh.NONE


class _H265:
    """Finds random access points and what leads them; the decoder notices lost references."""

    def __init__(self, extradata: bytes) -> None:
        self.length_size_of = length_size_of(extradata, 21)
        self._deepest = 0

    def see(self, data: memoryview, key: bool) -> CodedFrame:  # noqa: ARG002 - an Inspector
        recovery: int | None = None
        for unit in nal_units(data, self.length_size_of):
            if len(unit) < 2:
                continue
            nal_type, layer = unit[0] >> 1 & 63, (unit[1] & 7) - 1
            if nal_type == 39:
                recovery = _recovery(unescaped(unit[2:]), signed=True)
            elif nal_type < 32:
                begins = len(unit) > 2 and bool(unit[2] & 0x80)
                return replace(self._coded(nal_type, layer, recovery), begins=begins)
        return _UNREADABLE

    def _coded(self, nal_type: int, layer: int, recovery: int | None) -> CodedFrame:
        self._deepest = max(self._deepest, layer)
        if 16 <= nal_type <= 23:
            refresh = Refresh.OPEN if nal_type == 21 else Refresh.FULL
            # Frames that lead a BLA are marked as such and are no use to anyone.
            return CodedFrame(Refresh.OPEN if nal_type in (16, 17, 18) else refresh)
        # Even types below 16 are no references for frames of their own temporal layer.
        coded = CodedFrame(
            is_reference=not (nal_type < 16 and nal_type % 2 == 0 and layer >= self._deepest),
            leads={6: False, 7: False, 8: True, 9: True}.get(nal_type),
        )
        if recovery is not None:
            return replace(coded, refresh=Refresh.GRADUAL, recovery=max(0, recovery))
        return coded


def _recovery(message: bytes, *, signed: bool) -> int | None:
    """The count of a recovery point message, if it is among these."""
    at = 0
    while at + 2 <= len(message):
        payload_type = size = 0
        while at < len(message) and message[at] == 255:
            payload_type, at = payload_type + 255, at + 1
        payload_type, at = payload_type + (message[at] if at < len(message) else 0), at + 1
        while at < len(message) and message[at] == 255:
            size, at = size + 255, at + 1
        size, at = size + (message[at] if at < len(message) else 0), at + 1
        if payload_type == 6:
            try:
                bits = BitReader(message[at : at + 8])
                return bits.se() if signed else bits.ue()
            except IndexError:
                return None
        at += size
    return None
