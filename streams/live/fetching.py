"""What lies behind an address, as bytes, fetched as libav fetches it.

libav's own way goes through the same proxies, certificates and passwords as the stream itself,
keeps time-outs, and is interrupted with it.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping

import av

_MOST_BYTES = 1 << 24


def fetched(
    address: str,
    options: Mapping[str, str],
    *,
    timeout_s: float,
    most: int = _MOST_BYTES,
    ends: bool = True,
) -> bytes:
    """The first ``most`` bytes (or few more) of what lies at ``address``. ``ends``: False where
    that the server hangs up is no failure: an answer without a length may end so.

    Raises:
        av.error.FFmpegError, OSError: it cannot be had.
    """
    found = bytearray()
    with av.open(
        address, format="data", options=dict(options), timeout=(timeout_s, timeout_s)
    ) as container:
        try:
            for packet in container.demux():
                found += bytes(packet)
                if len(found) >= most:
                    break
        except OSError as error:
            if ends or error.errno != errno.EIO:
                raise
    return bytes(found)


def is_there(
    address: str,
    options: Mapping[str, str],
    *,
    timeout_s: float,
    part: tuple[int, int] | None = None,
) -> bool:
    """Whether anything lies at ``address``; ``part``: in those bytes of it, ``(first, count)``."""
    if part is not None:
        first, count = part
        options = {**options, "offset": str(first), "end_offset": str(first + count)}
    try:
        return bool(fetched(address, options, timeout_s=timeout_s, most=1))
    except (av.error.FFmpegError, OSError, ValueError):
        return False
