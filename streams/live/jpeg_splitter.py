"""JPEG images split out of a stream of bytes by their markers, whatever stands between them.

Cameras write boundaries in the wrong place, leave out the types of parts and declare wrong lengths;
browsers play them all the same, because a JPEG says itself where it begins and ends.

Format: ITU-T T.81, annex B.
"""

from __future__ import annotations

_BEGIN = b"\xff\xd8\xff"
_END, _SCAN = 0xD9, 0xDA
_BARE = frozenset((0x01, *range(0xD0, 0xD8)))
"""Markers without a length."""

LARGEST = 1 << 25
"""Bytes of the largest image; what is longer is none."""


class JpegSplitter:
    """Gives out complete images as their bytes come; holds ``largest`` bytes at most.

    An image that another begins in is given out as far as it came: it is damaged, and its decoder
    says so.
    """

    def __init__(self, largest: int = LARGEST) -> None:
        self._largest = largest
        self._held = bytearray()
        self._at = 0  # how far the first image, which begins at 0, is known
        self._in_scan = False

    def feed(self, content: bytes) -> list[bytes]:
        """The images that are complete with ``content``."""
        self._held += content
        found = []
        while (image := self._next()) is not None:
            found.append(image)
        return found

    def _next(self) -> bytes | None:
        while True:
            if self._at == 0 and not self._begins():
                return None
            end = self._end()
            if end is not None:
                return self._taken(end)
            if self._at:
                if len(self._held) > self._largest:
                    self._skip()
                    continue
                return None

    def _begins(self) -> bool:
        """Drop what stands before the next image; whether there is one."""
        first = self._held.find(_BEGIN)
        if first < 0:
            del self._held[: -len(_BEGIN) + 1]
            return False
        del self._held[:first]
        self._at, self._in_scan = 2, False
        return True

    def _end(self) -> int | None:
        """Where the image ends; None: not yet known, or (``_at`` is 0 then) it is none."""
        held = self._held
        while self._marked() and self._at + 2 <= len(held):
            code = held[self._at + 1]
            if code in {0xD8, _END}:  # 0xD8: the next one has begun
                return self._at + (2 if code == _END else 0)
            if code == 0xFF:
                self._at += 1
            elif code in _BARE or (code == 0 and self._in_scan):
                self._at += 2
            elif self._at + 4 > len(held):
                break
            else:
                self._at += 2 + int.from_bytes(held[self._at + 2 : self._at + 4], "big")
                self._in_scan = code == _SCAN
        return None

    def _marked(self) -> bool:
        """Whether a marker begins at ``_at``, which goes on to the next one within a scan."""
        if self._in_scan:
            mark = self._held.find(0xFF, self._at)
            self._at = len(self._held) if mark < 0 else mark
        if self._at >= len(self._held):
            return False
        if self._held[self._at] != 0xFF:
            self._skip()
            return False
        return True

    def _taken(self, end: int) -> bytes:
        image = bytes(self._held[:end])
        del self._held[:end]
        self._at, self._in_scan = 0, False
        return image

    def _skip(self) -> None:
        """What began here is no image."""
        del self._held[:2]
        self._at, self._in_scan = 0, False
