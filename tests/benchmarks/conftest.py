"""A small real clip, and results as parts make them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.report.results import Part, Table
from media import make_video
from oneglance.streams import open_stream

PartMaker = Callable[..., Part]


@pytest.fixture(scope="session")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight rendered frames as a video: there is something to see in them."""
    with open_stream("rendered:?frames=8&seed=3") as stream:
        images = [frame.image for frame in stream]
    height, width = images[0].shape[:2]
    file = tmp_path_factory.mktemp("drive") / "drive.mp4"
    return make_video(file, images=images, size=(width, height))


@pytest.fixture
def part() -> PartMaker:
    """``part(fps=[[20.0], [21.0]])``: throughput results; other keywords replace facts."""

    def make(fps: Sequence[Sequence[float]] = ((20.0,), (21.0,)), **facts: Any) -> Part:
        made = Part(
            part="throughput",
            title="Throughput of one clip",
            timer="everything",
            facts={
                "command": "python throughput.py",
                "commit": "abc",
                "date": "2026-11-24",
                "device": "a machine, 2 CPUs",
                "CPUs allowed": 2,
                "model": "road4-n",
                "input size": "640x384",
                **facts,
            },
            silent_on=["rain"],
        )
        made.add("oneglance_run.fps", "oneglance run", fps, unit="frames/s", better="higher")
        made.claim("loop", "loop over bare", 0.95, at_least=0.92)
        made.claim("memory", "ours over theirs", 0.5, at_most=0.4)
        made.claim("tutorial", "over a tutorial", 2.0)
        made.tables.append(Table("Rates", ("arm", "fps"), (("ours | all", "20"),)))
        columns = ("arm", "frames/s", "p50 ms", "p99 ms", "peak MB")
        row = ("oneglance run", "47.0 [40.2 to 48.2]", "21.7", "52.4", "290")
        made.tables.append(Table("Arms", columns, (row,)))
        return made

    return make
