"""A run's summary as people read it in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from oneglance.perception.budget import BudgetStatus
from oneglance.perception.health import SinkHealth, SourceHealth
from oneglance.perception.summary import Latency, RunSummary


def render_summary(summary: RunSummary) -> RenderableType:
    """A summary as people read it in a terminal: a headline and a table of latencies."""
    headline = Text(summary.source or "run", style="bold", no_wrap=True, overflow="ignore")
    device = "" if summary.device == "cpu" else summary.device
    engine = " ".join(word for word in (summary.engine, device, summary.precision) if word)
    facts = [summary.model, engine, summary.mode, f"{summary.frames} frames"]
    if summary.predicted:
        facts.append(f"{summary.predicted} of them predicted")
    facts.append(f"{summary.dropped} dropped")
    facts.append(f"{summary.wall_s:.1f} s")
    facts.append("no fps" if summary.fps is None else f"{summary.fps:.1f} fps")
    if summary.peak_memory_mb is not None:
        facts.append(f"peak memory {summary.peak_memory_mb:.0f} MB")
    headline.append("\n" + " · ".join(fact for fact in facts if fact), style="not bold")
    parts: list[RenderableType] = [headline]
    if summary.engine_reason:
        parts.append(Text(f"engine: {summary.engine_reason}", overflow="fold"))
    if summary.engine_check:
        parts.append(Text(f"self-check: {summary.engine_check}", overflow="fold"))
    if summary.budget is not None:
        parts.append(Text(_budget_line(summary.budget), overflow="fold"))
    if len(summary.sources) > 1 or any(source.last_error for source in summary.sources):
        parts.append(_source_table(summary.sources))
        parts += [
            Text(f"last error: {source.last_error}", no_wrap=True, overflow="ignore")
            for source in summary.sources
            if source.last_error
        ]
    parts += [
        Text(_sink_line(sink), overflow="fold")
        for sink in summary.sinks
        if sink.behind or sink.unsent
    ]
    if summary.end_to_end_ms is not None:
        parts.append(_latency_table(summary))
    return Group(*parts)


def _budget_line(budget: BudgetStatus) -> str:
    memory = "" if budget.memory_mb is None else f", {budget.memory_mb:.0f} MB of models for it"
    return (
        f"budget {budget.budget_ms:g} ms: {budget.over} results over it, {budget.down} steps down, "
        f"{budget.up} up, at the end {budget.steps[budget.step]}{memory}"
    )


def _sink_line(sink: SinkHealth) -> str:
    words = [
        f"{count} {what}"
        for count, what in (
            (sink.behind, "results dropped, because it was behind"),
            (sink.unsent, "not taken by its other end"),
        )
        if count
    ]
    return f"output {sink.sink}: {', '.join(words)}"


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
