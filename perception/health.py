"""How a run is doing: each source, the network, and what somebody should be alerted to."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from oneglance.perception.budget import BudgetStatus
from oneglance.streams.live.states import State


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceHealth:
    """One source of a live run.

    ``state_s``: seconds it has been in ``state``. ``fps_declared``: what it claims, and
    ``fps_measured``: what came over the last 5 s; None while unknown. ``age_s``: seconds since
    its last frame came; None before the first. Of ``produced`` frames each is ``delivered`` as
    a result, ``dropped`` for one of the reasons named, ``corrupt``, or still on its way (two at
    most, none after the run). ``drop_share``: of the frames over the alert's window, None when
    there were none. ``last_error``: a sentence without any credential; None: no failure yet.
    """

    source: str
    state: State
    state_s: float
    fps_declared: float | None
    fps_measured: float | None
    age_s: float | None
    produced: int
    delivered: int
    dropped: Mapping[str, int]
    corrupt: int
    reconnects: int
    drop_share: float | None
    last_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkHealth:
    """One output of a run. ``behind``: results that it went without because it was too slow for
    a live loop, which waits for nobody, or would have taken more than its share of the CPUs' time.
    ``unsent``: what its other end did not take (a broker, a viewer), in the sink's own units."""

    sink: str
    behind: int
    unsent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A run as it is now. ``inference_s``: how long the inference in work has taken so far, None
    when there is none; ``stuck``: that this is longer than it may be. ``sources``: those of a
    live run, the removed ones included; of a recorded run none are monitored. ``budget``: None
    where the run has none. ``sinks``: in their order."""

    sources: tuple[SourceHealth, ...]
    inference_s: float | None
    stuck: bool
    budget: BudgetStatus | None = None
    sinks: tuple[SinkHealth, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The same, ready for JSON."""
        return asdict(self)


class DropRateMonitor:
    """Notices when too large a share of a source's frames is dropped. Without a clock.

    Counts are kept by tenths of the window, so memory is bounded whatever the rate. Reported once;
    again after the share has fallen below half of what is allowed.
    """

    _PARTS = 10
    _FEWEST = 10  # frames; a share of fewer says nothing

    def __init__(self, *, share: float, window_s: float) -> None:
        self._allowed = share
        self._part_s = window_s / self._PARTS
        self._parts: deque[list[int]] = deque(maxlen=self._PARTS)  # [when, delivered, dropped]
        self._alerted = False

    def note(self, now_s: float, *, delivered: int, dropped: int) -> bool:
        """Count frames; whether this is the moment to raise the alarm."""
        when = math.floor(now_s / self._part_s)
        if not self._parts or self._parts[-1][0] != when:
            self._parts.append([when, 0, 0])
        self._parts[-1][1] += delivered
        self._parts[-1][2] += dropped
        share = self.share(now_s)
        if share is None:
            return False
        if share <= self._allowed / 2:
            self._alerted = False
        is_news = share > self._allowed and not self._alerted
        self._alerted = self._alerted or is_news
        return is_news

    def share(self, now_s: float) -> float | None:
        """The share of frames dropped over the window; None when there were too few to say."""
        oldest = math.floor(now_s / self._part_s) - self._PARTS
        recent = [part for part in tuple(self._parts) if part[0] > oldest]
        delivered, dropped = sum(p[1] for p in recent), sum(p[2] for p in recent)
        total = delivered + dropped
        return dropped / total if total >= self._FEWEST else None


class InferenceWatchdog:
    """Notices an inference that takes too long. Without a clock; for several threads."""

    def __init__(self, stuck_s: float) -> None:
        self.stuck_s = stuck_s
        self._running: dict[int, float] = {}
        self._alerted: set[int] = set()

    def begin(self, worker: int, now_s: float) -> None:
        """A worker begins an inference."""
        self._running[worker] = now_s

    def end(self, worker: int) -> None:
        """It is done."""
        self._running.pop(worker, None)
        self._alerted.discard(worker)

    def longest_s(self, now_s: float) -> float | None:
        """How long the oldest inference in work has been running; None without one."""
        begun = tuple(self._running.values())
        return max(0.0, now_s - min(begun)) if begun else None

    def newly_stuck(self, now_s: float) -> bool:
        """Whether an inference is stuck that was not reported yet."""
        stuck = {w for w, begun in tuple(self._running.items()) if now_s - begun > self.stuck_s}
        is_news = bool(stuck - self._alerted)
        self._alerted |= stuck
        return is_news
