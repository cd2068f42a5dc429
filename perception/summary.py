"""What a run cost: latency by stage, frames, drops, age, memory. Constant in size, however long."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from oneglance.perception.budget import BudgetStatus
from oneglance.perception.health import SinkHealth, SourceHealth
from oneglance.perception.histogram import LatencyHistogram
from oneglance.perception.result import STAGES, Result


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

    ``engine`` and ``precision``: what ran the model, and what it was computed in, ``device``: what
    it ran on;
    ``engine_reason``: why that, where it was chosen by measuring; ``engine_check``: what its
    self-check found and cost. ``frames``:
    results, and of these ``predicted`` those of frames that the network did not look at;
    ``dropped``: frames that a live run skipped. ``wall_s``: from the
    pipeline's making to this summary. ``fps``: intervals between results by the time from the
    first result to the last (one interval less than results); None below two results.
    ``latency_ms``: by stage. ``end_to_end_ms``: from the start of a frame's decoding to its
    result: the sum of its stages, waiting in the queue included; None without a frame.
    ``age_ms``: live only, from capture to result. ``sources``: what became of each source of a
    live run; empty for a recorded one. ``budget``: what was done to hold one, of a run that had
    one. ``sinks``: what each output went without. ``peak_memory_mb``: the most memory this
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
    engine_reason: str = ""
    engine_check: str = ""
    device: str = ""
    predicted: int = 0
    sources: tuple[SourceHealth, ...] = ()
    budget: BudgetStatus | None = None
    sinks: tuple[SinkHealth, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The same, ready for JSON: field names as keys, a latency as p50, p90, p99 and max."""
        return asdict(self)


class Telemetry:
    """Gathers ``Result``s into a ``RunSummary``.

    ``source``, ``mode``, ``model``, ``engine``, ``device``, ``precision``, ``engine_reason`` and
    ``engine_check`` are passed through; ``clock``: seconds, monotonic.
    """

    def __init__(  # noqa: PLR0913 - each is a fact of the summary
        self,
        *,
        source: str = "",
        mode: str = "",
        model: str = "",
        engine: str = "",
        precision: str = "",
        engine_reason: str = "",
        engine_check: str = "",
        device: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._mode, self._model = source, mode, model
        self._engine, self._precision, self._device = engine, precision, device
        self._engine_reason, self._engine_check = engine_reason, engine_check
        self._clock = clock
        self._stages: dict[str, LatencyHistogram] = {}
        self._end_to_end = LatencyHistogram()
        self._age = LatencyHistogram()
        self._dropped = self._predicted = 0
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
        self._predicted += result.predicted
        for stage, duration_s in result.timings.items():
            if stage not in self._stages:
                # A new dict, because another thread may be reading the old one.
                self._stages = {**self._stages, stage: LatencyHistogram()}
            self._stages[stage].add(duration_s)
        self._end_to_end.add(sum(result.timings.values()))
        if result.age_s is not None:
            self._age.add(result.age_s)

    @property
    def stages(self) -> Mapping[str, LatencyHistogram]:
        """The histogram of each stage so far, in a frame's order; only to be read."""
        return dict(sorted(self._stages.items(), key=lambda item: _position(item[0])))

    @property
    def end_to_end(self) -> LatencyHistogram:
        """The histogram of the sums of stages; only to be read."""
        return self._end_to_end

    @property
    def age(self) -> LatencyHistogram:
        """The histogram of ages, live only; only to be read."""
        return self._age

    def summary(self) -> RunSummary:
        """What was counted so far; may be called during a run and from another thread."""
        return RunSummary(
            source=self._source,
            mode=self._mode,
            model=self._model,
            engine=self._engine,
            precision=self._precision,
            engine_reason=self._engine_reason,
            engine_check=self._engine_check,
            device=self._device,
            frames=self._end_to_end.count,
            dropped=self._dropped,
            predicted=self._predicted,
            wall_s=round(self._clock() - self._started_s, 3),
            fps=self._fps(),
            latency_ms={stage: Latency.of(histogram) for stage, histogram in self.stages.items()},
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
    kilobytes = _proc_kb(Path("/proc/self/status"), "VmHWM:")
    if kilobytes is not None:
        return round(kilobytes * 1024 / 1e6, 1)
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, the others kilobytes.
    return round((peak if sys.platform == "darwin" else peak * 1024) / 1e6, 1)


def memory_mb() -> float | None:
    """The memory (resident set) of this process now, in 10⁶ bytes; None where nothing says."""
    kilobytes = _proc_kb(Path("/proc/self/status"), "VmRSS:")
    return None if kilobytes is None else round(kilobytes * 1024 / 1e6, 1)


def _proc_kb(status: Path, name: str) -> int | None:
    """Linux's own figure. ``ru_maxrss`` survives exec there: a small program started by a large
    one would report the large one's peak."""
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(name)]
    return int(found[0]) if found else None
