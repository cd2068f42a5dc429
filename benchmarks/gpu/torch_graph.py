"""An ONNX file of ours, computed by torch node by node: for machines whose ONNX Runtime has no GPU.

It is the same graph with the same weights, but not what oneglance runs: a figure of it says what
the GPU can do with the network, not what a user of oneglance gets. Every page says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch.nn import functional

from oneglance.models.metadata import Metadata, read_metadata

Values = dict[str, Any]

Operator = Callable[[list[Any], Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Step:
    """A node: what computes it, the names of what it takes and gives, and its attributes."""

    operator: Operator
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


class TorchGraph:
    """An ``Engine`` of an ONNX file's ``content``; ``precision``: ``fp32``, or ``fp16`` where torch
    computes convolutions and products in half precision (autocast).

    ``captured``: the kernels of one call are recorded as a CUDA graph and only replayed then, for
    node by node Python takes longer than the card. Calls from one thread alone, all of one shape.
    """

    name = "torch, node by node"
    threads = 1

    def __init__(
        self, content: bytes, *, device: str, precision: str, origin: str, captured: bool = False
    ) -> None:
        model = onnx.load_from_string(content)
        properties = {entry.key: entry.value for entry in model.metadata_props}
        self.metadata: Metadata = read_metadata(properties, origin)
        self.precision, self.device = precision, device
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = True
        self._constants: dict[str, Any] = {
            each.name: numpy_helper.to_array(each) for each in model.graph.initializer
        }
        unknown = {node.op_type for node in model.graph.node} - OPERATORS.keys()
        if unknown:
            raise NotImplementedError(f"{origin}: torch does not know {', '.join(sorted(unknown))}")
        # Parsed once: attributes of a hundred nodes at each call would be most of what is timed.
        self._steps = [
            Step(
                OPERATORS[node.op_type],
                tuple(node.input),
                tuple(node.output),
                {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute},
            )
            for node in model.graph.node
        ]
        # Autocast would round these anew at each call.
        halved = {
            name
            for node in model.graph.node
            if node.op_type == "Conv" and precision == "fp16"
            for name in node.input[1:]
        }
        self._tensors = {
            name: torch.from_numpy(value.copy()).to(
                device, torch.float16 if name in halved else torch.float32
            )
            for name, value in self._constants.items()
            if value.dtype == np.float32
        }
        self._captured = captured
        self._graph: Any = None
        self._given: Any = None
        self._answer: Any = None
        self._input, self._output = model.graph.input[0].name, model.graph.output[0].name

    def run(self, tensor: Any) -> tuple[Any, float]:
        """See ``engines.Engine``; copies to the device and back are in the seconds."""
        import time

        started = time.perf_counter()
        with (
            torch.inference_mode(),
            torch.autocast(
                self.device,
                torch.float16,
                enabled=self.precision == "fp16",
                cache_enabled=not self._captured,
            ),
        ):
            image = torch.from_numpy(tensor)
            found = self._replayed(image) if self._captured else self._compute(self._there(image))
            output = found.float().cpu().numpy()
        return output, time.perf_counter() - started

    def _there(self, image: Any) -> Any:
        return image.to(self.device)

    def _replayed(self, image: Any) -> Any:
        """See PyTorch's notes on CUDA graphs: warm up on another stream, record, then replay what
        reads and writes the same memory each time."""
        if self._graph is None:
            self._given = self._there(image)
            aside = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(3):
                    self._compute(self._given)
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._answer = self._compute(self._given)
            self._graph = graph
        self._given.copy_(image)
        self._graph.replay()
        return self._answer

    def _compute(self, image: Any) -> Any:
        values: Values = {**self._tensors, self._input: image}
        for step in self._steps:
            given = [values[n] if n in values else self._constants.get(n) for n in step.inputs]
            found = step.operator(given, step.attributes)
            outputs = found if isinstance(found, (tuple, list)) else (found,)
            values.update(zip(step.outputs, outputs, strict=True))
        return values[self._output]


def load(file: Path, *, device: str, precision: str, captured: bool = False) -> TorchGraph:
    """A model file for one image."""
    how = {"device": device, "precision": precision}
    return TorchGraph(file.read_bytes(), origin=str(file), captured=captured, **how)


def _padded(image: Any, pads: list[int], value: float) -> Any:
    top, left, bottom, right = pads
    return functional.pad(image, (left, right, top, bottom), value=value) if any(pads) else image


def _conv(given: list[Any], how: Mapping[str, Any]) -> Any:
    image, weights, *bias = given
    pads = list(how.get("pads", [0, 0, 0, 0]))
    same = pads[:2] == pads[2:]
    return functional.conv2d(
        image if same else _padded(image, pads, 0.0),
        weights,
        bias[0] if bias else None,
        stride=list(how.get("strides", [1, 1])),
        padding=pads[:2] if same else 0,
        dilation=list(how.get("dilations", [1, 1])),
        groups=how.get("group", 1),
    )


def _max_pool(given: list[Any], how: Mapping[str, Any]) -> Any:
    image = _padded(given[0], list(how.get("pads", [0, 0, 0, 0])), float("-inf"))
    return functional.max_pool2d(image, list(how["kernel_shape"]), list(how["strides"]))


def _resize(given: list[Any], how: Mapping[str, Any]) -> Any:
    if how.get("mode", b"nearest") != b"nearest":
        raise NotImplementedError("only the nearest pixel is resized to")
    return functional.interpolate(given[0], scale_factor=given[2].tolist()[2:], mode="nearest")


def _slice(given: list[Any], how: Mapping[str, Any]) -> Any:
    del how
    image, starts, ends, axes, *steps = given
    cut = [slice(None)] * image.ndim
    for number, axis in enumerate(axes.tolist()):
        step = steps[0].tolist()[number] if steps else 1
        cut[axis] = slice(starts.tolist()[number], ends.tolist()[number], step)
    return image[tuple(cut)]


OPERATORS: Mapping[str, Operator] = {
    "Add": lambda given, _: given[0] + given[1],
    "Concat": lambda given, how: torch.cat(given, how["axis"]),
    "Conv": _conv,
    "Div": lambda given, _: given[0] / given[1],
    "MatMul": lambda given, _: given[0] @ given[1],
    "MaxPool": _max_pool,
    "Mul": lambda given, _: given[0] * given[1],
    "Reshape": lambda given, _: given[0].reshape(given[1].tolist()),
    "Resize": _resize,
    "Sigmoid": lambda given, _: torch.sigmoid(given[0]),
    "Slice": _slice,
    "Softmax": lambda given, how: torch.softmax(given[0], how.get("axis", -1)),
    "Split": lambda given, how: torch.split(given[0], given[1].tolist(), how.get("axis", 0)),
    "Sub": lambda given, _: given[0] - given[1],
    "Transpose": lambda given, how: given[0].permute(*how["perm"]),
}
"""Those that our exports use."""
