"""The budget holds by arithmetic: what may be waited for one after the other fits in a second."""

from __future__ import annotations

from oneglance.streams import shutdown


def test_after_close_everything_together_takes_less_than_a_second() -> None:
    # As Pipeline leaves: inferences, then sources, then sinks.
    parts = shutdown.INFERENCE_STOPPED_S + shutdown.SOURCE_S + shutdown.SINK_STOPPED_S
    assert parts < shutdown.CLOSE_S


def test_at_the_end_of_the_process_libav_and_stuck_sources_fit_as_well() -> None:
    assert shutdown.LIBAV_AT_EXIT_S + shutdown.SOURCE_S < shutdown.CLOSE_S


def test_whoever_waits_looks_around_more_than_once_within_the_budget() -> None:
    assert max(shutdown.PIECE_S, shutdown.GLANCE_S) <= shutdown.SOURCE_S < shutdown.CLOSE_S / 2
    assert shutdown.INFERENCE_S > shutdown.INFERENCE_STOPPED_S
    assert shutdown.SINK_S > shutdown.SINK_STOPPED_S
