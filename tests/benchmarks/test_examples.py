"""The examples in the scripts' docstrings are true."""

from __future__ import annotations

import doctest
from types import ModuleType

import pytest

from benchmarks.arms import measuring
from benchmarks.report import intervals

pytest.importorskip("onnx", reason="curves cuts ONNX graphs")

from benchmarks.parts import curves


@pytest.mark.parametrize("module", [curves, intervals, measuring], ids=lambda m: m.__name__)
def test_examples_hold(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0
