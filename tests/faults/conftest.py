"""What the tests of live runs share."""

from __future__ import annotations

from collections.abc import Iterator

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
