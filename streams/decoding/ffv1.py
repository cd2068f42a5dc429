"""Checksums of FFV1's slices (RFC 9043, 4.8 and 4.9), which libav's decoder only logs.

It conceals a slice whose checksum is wrong and gives the frame out as intact. Slices are laid out
from the end of a frame: each is followed by its size and, where the recorder asked for it, by a
byte and a checksum that makes the remainder of all of it 0.
"""

from __future__ import annotations

import zlib

_SIZE, _CHECK = 3, 5
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_ONES = 0xFFFFFFFF


class SliceChecks:
    """Looks at the frames of one recording. Whether they have checksums, the first ones show: only
    with them do the sizes add up."""

    def __init__(self) -> None:
        self._has_checks: bool | None = None

    def is_wrong(self, frame: bytes) -> bool:
        """Whether a slice of the frame is not as it was recorded; False where nothing says so."""
        if self._has_checks is None:
            self._has_checks = _find_checks(frame)
        if not self._has_checks:
            return False
        slices = _slices(frame, _SIZE + _CHECK)
        return slices is None or any(_remainder(each) for each in slices)


def _find_checks(frame: bytes) -> bool | None:
    """Whether the slices carry checksums; None: this frame, damaged perhaps, does not show."""
    checked = _slices(frame, _SIZE + _CHECK)
    if checked is not None and not all(_remainder(each) for each in checked):
        return True
    return False if _slices(frame, _SIZE) is not None else None


def _slices(frame: bytes, footer: int) -> list[bytes] | None:
    """The slices, each with its footer of so many bytes; None: their sizes do not add up."""
    found, end = [], len(frame)
    while end > 0:
        at = end - footer
        begin = at - int.from_bytes(frame[max(0, at) : at + _SIZE], "big")
        if begin < 0 or begin == at:
            return None
        found.append(frame[begin:end])
        end = begin
    return found or None


def _remainder(data: bytes) -> int:
    """Of the polynomial 0x04C11DB7, from 0 on and the highest bit first; zlib's is the same with
    the bits of each byte reversed, and begins and ends inverted."""
    return zlib.crc32(data.translate(_REVERSED), _ONES) ^ _ONES
