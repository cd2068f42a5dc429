"""Long runs: nothing grows, nothing is lost uncounted."""

from __future__ import annotations

import gc
import threading
from itertools import islice
from pathlib import Path

import psutil
import pytest

from oneglance.models import Detector
from oneglance.perception import JsonLinesSink, Pipeline, Tracker
from onnx_models import seeing_model

FRAMES, WARM_UP = 20_000, 2_000
MOST_GROWTH_BYTES = 5e6


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("mode", ["recorded", "live"])
def test_memory_stays_flat_over_twenty_thousand_frames(mode: str, tmp_path: Path) -> None:
    detector = Detector.load(seeing_model(tmp_path / "seeing.onnx"), threads=1)
    source = f"rendered:?frames={FRAMES}&size=64x64&fps=2000"
    process, memory = psutil.Process(), list[int]()
    pipeline = Pipeline(
        source,
        detector,
        mode=mode,
        sinks=[JsonLinesSink(tmp_path / "out.jsonl")],
        tracker=Tracker(frame_rate=30),
    )
    results = iter(pipeline)
    index = 0
    for result in results:
        index = result.frame.index
        if index >= WARM_UP * (len(memory) + 1):
            gc.collect()
            memory.append(process.memory_info().rss)
    summary = pipeline.summary()
    print(f"{mode}: rss in MB {[round(m / 1e6, 1) for m in memory]}, {summary.wall_s} s")
    assert summary.frames + summary.dropped == FRAMES
    assert len((tmp_path / "out.jsonl").read_bytes().splitlines()) == summary.frames
    assert max(memory[1:]) - memory[0] < MOST_GROWTH_BYTES
    assert not [t for t in threading.enumerate() if t.name.startswith("oneglance-")]
    assert list(islice(results, 1)) == []
