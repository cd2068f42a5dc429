"""What the tests of live runs share."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from oneglance.models import Detector
from onnx_models import seeing_model
from silences import our_threads
from waiting import wait_until


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    return Detector.load(seeing_model(tmp_path_factory.mktemp("model") / "seeing.onnx"), threads=1)


@pytest.fixture
def no_thread_is_left() -> Iterator[None]:
    """Afterwards no thread of ours is running any more."""
    yield
    wait_until(lambda: not our_threads(), our_threads, within_s=2)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 20 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a small disk needs root on Linux")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
