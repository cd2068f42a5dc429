"""Cameras of this machine, through libav's own capture devices."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av

from oneglance.streams.decoding import AvSource, decoded, upright
from oneglance.streams.errors import SourceBroken, SourceNotFound, SourceUnreadable
from oneglance.streams.frame import Frame

_FORMATS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}


class Camera(AvSource):
    """A camera by number or device path; live, stamped with the monotonic clock at arrival."""

    live = True

    def __init__(
        self, device: int | str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Open the camera.

        Raises:
            SourceNotFound: there is no such camera; the message lists those there are.
            SourceUnreadable: it is in use, not permitted, or gives no video.
        """
        self._clock = clock
        name = _device_name(device)
        if sys.platform == "linux" and not Path(name).exists():
            there = ", ".join(sorted(str(p) for p in Path("/dev").glob("video*"))) or "none"
            raise SourceNotFound(f"no camera {name} (cameras here: {there})")
        try:
            container = av.open(name, mode="r", format=_FORMATS.get(sys.platform, "v4l2"))
        except (av.error.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise SourceUnreadable(f"cannot use camera {name}: {reason.lower()}") from None
        super().__init__(container, name)

    def _frames(self) -> Iterator[Frame]:
        tally = self.tally
        try:
            for frame in decoded(self._container, self._stream, tally):
                stamp_s = self._clock()
                yield Frame(upright(frame), tally.delivered, stamp_s, self.source)
                tally.delivered += 1
        except (av.error.FFmpegError, OSError) as error:
            if self._closed:
                return
            reason = (getattr(error, "strerror", None) or type(error).__name__).lower()
            raise SourceBroken(
                f"camera {self.source} was lost after {tally.delivered} frames: {reason}"
            ) from None
        if not self._closed:
            raise SourceBroken(f"camera {self.source} stopped after {tally.delivered} frames")


def _device_name(device: int | str) -> str:
    if isinstance(device, str) and not device.isdigit():
        return device
    if sys.platform == "linux":
        return f"/dev/video{device}"
    return f"video={device}" if sys.platform == "win32" else str(device)
