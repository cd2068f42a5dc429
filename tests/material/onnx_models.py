"""Real ONNX models for tests, small enough to build in one and quick enough to run anywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from oneglance.models.light_colours import LightColours
from oneglance.models.metadata import KEY, Head, Metadata
from oneglance.models.tasks import FOUR_TASKS, ModelClass

Numbers = npt.NDArray[np.float32]


def build_model(
    path: Path,
    output: Numbers,
    *,
    gain: Numbers | float = 0.0,
    head: Head = Head.ONE_TO_ONE,
    size: tuple[int, int] = (64, 32),
    metadata: bool = True,
    classes: tuple[ModelClass, ...] = FOUR_TASKS,
    colours: LightColours | None = None,
) -> Path:
    """Write a model that gives ``output + gain × mean(input)``, the input being 0..1 RGB.

    With a ``gain`` it says something else of each grey level. Its name is the file's.
    """
    onnx = pytest.importorskip("onnx", reason="builds ONNX files")
    helper, numpy_helper, types = onnx.helper, onnx.numpy_helper, onnx.TensorProto
    width, height = size
    constants = {"fixed": output, "gain": np.broadcast_to(np.float32(gain), output.shape)}
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
            helper.make_node("Mul", ["mean", "gain"], ["change"]),
            helper.make_node("Add", ["fixed", "change"], ["output0"]),
        ],
        "fixed",
        [helper.make_tensor_value_info("images", types.FLOAT, [1, 3, height, width])],
        [helper.make_tensor_value_info("output0", types.FLOAT, list(output.shape))],
        [
            numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name)
            for name, value in constants.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if metadata:
        text = Metadata(path.stem, classes, size, head, colours=colours).to_json()
        model.metadata_props.add(key=KEY, value=text)
    onnx.save(model, path)
    return path


def seeing_model(path: Path) -> Path:
    """A model that sees a car, a pedestrian and a sign wherever it looks; the boxes of the first
    two widen with the brightness of the image, so that each image has an answer of its own."""
    rows = [(4, 4, 20, 16, 0.9, 1), (40, 8, 44, 20, 0.8, 0), (50, 2, 56, 8, 0.6, 2)]
    gain = np.zeros((1, 3, 6), np.float32)
    gain[0, :2, 2] = 8.0  # x2 of the car and the pedestrian
    return build_model(path, np.array([rows], np.float32), gain=gain)
