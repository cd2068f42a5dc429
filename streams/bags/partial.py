"""Compressed blocks of which a part is missing or damaged: what comes before that part."""

from __future__ import annotations

import bz2
from typing import Any, Protocol

from oneglance.streams.bags.bag import BagTruncated

_SLICE = 1 << 14
"""Compressed bytes at a time: what is damaged costs no more than its slice."""


class _Decompressor(Protocol):
    def decompress(self, data: bytes, /) -> bytes: ...


def decompress(data: bytes, compression: str) -> tuple[bytes, bool]:
    """What can be had of a compressed block, and whether that is all of it.

    ``compression``: ``zstd``, ``lz4`` (its frame format), ``bz2``; ``none`` or nothing.

    Raises:
        BagTruncated: a compression that we lack.
    """
    if compression in ("", "none"):
        return data, True
    if compression not in ("zstd", "lz4", "bz2"):
        raise BagTruncated(f"a chunk is compressed by {compression!r} (known: bz2, lz4, zstd)")
    from_here = _decompressor(compression)
    parts = []
    for start in range(0, len(data), _SLICE):
        try:
            parts.append(from_here.decompress(data[start : start + _SLICE]))
        except Exception:  # noqa: BLE001 - each library has an error of its own
            return b"".join(parts), False
        if from_here.eof:
            return b"".join(parts), True
    return b"".join(parts), False


def _decompressor(compression: str) -> Any:
    if compression == "bz2":
        return bz2.BZ2Decompressor()
    if compression == "lz4":
        import lz4.frame

        return lz4.frame.LZ4FrameDecompressor()
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj()
