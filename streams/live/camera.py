"""Cameras of this machine, through libav's own capture devices."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av

from oneglance.streams.errors import (
    Reason,
    SourceBroken,
    SourceNotFound,
    SourceStalled,
    SourceUnreadable,
    cause,
)
from oneglance.streams.frame import Frame
from oneglance.streams.live.threaded import ThreadedSource, opened_within
from oneglance.streams.options import ConnectOptions

_FORMATS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}


class Camera(ThreadedSource):
    """A camera by number or device path; live, stamped with the monotonic clock at arrival."""

    live = True

    def __init__(
        self,
        device: int | str,
        options: ConnectOptions | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the camera within the options' ``timeout_s``; iterating then waits ``stall_s`` for
        each frame.

        Raises:
            SourceNotFound: there is no such camera; the message lists those there are.
            SourceUnreadable: it is in use, not permitted, or gives no video.
            SourceStalled: the driver did not answer.
        """
        self._clock = clock
        options = options or ConnectOptions()
        timeout_s = options.timeout_s
        name = _device_name(device)
        device_format = _FORMATS.get(sys.platform, "v4l2")
        try:
            if sys.platform == "linux" and not Path(name).exists():
                there = ", ".join(sorted(str(p) for p in Path("/dev").glob("video*"))) or "none"
                raise SourceNotFound(
                    f"no camera {name} (cameras here: {there}){_or_path(device)}",
                    reason=Reason.NOT_FOUND,
                )
            container = opened_within(
                timeout_s, lambda: av.open(name, mode="r", format=device_format)
            )
        except TimeoutError:
            raise SourceStalled(
                f"camera {name} did not answer within {timeout_s:g} s", reason=Reason.TIMEOUT
            ) from None
        except (av.error.FFmpegError, OSError) as error:
            raise SourceUnreadable(f"cannot use camera {name}: {cause(error)}") from None
        super().__init__(container, name, options)

    def _frames(self) -> Iterator[Frame]:
        why = "it gave no more frames"
        try:
            yield from self._stamped(self._clock)
        except (av.error.FFmpegError, OSError) as error:
            why = cause(error)
        if not self._closed:
            raise SourceBroken(
                f"camera {self.source} was lost after {self.stats.delivered} frames: {why}",
                reason=Reason.LOST,
            )


def _device_name(device: int | str) -> str:
    if isinstance(device, str) and not device.isdecimal():
        return device
    if sys.platform == "linux":
        return f"/dev/video{device}"
    return f"video={device}" if sys.platform == "win32" else str(device)


def _or_path(device: int | str) -> str:
    meant = isinstance(device, str) and Path(device).exists()
    return f"; for the path of that name write ./{device}" if meant else ""
