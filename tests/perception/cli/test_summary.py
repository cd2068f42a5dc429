"""A run's summary as people read it."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

from rich.console import Console

from oneglance.perception import SinkHealth, SourceHealth
from oneglance.perception.cli.summary import render_summary
from oneglance.perception.result import Result
from oneglance.perception.summary import Telemetry
from oneglance.streams import State


def ticking() -> Callable[[], float]:
    times = iter(range(1000))
    return lambda: float(next(times))


def rendered(telemetry: Telemetry) -> str:
    out = io.StringIO()
    Console(file=out, width=100).print(render_summary(telemetry.summary()))
    return out.getvalue()


def test_people_read_a_headline_and_a_table(result: Callable[..., Result]) -> None:
    telemetry = Telemetry(source="drive.mp4", mode="live", model="road4-n", clock=ticking())
    for _ in range(2):
        telemetry.add(result(timings={"decode": 0.002, "inference": 0.0255}, age_s=0.05))
    text = rendered(telemetry)
    assert "road4-n · live · 2 frames · 0 dropped · 3.0 s · 1.0 fps" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["inference", "25.50", "25.50", "25.50", "25.50"] in rows
    assert ["end", "to", "end", "27.50", "27.50", "27.50", "27.50"] in rows
    assert ["age", "of", "results", "50.00", "50.00", "50.00", "50.00"] in rows


def test_a_source_named_like_markup_is_shown_as_it_is() -> None:
    assert "[bold]dash[/x].mp4" in rendered(Telemetry(source="[bold]dash[/x].mp4"))


def test_a_run_without_frames_can_be_shown() -> None:
    assert "0 frames" in rendered(Telemetry(source="empty.mp4"))


def source(name: str, **facts: object) -> SourceHealth:
    usual = {"state": State.LIVE, "state_s": 9.0, "fps_declared": None, "fps_measured": 24.96}
    usual |= {"age_s": 0.04, "produced": 100, "delivered": 90, "dropped": {"newer frame": 8}}
    usual |= {"corrupt": 2, "reconnects": 0, "drop_share": 0.08, "last_error": None}
    return SourceHealth(source=name, **{**usual, **facts})  # type: ignore[arg-type]


def shown(*sources: SourceHealth) -> str:
    out = io.StringIO()
    summary = replace(Telemetry(source="cameras", mode="live").summary(), sources=sources)
    Console(file=out, width=120).print(render_summary(summary))
    return out.getvalue()


def test_a_summary_shows_what_became_of_each_of_several_sources() -> None:
    lost = source("rtsp://***@b/x", delivered=7, reconnects=3, last_error="rtsp://***@b/x was lost")
    text = shown(source("front"), lost)
    front, rear, error = (line for line in text.splitlines() if "front" in line or "b/x" in line)
    assert front.split() == ["front", "90", "8", "2", "0", "25.0"]
    assert rear.split() == ["rtsp://***@b/x", "7", "8", "2", "3", "25.0"]
    assert error == "last error: rtsp://***@b/x was lost"


def test_a_summary_of_one_source_without_trouble_says_no_more_than_it_must() -> None:
    assert "corrupt" not in shown(source("front"))
    assert "corrupt" in shown(source("front", last_error="it was lost"))


def test_what_an_output_went_without_is_named_and_what_took_everything_is_not() -> None:
    out = io.StringIO()
    sinks = (
        SinkHealth(sink="jsonl", behind=0, unsent=0),
        SinkHealth(sink="video", behind=12, unsent=0),
        SinkHealth(sink="mqtt", behind=1, unsent=30),
    )
    summary = replace(Telemetry(source="camera", mode="live").summary(), sinks=sinks)
    Console(file=out, width=120).print(render_summary(summary))
    assert "output video: 12 results dropped, because it was behind" in out.getvalue()
    assert (
        "output mqtt: 1 results dropped, because it was behind, 30 not taken by its other end"
        in (out.getvalue())
    )
    assert "jsonl" not in out.getvalue()
