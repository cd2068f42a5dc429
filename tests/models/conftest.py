"""Real ONNX files, made where they are used, and the engines that run them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from oneglance.models.engines.engine import Engine
from oneglance.models.engines.loading import PRECISIONS, load_engine
from onnx_models import build_model

ModelMaker = Callable[..., Path]
Loader = Callable[..., Engine]


@pytest.fixture
def make_model(tmp_path: Path) -> ModelMaker:
    """A function that writes an ONNX model whose output is always the array given.

    ``make_model(output, head=…, size=(64, 32), metadata=True, name="fixed")`` → its path.
    """

    def make(output: np.ndarray, *, name: str = "fixed", **how: object) -> Path:
        return build_model(tmp_path / f"{name}.onnx", output, **how)  # type: ignore[arg-type]

    return make


@pytest.fixture(params=PRECISIONS)
def load(request: pytest.FixtureRequest) -> Loader:
    """``load(file, threads=…)``: with every engine in turn."""
    if request.param == "openvino":
        request.getfixturevalue("openvino")

    def with_engine(file: Path, *, threads: int | None = None) -> Engine:
        return load_engine(file, engine=request.param, threads=threads)

    return with_engine
