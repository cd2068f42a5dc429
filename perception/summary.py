"""What a run cost: latency by stage, frames, drops, age, memory. Constant in size, however long."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from oneglance.perception.health import SourceHealth
from oneglance.perception.result import STAGES, Result

RELATIVE_ERROR = 0.01
"""Largest relative error of a percentile of durations between ``SHORTEST_S`` and ``LONGEST_S``."""

SHORTEST_S = 1e-6
LONGEST_S = 1e5

_GROWTH = 1.019  # a bucket's middle is at most 0.94 % from its edges
_LOG_GROWTH = math.log(_GROWTH)
_BUCKETS = 2 + math.ceil(math.log(LONGEST_S / SHORTEST_S) / _LOG_GROWTH)


class LatencyHistogram:
    """Durations in logarithmic buckets: percentiles of any number of them in 11 kB.

    A percentile is that of ``numpy.percentile`` (linear between order statistics) within
    ``RELATIVE_ERROR``; durations below ``SHORTEST_S`` count as anything up to it, durations
    above ``LONGEST_S`` only make ``max_s`` exact. Reading from another thread is safe.

    >>> histogram = LatencyHistogram()
    >>> for milliseconds in range(1, 102):
    ...     histogram.add(milliseconds / 1e3)
    >>> round(histogram.percentile(50), 3), histogram.max_s, histogram.count
    (0.051, 0.101, 101)
    """

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.count = 0
        self.min_s = math.inf
        self.max_s = 0.0

    def add(self, duration_s: float) -> None:
        """Count one duration.

        Raises:
            ValueError: negative, infinite or not a number.
        """
        if not 0.0 <= duration_s < math.inf:
            raise ValueError(f"{duration_s} s is not a duration")
        self._counts[_bucket(duration_s)] += 1
        self.count += 1
        self.min_s = min(self.min_s, duration_s)
        self.max_s = max(self.max_s, duration_s)

    def percentile(self, percent: float) -> float:
        """The duration in seconds that ``percent`` (0 to 100) of all do not exceed.

        Raises:
            ValueError: nothing was counted, or ``percent`` is out of range.
        """
        if not self.count:
            raise ValueError("no duration was counted")
        if not 0 <= percent <= 100:
            raise ValueError(f"a percentile is from 0 to 100, not {percent}")
        rank = percent / 100 * (self.count - 1)
        below = self._ranked(math.floor(rank))
        above = self._ranked(math.ceil(rank))
        return below + (above - below) * (rank - math.floor(rank))

    def _ranked(self, rank: int) -> float:
        """About the duration at 0-based ``rank`` of all, sorted."""
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen > rank:
                return min(max(_middle_s(bucket), self.min_s), self.max_s)
        return self.max_s


def _bucket(duration_s: float) -> int:
    if duration_s <= SHORTEST_S:
        return 0
    return min(1 + int(math.log(duration_s / SHORTEST_S) / _LOG_GROWTH), _BUCKETS - 1)


def _middle_s(bucket: int) -> float:
    """The value whose relative distance to both edges of the bucket is the same."""
    if bucket == 0:
        return SHORTEST_S / 2
    lower_s = SHORTEST_S * _GROWTH ** (bucket - 1)
    return lower_s * 2 * _GROWTH / (1 + _GROWTH)


@dataclass(frozen=True, slots=True)
class Latency:
    """How one duration was distributed over a run, in milliseconds."""

    p50: float
    p90: float
    p99: float
    max: float

    @classmethod
    def of(cls, histogram: LatencyHistogram) -> Latency:
        """The figures of a histogram that is not empty."""
        p50, p90, p99 = (round(1e3 * histogram.percentile(p), 3) for p in (50, 90, 99))
        return cls(p50, p90, p99, round(1e3 * histogram.max_s, 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """What a run did and what it cost; every frame is counted, the first ones included.

    ``engine`` and ``precision``: what ran the model, and what it was computed in. ``frames``:
    results; ``dropped``: frames that a live run skipped. ``wall_s``: from the
    pipeline's making to this summary. ``fps``: intervals between results by the time from the
    first result to the last (one interval less than results); None below two results.
    ``latency_ms``: by stage. ``end_to_end_ms``: from the start of a frame's decoding to its
    result: the sum of its stages, waiting in the queue included; None without a frame.
    ``age_ms``: live only, from capture to result. ``sources``: what became of each source of a
    live run; empty for a recorded one. ``peak_memory_mb``: the most memory this
    process ever held, in 10⁶ bytes; None where the system does not say.
    """

    source: str
    mode: str
    model: str
    frames: int
    dropped: int
    wall_s: float
    fps: float | None
    latency_ms: Mapping[str, Latency]
    end_to_end_ms: Latency | None
    age_ms: Latency | None
    peak_memory_mb: float | None
    engine: str = ""
    precision: str = ""
    sources: tuple[SourceHealth, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The same, ready for JSON: field names as keys, a latency as p50, p90, p99 and max."""
        return asdict(self)


class Telemetry:
    """Gathers ``Result``s into a ``RunSummary``.

    ``source``, ``mode``, ``model``, ``engine`` and ``precision`` are passed through; ``clock``:
    seconds, monotonic.
    """

    def __init__(
        self,
        *,
        source: str = "",
        mode: str = "",
        model: str = "",
        engine: str = "",
        precision: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._mode, self._model = source, mode, model
        self._engine, self._precision = engine, precision
        self._clock = clock
        self._stages: dict[str, LatencyHistogram] = {}
        self._end_to_end = LatencyHistogram()
        self._age = LatencyHistogram()
        self._dropped = 0
        self._started_s = clock()
        self._first_s = self._last_s = self._started_s

    def add(self, result: Result) -> None:
        """Count a result that has just come out.

        Raises:
            ValueError: one of its durations is negative or not a number.
        """
        self._last_s = self._clock()
        if not self._end_to_end.count:
            self._first_s = self._last_s
        self._dropped += result.dropped
        for stage, duration_s in result.timings.items():
            if stage not in self._stages:
                # A new dict, because another thread may be reading the old one.
                self._stages = {**self._stages, stage: LatencyHistogram()}
            self._stages[stage].add(duration_s)
        self._end_to_end.add(sum(result.timings.values()))
        if result.age_s is not None:
            self._age.add(result.age_s)

    def summary(self) -> RunSummary:
        """What was counted so far; may be called during a run and from another thread."""
        stages = sorted(self._stages.items(), key=lambda item: _position(item[0]))
        return RunSummary(
            source=self._source,
            mode=self._mode,
            model=self._model,
            engine=self._engine,
            precision=self._precision,
            frames=self._end_to_end.count,
            dropped=self._dropped,
            wall_s=round(self._clock() - self._started_s, 3),
            fps=self._fps(),
            latency_ms={stage: Latency.of(histogram) for stage, histogram in stages},
            end_to_end_ms=_latency(self._end_to_end),
            age_ms=_latency(self._age),
            peak_memory_mb=peak_memory_mb(),
        )

    def _fps(self) -> float | None:
        intervals = self._end_to_end.count - 1
        elapsed_s = self._last_s - self._first_s
        return round(intervals / elapsed_s, 2) if intervals > 0 and elapsed_s > 0 else None


def _position(stage: str) -> int:
    return STAGES.index(stage) if stage in STAGES else len(STAGES)


def _latency(histogram: LatencyHistogram) -> Latency | None:
    return Latency.of(histogram) if histogram.count else None


def peak_memory_mb() -> float | None:
    """The most memory (resident set) this process ever held, in 10⁶ bytes.

    None where the system does not say (Windows).
    """
    kilobytes = _proc_peak_kb(Path("/proc/self/status"))
    if kilobytes is not None:
        return round(kilobytes * 1024 / 1e6, 1)
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, the others kilobytes.
    return round((peak if sys.platform == "darwin" else peak * 1024) / 1e6, 1)


def _proc_peak_kb(status: Path) -> int | None:
    """Linux's own figure. ``ru_maxrss`` survives exec there: a small program started by a large
    one would report the large one's peak."""
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(found[0]) if found else None


def render_summary(summary: RunSummary) -> RenderableType:
    """A summary as people read it in a terminal: a headline and a table of latencies."""
    headline = Text(summary.source or "run", style="bold", no_wrap=True, overflow="ignore")
    engine = f"{summary.engine} {summary.precision}".strip()
    facts = [summary.model, engine, summary.mode, f"{summary.frames} frames"]
    facts.append(f"{summary.dropped} dropped")
    facts.append(f"{summary.wall_s:.1f} s")
    facts.append("no fps" if summary.fps is None else f"{summary.fps:.1f} fps")
    if summary.peak_memory_mb is not None:
        facts.append(f"peak memory {summary.peak_memory_mb:.0f} MB")
    headline.append("\n" + " · ".join(fact for fact in facts if fact), style="not bold")
    parts: list[RenderableType] = [headline]
    if len(summary.sources) > 1 or any(source.last_error for source in summary.sources):
        parts.append(_source_table(summary.sources))
        parts += [
            Text(f"last error: {source.last_error}", no_wrap=True, overflow="ignore")
            for source in summary.sources
            if source.last_error
        ]
    if summary.end_to_end_ms is not None:
        parts.append(_latency_table(summary))
    return Group(*parts)


def _source_table(sources: Sequence[SourceHealth]) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2))
    table.add_column("source", overflow="fold")
    for name in ("results", "dropped", "corrupt", "back", "fps"):
        table.add_column(name, justify="right")
    for source in sources:
        fps = "-" if source.fps_measured is None else f"{source.fps_measured:.1f}"
        counts = (source.delivered, sum(source.dropped.values()), source.corrupt, source.reconnects)
        table.add_row(Text(source.source), *map(str, counts), fps)
    return table


def _latency_table(summary: RunSummary) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2))
    table.add_column("milliseconds")
    for name in ("p50", "p90", "p99", "max"):
        table.add_column(name, justify="right")
    rows: list[tuple[str, Latency | None]] = [*summary.latency_ms.items()]
    rows += [("end to end", summary.end_to_end_ms), ("age of results", summary.age_ms)]
    for name, latency in rows:
        if latency is not None:
            style = "bold" if name == "end to end" else None
            figures = (latency.p50, latency.p90, latency.p99, latency.max)
            table.add_row(name, *(f"{figure:.2f}" for figure in figures), style=style)
    return table
