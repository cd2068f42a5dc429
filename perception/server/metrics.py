"""What a run counts, as Prometheus reads it.

A collector over ``Pipeline.health()`` and its telemetry: nothing is counted twice, and nothing is
done between two scrapes. Labels are bounded: sources, stages, reasons and states; a track's id or
an address is never one.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from importlib import metadata
from pathlib import PurePath
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from oneglance.perception.health import Health, SourceHealth
from oneglance.perception.histogram import LatencyHistogram
from oneglance.perception.summary import RunSummary, Telemetry
from oneglance.streams.live.states import State
from oneglance.streams.redaction import HIDDEN, printable

BUCKETS_S = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Upper bounds in seconds: close where a frame's stages and ages lie."""


_MOST_LABELS = 1024


class SourceLabel(StrEnum):
    """How a metric names its source: in words, as a digest that shows nobody where a camera
    stands, or not at all (the sources are then added up)."""

    PLAIN = "plain"
    HASHED = "hashed"
    NONE = "none"


class Measured(Protocol):
    """What the collector asks: a ``Pipeline``."""

    @property
    def telemetry(self) -> Telemetry: ...
    def health(self) -> Health: ...
    def summary(self) -> RunSummary: ...


def metrics_of(pipeline: Measured, *, label: SourceLabel = SourceLabel.PLAIN) -> CollectorRegistry:
    """A registry of its own that asks ``pipeline`` at each scrape; give it to
    ``prometheus_client.generate_latest`` or ``start_http_server``."""
    registry = CollectorRegistry()
    registry.register(PipelineCollector(pipeline, label=label))
    return registry


def label_for(source: str, label: SourceLabel) -> str:
    """What a metric calls a source. Of an address only host and path stay, of a file its name.

    >>> label_for("rtsp://***@camera.local:554/front?token=***&fps=5", SourceLabel.PLAIN)
    'camera.local:554/front'
    >>> label_for("/home/me/drive.mp4", SourceLabel.PLAIN)
    'drive.mp4'
    """
    if label is SourceLabel.NONE:
        return ""
    if label is SourceLabel.HASHED:
        return _digest(source)
    source = printable(source)
    scheme, is_address, rest = source.partition("://")
    if not is_address:
        scheme, _, rest = source.partition(":")
        path = PurePath(source)
        is_file = path.is_absolute() or len(path.parts) > 1
        return path.name if is_file else (rest.partition("?")[0] or scheme)
    return re.split("[?#]", rest.removeprefix(f"{HIDDEN}@"))[0].rstrip("/") or scheme


class PipelineCollector(Collector):
    """Turns a run's health and telemetry into metric families, anew at each scrape."""

    def __init__(self, pipeline: Measured, *, label: SourceLabel = SourceLabel.PLAIN) -> None:
        self._pipeline = pipeline
        self._label = label
        # Labels of sources stay what they are while others come and go.
        self._labels: dict[str, str] = {}

    def describe(self) -> Sequence[Metric]:
        """Nothing: a registry would otherwise collect once just to learn the names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every family, with the figures of now."""
        health = self._pipeline.health()
        sources = [(self._name(each.source), each) for each in health.sources]
        yield from self._counters(sources)
        yield from self._gauges(sources)
        yield from self._of_the_run(health, self._pipeline.summary())
        telemetry = self._pipeline.telemetry
        yield _histogram(
            "oneglance_stage_seconds", "Time of one stage of a frame.", telemetry.stages, "stage"
        )
        yield _histogram(
            "oneglance_end_to_end_seconds",
            "Time from the start of a frame's decoding to its result.",
            {"": telemetry.end_to_end},
        )
        yield _histogram(
            "oneglance_age_seconds",
            "Time from a live frame's capture to its result.",
            {"": telemetry.age},
        )

    def _counters(self, sources: Sequence[tuple[str, SourceHealth]]) -> Iterator[Metric]:
        counted: tuple[tuple[str, str, Callable[[SourceHealth], int]], ...] = (
            ("frames_produced", "Frames that came from a source.", lambda s: s.produced),
            ("frames_delivered", "Frames that became a result.", lambda s: s.delivered),
            ("frames_corrupt", "Frames left out because they were damaged.", lambda s: s.corrupt),
            ("source_reconnects", "Times that a source came back.", lambda s: s.reconnects),
        )
        for name, text, value in counted:
            family = CounterMetricFamily(f"oneglance_{name}", text, labels=self._with())
            for words, total in self._added((name, (), value(s)) for name, s in sources):
                family.add_metric(words, total)
            yield family
        dropped = CounterMetricFamily(
            "oneglance_frames_dropped",
            "Frames that were dropped, by reason.",
            labels=self._with("reason"),
        )
        rows = ((name, (why,), n) for name, s in sources for why, n in s.dropped.items())
        for words, total in self._added(rows):
            dropped.add_metric(words, total)
        yield dropped

    def _gauges(self, sources: Sequence[tuple[str, SourceHealth]]) -> Iterator[Metric]:
        state = GaugeMetricFamily(
            "oneglance_source_state",
            "1 for the state that a source is in, 0 for the others; without a source label, how "
            "many sources are in it.",
            labels=self._with("state"),
        )
        rows = ((name, (str(each),), int(s.state is each)) for name, s in sources for each in State)
        for words, total in self._added(rows):
            state.add_metric(words, total)
        yield state
        if self._label is SourceLabel.NONE:
            return  # what follows cannot be added up
        gauges: tuple[tuple[str, str, Callable[[SourceHealth], float | None]], ...] = (
            ("state_seconds", "Time since the source came into its state.", lambda s: s.state_s),
            ("frame_age_seconds", "Time since the source's last frame.", lambda s: s.age_s),
            ("fps", "Frames a second that came lately.", lambda s: s.fps_measured),
            ("drop_ratio", "Share of lately come frames dropped, 0 to 1.", lambda s: s.drop_share),
        )
        for name, text, value in gauges:
            family = GaugeMetricFamily(f"oneglance_source_{name}", text, labels=self._with())
            for source, each in sources:
                if (figure := value(each)) is not None:
                    family.add_metric((source,), figure)
            yield family

    def _of_the_run(self, health: Health, summary: RunSummary) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "oneglance_results", "Results of all sources together.", value=summary.frames
        )
        yield GaugeMetricFamily(
            "oneglance_inference_stuck",
            "1 while an inference takes longer than it may.",
            value=int(health.stuck),
        )
        yield GaugeMetricFamily(
            "oneglance_inference_running_seconds",
            "For how long the inference in work has been running, 0 without one.",
            value=health.inference_s or 0.0,
        )
        yield from self._of_the_budget(health)
        left_out = CounterMetricFamily(
            "oneglance_sink_dropped",
            "What an output went without: results while it was behind, messages left unsent.",
            labels=["sink", "reason"],
        )
        for sink in health.sinks:
            left_out.add_metric([sink.sink, "behind"], sink.behind)
            left_out.add_metric([sink.sink, "unsent"], sink.unsent)
        yield left_out
        words = {
            "version": metadata.version("oneglance"),
            "mode": summary.mode,
            "model": summary.model,
            "engine": summary.engine,
            "device": summary.device,
            "precision": summary.precision,
        }
        info = GaugeMetricFamily("oneglance_info", "What runs; always 1.", labels=list(words))
        info.add_metric(list(words.values()), 1)
        yield info

    def _of_the_budget(self, health: Health) -> Iterator[Metric]:
        budget = health.budget
        if budget is None:
            return
        yield GaugeMetricFamily(
            "oneglance_budget_seconds",
            "Age that results are to keep below.",
            value=budget.budget_ms / 1e3,
        )
        step = GaugeMetricFamily(
            "oneglance_budget_step",
            "1 for the step that the run is at, 0 for the others.",
            labels=["model", "every"],
        )
        for number, each in enumerate(budget.steps):
            step.add_metric([each.model, str(each.every)], int(number == budget.step))
        yield step
        changes = CounterMetricFamily(
            "oneglance_budget_changes", "Steps taken to hold the budget.", labels=["direction"]
        )
        changes.add_metric(["down"], budget.down)
        changes.add_metric(["up"], budget.up)
        yield changes
        yield CounterMetricFamily(
            "oneglance_budget_exceeded", "Results older than the budget.", value=budget.over
        )

    def _name(self, source: str) -> str:
        """Its label; two sources never share one."""
        if source not in self._labels:
            self._forget()
            name = label_for(source, self._label)
            if name and name in self._labels.values():
                name = f"{name} {_digest(source)}"
            self._labels[source] = name
        return self._labels[source]

    def _forget(self) -> None:
        """The oldest labels, which are those of sources that nobody reports any more."""
        while len(self._labels) >= _MOST_LABELS:
            del self._labels[next(iter(self._labels))]

    def _with(self, *labels: str) -> list[str]:
        return [*([] if self._label is SourceLabel.NONE else ["source"]), *labels]

    def _added(
        self, rows: Iterator[tuple[str, tuple[str, ...], int]]
    ) -> Iterator[tuple[tuple[str, ...], int]]:
        """Rows of the same labels as one."""
        totals: dict[tuple[str, ...], int] = defaultdict(int)
        for name, others, value in rows:
            totals[others if self._label is SourceLabel.NONE else (name, *others)] += value
        yield from totals.items()


def _histogram(
    name: str, text: str, histograms: Mapping[str, LatencyHistogram], *labels: str
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, text, labels=list(labels))
    for word, histogram in histograms.items():
        if not histogram.count:
            continue
        counts, total = histogram.cumulative(BUCKETS_S)
        buckets = [(str(bound_s), n) for bound_s, n in zip(BUCKETS_S, counts, strict=True)]
        family.add_metric(
            [word] if labels else [], [*buckets, ("+Inf", total)], sum_value=histogram.sum_s
        )
    return family


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode("utf-8", "surrogateescape")).hexdigest()[:12]
