"""What the tests of live runs share."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from oneglance.models import Detector
from onnx_models import seeing_model


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    return Detector.load(seeing_model(tmp_path_factory.mktemp("model") / "seeing.onnx"), threads=1)


@pytest.fixture
def no_thread_is_left() -> Iterator[None]:
    """Afterwards no thread of ours is running any more."""
    yield
    deadline_s = time.monotonic() + 2
    while left := [t.name for t in threading.enumerate() if t.name.startswith("oneglance-")]:
        assert time.monotonic() < deadline_s, f"still running: {left}"
        time.sleep(0.005)
