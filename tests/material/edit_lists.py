"""MP4 files with edit lists of any kind."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

Entry = tuple[int, int]
"""How long, and from when in the track."""

_AT_ONCE = 65536


def boxes(content: bytearray, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    while at + 8 <= end:
        length = int.from_bytes(content[at : at + 4], "big")
        yield bytes(content[at + 4 : at + 8]), at, length
        at += length


def edited(file: Path, *entries: Entry, index_first: bool = False) -> Path:
    """``file`` with another edit list; times are counted from the first frame's. ``index_first``:
    its index moved to the front, as servers want it."""
    content = bytearray(file.read_bytes())
    at, end, parents = 0, len(content), []
    for wanted in (b"moov", b"trak", b"edts"):
        at, length = next(
            (begin, length) for name, begin, length in boxes(content, at, end) if name == wanted
        )
        parents.append(at)
        at, end = at + 8, at + length
    first = int.from_bytes(content[at + 20 : at + 24], "big")
    body = struct.pack(">II", 0, len(entries))
    for length, time in entries:
        body += struct.pack(">Iii", length, time if time < 0 else first + time, _AT_ONCE)
    new = struct.pack(">I4s", 8 + len(body), b"elst") + body
    more = len(new) - (end - at)
    content[at:end] = new
    for parent in parents:
        length = int.from_bytes(content[parent : parent + 4], "big") + more
        content[parent : parent + 4] = struct.pack(">I", length)
    file.write_bytes(_index_first(content) if index_first else content)
    return file


def _index_first(content: bytearray) -> bytearray:
    places = {name: (at, at + length) for name, at, length in boxes(content, 0, len(content))}
    (_, head), (begin, end) = places[b"ftyp"], places[b"moov"]
    index = content[begin:end]
    at = index.index(b"stco") + 8
    for place in range(at + 4, at + 4 + 4 * int.from_bytes(index[at : at + 4], "big"), 4):
        offset = int.from_bytes(index[place : place + 4], "big") + len(index)
        index[place : place + 4] = offset.to_bytes(4, "big")
    return content[:head] + index + content[head:begin] + content[end:]
