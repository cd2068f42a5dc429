"""In which order clips are run, and what a run is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from oneglance.perception.batch.job import BatchOptions, BatchSummary, longest_first, run_batch
from oneglance.perception.batch.listing import list_clips
from oneglance.streams import UsageError


def test_large_files_come_first_and_what_has_no_size_keeps_its_order(tmp_path: Path) -> None:
    for name, size in {"a.mp4": 10, "b.mp4": 30, "c.mp4": 20, "d.mp4": 30}.items():
        (tmp_path / name).write_bytes(b"x" * size)
    files = [str(tmp_path / f"{name}.mp4") for name in ("gone", "a", "b", "c", "d")]
    clips = list_clips(["https://host/2.mp4", *files, "https://host/1.mp4"])
    assert [clip.name.rpartition("/")[2] for clip in longest_first(clips)] == [
        *("b.mp4", "d.mp4", "c.mp4", "a.mp4"),
        *("2.mp4", "gone.mp4", "1.mp4"),
    ]


def test_graphics_cards_are_for_ray_alone(tmp_path: Path) -> None:
    for gpus, said in ((1.0, "--address"), (-1.0, "negative")):
        options = BatchOptions(uris=["a.mp4"], out=tmp_path / "out", gpus=gpus)
        with pytest.raises(UsageError, match=said):
            run_batch(options, BatchSummary())
    assert not (tmp_path / "out").exists()
