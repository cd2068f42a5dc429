"""A long run: nothing grows, nothing is lost uncounted."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import psutil
import pytest

from oneglance.models import Detector
from oneglance.perception import JsonLinesSink, Pipeline, Tracker
from onnx_models import seeing_model

FRAMES, WARM_UP = 20_000, 2_000
MOST_GROWTH_BYTES = 5e6


@pytest.mark.slow
@pytest.mark.timeout(1500)  # about a minute and a half where nothing else runs
def test_memory_stays_flat_over_twenty_thousand_frames_played_live(tmp_path: Path) -> None:
    detector = Detector.load(seeing_model(tmp_path / "seeing.onnx"), threads=1)
    pipeline = Pipeline(
        f"rendered:?frames={FRAMES}&size=64x64&fps=2000",
        detector,
        mode="live",
        sinks=[JsonLinesSink(tmp_path / "out.jsonl")],
        tracker=Tracker(frame_rate=30),
    )
    process, memory = psutil.Process(), list[int]()
    for result in pipeline:
        if result.frame.index >= WARM_UP * (len(memory) + 1):
            gc.collect()
            memory.append(process.memory_info().rss)
    summary = pipeline.summary()
    growth = max(memory[1:]) - memory[0]
    print(
        f"memory after each {WARM_UP} frames: {[round(m / 1e6, 1) for m in memory]} MB, growth "
        f"{growth / 1e6:.1f} MB; {summary.frames} results, {summary.dropped} dropped, "
        f"{summary.wall_s:.0f} s"
    )
    assert len(memory) == FRAMES // WARM_UP - 1
    assert growth < MOST_GROWTH_BYTES
    assert summary.frames + summary.dropped == FRAMES
    lines, (sink,) = (tmp_path / "out.jsonl").read_bytes().splitlines(), summary.sinks
    assert len(lines) + sink.behind == summary.frames  # a live run does not wait for its file
    assert sink.behind < 0.01 * summary.frames
    assert not [t for t in threading.enumerate() if t.name.startswith("oneglance-")]
