"""One graph from a frame's pixels to boxes in them: letterbox, network and decoding in ONNX.

What runs it needs no code of ours and no image library, only ONNX Runtime. The frame's size is
fixed when the graph is made.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from oneglance.models.decode import ClassTable, decode
from oneglance.models.detector import DEFAULT_CONFIDENCE
from oneglance.models.engines.onnxruntime import OnnxRuntimeEngine, import_onnxruntime
from oneglance.models.engines.self_check import BOUNDS, largest_difference
from oneglance.models.letterbox import Canvas, Letterbox
from oneglance.models.metadata import END_TO_END, KEY, Metadata
from oneglance.models.model_file import read_model_file
from oneglance.models.tasks import Task
from oneglance.models.training.end_to_end_graph import Graph, add_decoding, add_letterbox
from oneglance.streams.errors import ModelError, UsageError
from oneglance.streams.outputs import make_parent, refuse_inputs, write_file

BOUND = BOUNDS["fp32"]
"""How far boxes may be from those that ``models.decode`` finds, from the same input."""

MAX_LEVELS = 2
"""How far the network's input may be from ``Canvas``'s, in levels of 255: OpenCV resizes in fixed
point and rounds differently by one here and there."""

SMALLEST, LARGEST = 16, 16384
"""Sides in pixels that a frame may have."""


@dataclass(frozen=True, slots=True)
class Parity:
    """The largest differences from what ``Detector`` does: of the network's input in ``levels`` of
    255, and of boxes from the same input in ``boxes_px`` of it and ``scores`` of 0..1."""

    levels: float
    boxes_px: float
    scores: float

    @property
    def holds(self) -> bool:
        """Whether all are within bounds."""
        return (
            self.levels <= MAX_LEVELS
            and self.boxes_px <= BOUND.side_px
            and self.scores <= BOUND.score
        )


_ULTRALYTICS_KEYS = ("stride", "task", "batch", "imgsz", "end2end")
"""What makes ultralytics take a file for a network that it can run."""


def end_to_end(
    file: Path,
    out: Path,
    *,
    size: tuple[int, int],
    confidence: float = DEFAULT_CONFIDENCE,
    images: Sequence[npt.NDArray[np.uint8]] = (),
) -> Parity:
    """Write the ONNX model ``file`` to ``out`` as one graph for frames of ``size``.

    ``size``: (width, height) in pixels. ``confidence``: boxes below it are left out. ``images``:
    H×W×3 BGR uint8 of that size; on them the graph is held to what ``Detector`` does.

    Input ``image``: H×W×3 uint8 BGR. Outputs, best first: ``boxes`` M×4 float32, x1 y1 x2 y2 in
    pixels of the frame; ``scores`` M float32 in 0..1; ``classes`` M int64, places in the
    metadata's ``classes``. Colours of lights that a model predicts from their pixels are not in it:
    such a light is a plain ``light``. The metadata stays, with ``end_to_end`` in it.

    Returns the largest differences.

    Raises:
        ModelError: ``file`` is not one of our models, or the graph differs by more than
            it may (nothing is written then).
        UsageError: the size or the confidence makes no sense.
        SinkError: ``out`` cannot be written, or is ``file``; what was there before stays.
    """
    refuse_inputs(out, [file])
    if not all(SMALLEST <= side <= LARGEST for side in size):
        raise UsageError(
            f"a frame of {size[0]}x{size[1]} makes no sense: --end-to-end takes sides of "
            f"{SMALLEST} to {LARGEST} pixels"
        )
    if not 0 <= confidence <= 1:
        raise UsageError(f"confidence must be between 0 and 1, not {confidence}")
    engine = OnnxRuntimeEngine(file)
    metadata = engine.metadata
    model = onnx.load_from_string(read_model_file(file))
    tensor, output = model.graph.input[0].name, model.graph.output[0].name
    graph = Graph(model.graph)
    geometry = Letterbox.fit(size, metadata.size)
    add_letterbox(graph, geometry, to=tensor)
    graph.network()
    add_decoding(graph, output, metadata=metadata, geometry=geometry, confidence=confidence)
    _describe(model, metadata, size, confidence)
    parity = _parity(model, engine, tensor=tensor, images=images, confidence=confidence)
    if not parity.holds:
        raise ModelError(
            f"{file}: the end-to-end graph differs from the detector by {parity.levels:.1f} levels "
            f"of the input, {parity.boxes_px:.2f} px and {parity.scores:.3f} in score (allowed: "
            f"{MAX_LEVELS}, {BOUND.side_px:g} px, {BOUND.score:g}): not written"
        )
    make_parent(out)
    write_file(out, bytes(model.SerializeToString()))
    return parity


def _describe(
    model: onnx.ModelProto, metadata: Metadata, size: tuple[int, int], confidence: float
) -> None:
    """Inputs, outputs and metadata of the finished graph."""
    width, height = size
    del model.graph.input[:], model.graph.output[:], model.graph.value_info[:]
    info = helper.make_tensor_value_info
    model.graph.input.append(info("image", TensorProto.UINT8, [height, width, 3]))
    model.graph.output.extend(
        [
            info("boxes", TensorProto.FLOAT, ["detections", 4]),
            info("scores", TensorProto.FLOAT, ["detections"]),
            info("classes", TensorProto.INT64, ["detections"]),
        ]
    )
    facts = {
        "width": width,
        "height": height,
        "colour_order": "BGR",
        "confidence": confidence,
    }
    content = json.loads(metadata.to_json()) | {END_TO_END: facts}
    kept = {entry.key: entry.value for entry in model.metadata_props}
    del model.metadata_props[:]
    for key, value in (kept | {KEY: json.dumps(content)}).items():
        if key not in _ULTRALYTICS_KEYS:
            model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model)


def _parity(
    model: onnx.ModelProto,
    engine: OnnxRuntimeEngine,
    *,
    tensor: str,
    images: Sequence[npt.NDArray[np.uint8]],
    confidence: float,
) -> Parity:
    """The finished graph against ``Canvas``, and against ``decode`` from the same ``tensor``.

    Two steps, for one level of a pixel may change a box by more than any bound, where two boxes of
    an object score alike.
    """
    metadata = engine.metadata
    spied = onnx.ModelProto()
    spied.CopyFrom(model)
    spied.graph.output.append(helper.make_empty_tensor_value_info(tensor))
    session = import_onnxruntime().InferenceSession(
        spied.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    canvas, table = Canvas(metadata.size), ClassTable(metadata.classes, set(Task))
    levels = boxes_px = scores = 0.0
    for image in images:
        boxes, score, class_id, seen = session.run(None, {"image": image})
        expected_seen, geometry = canvas.fill(image)
        levels = max(levels, 255 * float(np.abs(seen - expected_seen).max()))
        output, _ = engine.run(seen)
        expected = decode(output, metadata.head, confidence=confidence, table=table)
        inside = geometry.to_input(geometry.to_source(expected.xyxy))
        found = largest_difference(
            _as_rows(inside, expected.confidence, expected.class_id),
            _as_rows(geometry.to_input(boxes), score, class_id),
            task=table.task,
        )
        scores, boxes_px = max(scores, found[0]), max(boxes_px, found[1])
    return Parity(levels, boxes_px, scores)


def _as_rows(
    xyxy: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], class_id: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    return np.column_stack((xyxy, scores, class_id)).astype(np.float32)
