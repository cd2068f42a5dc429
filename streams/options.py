"""How a camera or a network source is to be opened, and how long to be patient with it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from enum import StrEnum

from oneglance.streams.errors import UsageError
from oneglance.streams.live.backoff import Backoff
from oneglance.streams.live.status import FROZEN_S

_HIGHEST_RATE = 100_000
_LOWEST_RATE = 1e-6
"""Frames a second: one in eleven days."""


class Transport(StrEnum):
    """How RTSP carries its packets: TCP loses nothing and passes firewalls, UDP is prompt."""

    TCP = "tcp"
    UDP = "udp"


def parse_transport(name: str) -> Transport:
    """The transport of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in set(Transport):
        raise UsageError(f"unknown transport '{name}' (transports: {', '.join(Transport)})")
    return Transport(name)


class Damaged(StrEnum):
    """What becomes of frames that are damaged, or depend on damaged ones. All are counted."""

    SKIP = "skip"
    """They are left out."""
    MARK = "mark"
    """They are delivered, with ``Frame.damaged``."""
    KEEP = "keep"
    """They are delivered like others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectOptions:
    """How to open a source, and how patient to be with it; passed as it is to whoever opens it.

    ``timeout_s``: longest wait for a camera or host to answer, and for a first frame.
    ``stall_s``: a source that gives no frame for as long is lost, even without an error.
    ``transport``: of RTSP. ``hwaccel``: the accelerator that decodes (``cuda``, ``vaapi``, …) or
    an error; None: the CPU. ``damaged``: what becomes of damaged frames. ``fps``: frames a second
    of recordings that do not say so themselves (raw H.264, H.265, MJPEG; images); others are
    believed. For sources that are opened again and again: ``frozen_s``: an image
    that is the same, bit for bit, for as long is a frozen one; None: none is. ``backoff``: how
    long to wait before trying again.

    Raises:
        UsageError: a time-out or rate of zero or less, or without end; an unknown transport or
            choice for damaged frames.
    """

    timeout_s: float = 10.0
    stall_s: float = 5.0
    transport: str = Transport.TCP
    hwaccel: str | None = None
    damaged: str = Damaged.SKIP
    fps: float | None = None
    frozen_s: float | None = FROZEN_S
    backoff: Backoff = field(default_factory=Backoff)

    def __post_init__(self) -> None:
        check_timeout(self.timeout_s)
        check_timeout(self.stall_s)
        parse_transport(self.transport)
        if self.damaged not in set(Damaged):
            raise UsageError(
                f"unknown choice '{self.damaged}' for damaged frames ({', '.join(Damaged)})"
            )
        if self.fps is not None and not _LOWEST_RATE <= self.fps < _HIGHEST_RATE:
            raise UsageError(
                f"frames a second must be above 0 (from {_LOWEST_RATE:g} on) and below "
                f"{_HIGHEST_RATE}, not {self.fps}"
            )


def check_timeout(timeout_s: float) -> float:
    """``timeout_s`` itself.

    Raises:
        UsageError: it is not above zero, or longer than a thread can wait.
    """
    if not 0 < timeout_s <= threading.TIMEOUT_MAX:
        raise UsageError(f"a time-out must be above 0 s and finite, not {timeout_s}")
    return timeout_s
