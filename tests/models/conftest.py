"""Real ONNX files, made where they are used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from onnx_models import build_model

ModelMaker = Callable[..., Path]


@pytest.fixture
def make_model(tmp_path: Path) -> ModelMaker:
    """A function that writes an ONNX model whose output is always the array given.

    ``make_model(output, head=…, size=(64, 32), metadata=True, name="fixed")`` → its path.
    """

    def make(output: np.ndarray, *, name: str = "fixed", **how: object) -> Path:
        return build_model(tmp_path / f"{name}.onnx", output, **how)  # type: ignore[arg-type]

    return make
