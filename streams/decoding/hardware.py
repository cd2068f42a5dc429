"""Decoding by a graphics card, only ever when asked for by name."""

from __future__ import annotations

import av
from av.codec.hwaccel import HWAccel, hwdevices_available

from oneglance.streams.errors import SourceUnreadable, UsageError


def hardware(name: str | None) -> HWAccel | None:
    """libav's accelerator of that name (``cuda``, ``vaapi``, …); None for None.

    Nothing falls back to the CPU silently: what the accelerator cannot decode is an
    error when the source is opened.

    Raises:
        UsageError: this PyAV knows no such accelerator, or this machine has none.
    """
    if name is None:
        return None
    known = hwdevices_available()
    if name not in known:
        raise UsageError(
            f"unknown accelerator '{name}' (this PyAV knows: {', '.join(known) or 'none'})"
        )
    accelerator = HWAccel(device_type=name, allow_software_fallback=False)
    try:
        accelerator.create(av.Codec("h264", "r"))
    except NotImplementedError:
        pass  # not this codec; the source's own will be tried
    except (av.error.FFmpegError, OSError):
        raise UsageError(
            f"no '{name}' accelerator can be used on this machine (no such device, or its driver "
            "is missing); leave the option out to decode on the CPU"
        ) from None
    return accelerator


def incompatible(source: str) -> SourceUnreadable:
    """What to raise when PyAV finds no stream in ``source`` that the accelerator can decode."""
    return SourceUnreadable(
        f"the accelerator asked for cannot decode the video of {source}; leave the option out to "
        "decode on the CPU"
    )
