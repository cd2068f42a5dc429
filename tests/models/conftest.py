"""Real ONNX files, small enough to build in a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from oneglance.models.metadata import KEY, Head, Metadata
from oneglance.models.tasks import FOUR_TASKS

ModelMaker = Callable[..., Path]


@pytest.fixture
def make_model(tmp_path: Path) -> ModelMaker:
    """A function that writes an ONNX model whose output is always the array given.

    ``make_model(output, head=…, size=(64, 32), metadata=True, name="fixed")`` → its path.
    """
    onnx = pytest.importorskip("onnx", reason="builds ONNX files")

    def make(
        output: np.ndarray,
        *,
        head: Head = Head.ONE_TO_ONE,
        size: tuple[int, int] = (64, 32),
        metadata: bool = True,
        name: str = "fixed",
    ) -> Path:
        helper, types = onnx.helper, onnx.TensorProto
        width, height = size
        constant = onnx.numpy_helper.from_array(output.astype(np.float32), "fixed")
        # The input takes part, so that the graph is a function of it: output + 0 × mean(input).
        nodes = [
            helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
            helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
            helper.make_node("Add", ["fixed", "nothing"], ["output0"]),
        ]
        zero = onnx.numpy_helper.from_array(np.float32(0).reshape(()), "zero")
        graph = helper.make_graph(
            nodes,
            "fixed",
            [helper.make_tensor_value_info("images", types.FLOAT, [1, 3, height, width])],
            [helper.make_tensor_value_info("output0", types.FLOAT, list(output.shape))],
            [constant, zero],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        if metadata:
            text = Metadata(name, FOUR_TASKS, size, head).to_json()
            model.metadata_props.add(key=KEY, value=text)
        path = tmp_path / f"{name}.onnx"
        onnx.save(model, path)
        return path

    return make
