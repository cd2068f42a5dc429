"""What a run promises, and the limits beyond which somebody is alerted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from oneglance.streams.errors import UsageError
from oneglance.streams.live.states import Event
from oneglance.streams.options import ConnectOptions


class Mode(StrEnum):
    """What the loop promises; AUTO is live for live sources and recorded for the others."""

    AUTO = "auto"
    RECORDED = "recorded"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class Alert:
    """Somebody should look: ``about`` a source or the model, ``time_s`` on the run's clock."""

    about: str
    detail: str
    time_s: float

    def __str__(self) -> str:
        return f"{self.about}: {self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """Live mode and its limits, for ``Pipeline``'s ``mode``.

    ``connect``: how sources given by address are opened. ``stuck_s``: an inference that takes
    longer is reported. ``drop_share`` (0..1): more than that share of a source's frames dropped
    over ``window_s`` is an alert. ``on_event``: called with every change of a source's state and
    every alert, on the thread that notices; must not block.

    Raises:
        UsageError: a limit out of range.
    """

    connect: ConnectOptions = field(default_factory=ConnectOptions)
    stuck_s: float = 10.0
    drop_share: float = 0.2
    window_s: float = 10.0
    on_event: Callable[[Event | Alert], None] | None = None

    def __post_init__(self) -> None:
        if not (self.stuck_s > 0 and self.window_s > 0 and 0 <= self.drop_share <= 1):
            raise UsageError(
                "live mode needs stuck_s and window_s above 0 and drop_share in 0..1, not "
                f"{self.stuck_s}, {self.window_s} and {self.drop_share}"
            )


def limits_of(mode: str | Live) -> Live:
    """The limits of a run.

    Raises:
        UsageError: there is no such mode.
    """
    if isinstance(mode, Live):
        return mode
    if mode not in set(Mode):
        raise UsageError(f"unknown mode '{mode}' (modes: {', '.join(Mode)})")
    return Live()
