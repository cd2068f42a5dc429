"""The README's annotated frame."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from benchmarks.report.readme_image import MOST_BYTES, draw
from oneglance.streams import SinkError, UsageError
from present import present

ROOT = Path(__file__).resolve().parents[3]


def test_a_frame_is_drawn_with_what_is_seen_in_it(drive: Path, tmp_path: Path) -> None:
    out = tmp_path / "seen.jpg"
    assert draw(str(drive), 3, model="road4-n-416", out=out) > 0
    assert present(cv2.imread(str(out))).shape == (720, 1280, 3)
    assert out.stat().st_size <= MOST_BYTES


def test_what_cannot_be_drawn_is_reported(drive: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no frame 99"):
        draw(str(drive), 99, model="road4-n-416", out=tmp_path / "seen.jpg")
    with pytest.raises(SinkError, match="cannot write"):
        draw(str(drive), 0, model="road4-n-416", out=tmp_path / "no" / "seen.jpg")


def test_it_is_not_drawn_over_what_it_is_drawn_from(drive: Path, tmp_path: Path) -> None:
    clip = tmp_path / "drive.mp4"
    clip.write_bytes(drive.read_bytes())
    with pytest.raises(SinkError, match="which is read; give another name"):
        draw(str(clip), 0, model="road4-n-416", out=clip)
    assert clip.read_bytes() == drive.read_bytes()


def test_the_readme_is_short_and_its_images_are_small() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    images = [ROOT / part.split('"')[0] for part in text.split('<img src="')[1:]]
    assert images
    assert all(image.stat().st_size <= MOST_BYTES for image in images)
