"""The same network for several images at a time: its fixed batch of one made another."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import numpy_helper


def batched(model: Path, batch: int) -> bytes:
    """An ONNX file of ours for ``batch`` images: input B×3×H×W, output B×….

    Every ``Reshape`` in it has the batch as the first number of its target.
    """
    content = onnx.load(model)
    graph = content.graph
    targets = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    for constant in graph.initializer:
        if constant.name in targets:
            shape = numpy_helper.to_array(constant).copy()
            assert shape[0] == 1, constant.name
            shape[0] = batch
            constant.CopyFrom(numpy_helper.from_array(shape, constant.name))
    for tensor in (*graph.input, *graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_value = batch
    del graph.value_info[:]  # their shapes are those of one image
    written: bytes = content.SerializeToString()
    return written
