"""The clips, and what is made of the arms' answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest

from benchmarks.parts import batch
from benchmarks.report.results import Part


def keys(file: Path) -> list[bool]:
    with av.open(str(file)) as container:
        return [bool(frame.key_frame) for frame in container.decode(video=0)]


def test_short_clips_hold_the_frames_of_the_long_ones(
    tmp_path: Path, video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "DIFFERENT", 2)
    batch.make_clips(str(video("a.mp4", frames=9)), tmp_path, count=5, frames=4)
    short = [keys(file) for file in sorted((tmp_path / "short").iterdir())]
    assert short == [[True, False, False, False]] * 5
    assert [keys(tmp_path / f"share-{n}.mp4") for n in range(2)] == [short[0] * 3, short[0] * 2]


def test_rates_are_held_to_their_goals_and_other_frames_are_a_hole() -> None:
    part = Part(part="batch", title="Batch", timer="all")
    batch.report(
        part,
        {
            "run": [{"fps": 50.0, "wall_s": 40.0, "frames": 2000}] * 2,
            "processes": [{"fps": 48.0, "wall_s": 45.0, "frames": 2000}] * 2,
            "ray": [{"fps": 40.0, "wall_s": 60.0, "frames": 1990}] * 2,
        },
    )
    claims = {claim.name: (claim.value, claim.met) for claim in part.claims}
    assert claims == {"batch.processes": (0.96, True), "batch.ray": (0.8, False)}
    assert part.holes == ["the arms did not look at the same frames: [1990, 2000]"]
