"""What every room's tests may ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from media import make_video

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def video(tmp_path: Path) -> Callable[..., Path]:
    """``video("a.mp4", frames=10)`` encodes a small real video in the test's folder."""

    def make(name: str, **how: object) -> Path:
        return make_video(tmp_path / name, **how)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def clips() -> Path:
    """The folder of real clips; skips where ``../shared`` is absent."""
    folder = SHARED / "clips"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    return folder
