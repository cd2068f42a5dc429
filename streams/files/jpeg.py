"""Whether a JPEG is complete: its decoders fill what is missing with grey, and keep quiet."""

from __future__ import annotations

import re

_START, _END = b"\xff\xd8", b"\xff\xd9"
_SCAN, _TABLES, _PROGRESSIVE = 0xDA, 0xC4, frozenset((0xC2, 0xC6, 0xCA, 0xCE))

_DAMAGE = re.compile("premature end|bad Huffman code|bad arithmetic code|instead of RST", re.I)
"""What libjpeg says of entropy-coded data that is missing or wrong. It warns of oddities of
complete images as well (colour profiles, revisions, padding)."""

_PADDING = re.compile(r"(\d+) extraneous bytes before marker 0xd9")


_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")

_HOLE = bytes(128)
"""More zeros than the codes of an image with any detail make."""

_TAIL = 4096
"""Bytes within which an image ends, whatever its container fills up with."""


def is_cut_jpeg(content: memoryview) -> bool:
    """Whether this is a JPEG that lacks more than its end marker, at its end or in a hole; see
    ``is_damaged_jpeg``. Costs nothing where the marker is, and no hole.
    """
    data = bytes(content)
    if _END in data[-_TAIL:] and _HOLE not in data:
        return False
    return is_damaged_jpeg(data)


def with_end(content: bytes) -> bytes:
    """A JPEG with an end marker, without which OpenCV decodes nothing; anything else as it is."""
    lacks_end = content.startswith(_START) and _END not in content[-_TAIL:]
    return content + _END if lacks_end else content


def is_damaged_jpeg(content: bytes) -> bool:
    """Whether this is a JPEG of which libjpeg cannot decode all; False for what is no JPEG.

    One that lacks nothing but its end marker is complete (some cameras write none). A progressive
    one is not: further scans may be what is missing, also where an end marker follows.

    Everything is decoded, at an eighth of its size where the format allows: 1 ms for 1088x640.
    """
    if not content.startswith(_START):
        return False
    scan, progressive = _find_scan(content)
    if scan is None:
        return True
    if content.find(_END, scan) < 0 and not progressive:
        content += _END  # from there: a thumbnail before it has an end of its own
    lacks = _lacks_scans(content) if progressive else _has_hole(content, scan)
    if lacks or content.find(_END, scan) < 0:
        return True
    import simplejpeg

    try:
        simplejpeg.decode_jpeg(content, "GRAY", min_height=1, min_width=1, min_factor=8)
    except ValueError as error:
        padding = _PADDING.search(str(error))
        if padding is not None:
            return not _is_padded(content, int(padding[1]))
        return _DAMAGE.search(str(error)) is not None  # else OpenCV may know more than this decoder
    return False


def _find_scan(content: bytes) -> tuple[int | None, bool]:
    """Where the first scan begins (None: there is none), and whether there may be many."""
    at, progressive = 2, False
    while content[at : at + 1] == b"\xff" and at + 1 < len(content):
        marker = content[at + 1]
        if marker == _SCAN:
            return at, progressive
        progressive = progressive or marker in _PROGRESSIVE
        at += 1 if marker == 0xFF else 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    # What stands there is no marker: a decoder may find the next one by itself.
    return (None if at >= len(content) - 1 else at), progressive


def _has_hole(content: bytes, scan: int) -> bool:
    """Whether zeros in its only scan are no codes of it (ITU-T T.81, F.2.2.3): the first code of
    each table is made of zeros, and only where all mean "nothing" an image without detail is."""
    data = content[scan : content.rfind(_END)].rstrip(b"\0")  # a filling is none
    if _HOLE not in data or data.find(b"\xff\xda", 2) >= 0:
        return False
    first_symbols, at = [], 2
    while at < scan and content[at] == 0xFF:
        size = int.from_bytes(content[at + 2 : at + 4], "big")
        table = content[at + 4 : at + 2 + size] if content[at + 1] == _TABLES else b""
        while len(table) > 17:
            first_symbols.append(table[17])
            table = table[17 + sum(table[1:17]) :]
        at += 1 if content[at + 1] == 0xFF else 2 + size
    return not first_symbols or any(first_symbols)


def _lacks_scans(content: bytes) -> bool:
    """Whether some coefficient of a progressive JPEG was never sent to its last bit (ITU-T T.81,
    G.1.1.1: scans bring bands of coefficients, and one bit more of them at a time)."""
    known: set[int] = set()
    exact: dict[int, set[int]] = {}
    at = 2
    while (found := _MARKER.search(content, at)) is not None:
        marker, at = content[found.end() - 1], found.end()
        size = int.from_bytes(content[at : at + 2], "big")
        segment = content[at + 2 : at + size]
        if marker in _PROGRESSIVE:
            known = set(segment[6::3])
        elif marker == _SCAN and len(segment) >= 4:
            components = segment[1 : 1 + 2 * segment[0] : 2]
            first, last, bits = segment[-3:]
            for component in components if bits & 15 == 0 else ():
                exact.setdefault(component, set()).update(range(first, min(last, 63) + 1))
        elif marker == _END[1]:
            break
        at += max(2, size)
    return any(len(exact.get(component, ())) < 64 for component in known)


def _is_padded(content: bytes, length: int) -> bool:
    """Whether the bytes before the end are a filling, and not data that nobody could decode."""
    end = content.rfind(_END)
    return len(set(content[max(0, end - length) : end])) <= 1
