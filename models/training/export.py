"""A trained network into one self-describing ONNX file, proved equal to what was trained."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxslim
import torch
from ultralytics.nn.tasks import DetectionModel

from oneglance.models.engines.onnxruntime import import_onnxruntime
from oneglance.models.light_colours import LightColours
from oneglance.models.metadata import KEY, Head, Metadata
from oneglance.models.model_file import check_layout
from oneglance.models.tasks import ModelClass, class_of, task_of
from oneglance.models.training.checkpoints import read_checkpoint
from oneglance.models.training.fit.bases import check_size
from oneglance.models.training.fit.heads import last_layer, with_new_last_layer
from oneglance.models.training.reference import with_reference_frames
from oneglance.streams.errors import ModelError
from oneglance.streams.outputs import make_parent, refuse_inputs, write_file

OPSET = 17
"""Old enough for ONNX Runtime 1.13 and OpenVINO 2022, new enough for every operator used."""

MAX_BOX_DIFFERENCE_PX = 0.05
MAX_SCORE_DIFFERENCE = 1e-3

BLOCK = 32
"""Side in pixels of the colour blocks that parity is proved on."""


@dataclass(frozen=True, slots=True)
class Parity:
    """The largest difference between torch and ONNX Runtime on the same inputs."""

    boxes_px: float
    scores: float

    @property
    def holds(self) -> bool:
        """Whether both differences are within the bounds that an export must meet."""
        return self.boxes_px <= MAX_BOX_DIFFERENCE_PX and self.scores <= MAX_SCORE_DIFFERENCE


def export(  # noqa: PLR0913 - each is a fact of the file that is written
    weights: Path,
    out: Path,
    *,
    name: str,
    size: tuple[int, int],
    head: Head = Head.ONE_TO_MANY,
    training: Mapping[str, Any] | None = None,
    only: Sequence[ModelClass] | None = None,
    colours: LightColours | None = None,
    reference_images: Sequence[npt.NDArray[np.uint8]] = (),
) -> Parity:
    """Write ``weights`` (a checkpoint of ours) to ``out`` as ONNX with our metadata.

    ``size``: (width, height) of the input. ``training``: facts kept in the file. ``only``: the
    classes that the file has; all that the network was trained for by default. ``colours``: what
    predicts colours that the network does not. ``reference_images``: H×W×3 BGR uint8 of
    ``size``, kept in the file with what is found on them (``engines.self_check``). The file
    also carries ultralytics' own keys, so ``yolo predict model=…`` runs it.

    Returns the measured difference from torch.

    Raises:
        ModelError: the weights cannot be read, serve none of our tasks or lack a class of
            ``only``, there are ``colours`` but no class ``light`` to assign them to, or the
            difference is out of bounds (nothing is written then).
        SinkError: ``out`` cannot be written, or is the weights; what was there before stays.
    """
    refuse_inputs(out, [weights, weights.with_name("recipe.json")])
    model = read_checkpoint(weights)
    check_size(model, size)
    if only is None:
        classes = _classes(model, weights)
    else:
        classes = tuple(only)
        _rename(model, classes, weights)
        model = with_new_last_layer(model, classes)  # their own weights, bit for bit
    if colours is not None and (
        {cls.name for cls in classes} & {"light", *(c.name for c in colours.classes)} != {"light"}
    ):
        raise ModelError(f"{weights}: colours are assigned to a network's lights: 'light' alone")
    metadata = Metadata(name, classes, size, head, dict(training or {}), colours)
    model = _for_inference(model, head)
    graph = _trace(model, size)
    _describe(graph, metadata, model)
    content = graph.SerializeToString()
    parity = _parity(model, content, metadata, out)
    if not parity.holds:
        raise ModelError(
            f"{weights}: the exported network differs from torch by {parity.boxes_px:.3f} px and "
            f"{parity.scores:.5f} in score (allowed: {MAX_BOX_DIFFERENCE_PX} px, "
            f"{MAX_SCORE_DIFFERENCE}): not written"
        )
    if reference_images:
        content = with_reference_frames(content, reference_images)
    make_parent(out)
    write_file(out, content)
    return parity


def _classes(model: DetectionModel, weights: Path) -> tuple[ModelClass, ...]:
    classes = []
    for class_name in model.names.values():
        task = task_of(class_name)
        if task is None:
            raise ModelError(
                f"{weights}: class '{class_name}' serves none of our tasks; --classes says which "
                "of its classes the file is to have"
            )
        classes.append(ModelClass(class_name, task))
    return tuple(classes)


def _rename(model: DetectionModel, only: Sequence[ModelClass], weights: Path) -> None:
    """Give the classes of ``model`` that mean one of ``only`` its name; the rest is dropped later.

    A name as it is goes before one that means the same: ``car`` before ``van``.
    """
    names = dict(model.names)
    for cls in only:
        exact = [number for number, name in names.items() if name == cls.name]
        alike = exact or [number for number, name in names.items() if class_of(name) == cls]
        if len(alike) != 1:
            found = ", ".join(names[number] for number in alike)
            raise ModelError(
                f"{weights} has several classes that are {cls.name} ({found}): which one is meant "
                "cannot be known"
                if alike
                else f"{weights} does not know {cls.name}, only {', '.join(names.values())}"
            )
        model.names[alike[0]] = cls.name
    for number, name in names.items():  # no other class may be taken for a relative
        if model.names[number] == name and name not in {cls.name for cls in only}:
            model.names[number] = f"dropped {number}"


def _for_inference(model: DetectionModel, head: Head) -> DetectionModel:
    layer = last_layer(model)
    if head is Head.ONE_TO_ONE and getattr(layer, "one2one_cv2", None) is None:
        raise ModelError("this network has no one-to-one head: export the one-to-many head")
    layer.end2end = head is Head.ONE_TO_ONE
    model = model.eval().fuse(verbose=False)
    layer = last_layer(model)
    layer.export, layer.format, layer.dynamic = True, "onnx", False
    for parameter in model.parameters():
        parameter.requires_grad = False
    return model


def _trace(model: DetectionModel, size: tuple[int, int]) -> onnx.ModelProto:
    width, height = size
    traced = io.BytesIO()  # not a file: a full temporary folder is an error of torch's own there
    torch.onnx.export(
        model,
        (torch.zeros(1, 3, height, width),),
        traced,  # type: ignore[arg-type]  # the old exporter takes a file object, too
        opset_version=OPSET,
        input_names=["images"],
        output_names=["output0"],
        dynamo=False,
    )
    import_onnxruntime()  # onnxslim would import it as it comes: with its reports to Microsoft
    graph: onnx.ModelProto | None = onnxslim.slim(onnx.load_from_string(traced.getvalue()))
    if graph is None:
        raise ModelError("onnxslim could not simplify the exported graph")
    return graph


def _describe(graph: onnx.ModelProto, metadata: Metadata, model: DetectionModel) -> None:
    width, height = metadata.size
    properties = {
        KEY: metadata.to_json(),
        # What ultralytics' AutoBackend reads, so that its tools run the same file.
        "description": f"oneglance {metadata.name}",
        "author": "oneglance",
        "license": "AGPL-3.0-or-later",
        "stride": str(int(max(model.stride))),
        "task": "detect",
        "batch": "1",
        "imgsz": str([height, width]),
        "names": str({i: c.name for i, c in enumerate(metadata.classes)}),
        "end2end": str(metadata.head is Head.ONE_TO_ONE),
    }
    del graph.metadata_props[:]
    for key, value in properties.items():
        graph.metadata_props.add(key=key, value=value)
    graph.producer_name = "oneglance"
    onnx.checker.check_model(graph)


def _parity(
    model: DetectionModel, content: bytes, metadata: Metadata, out: Path, *, inputs: int = 4
) -> Parity:
    width, height = metadata.size
    session = import_onnxruntime().InferenceSession(content, providers=["CPUExecutionProvider"])
    tensors = (
        [tensor.shape for tensor in side()] for side in (session.get_inputs, session.get_outputs)
    )
    check_layout(*tensors, metadata=metadata, origin=str(out))  # as whoever loads the file will
    random = np.random.default_rng(0)
    boxes_px = scores = 0.0
    for _ in range(inputs):
        # Blocks of colour, not white noise: edges and areas that make the network answer.
        small = random.random((1, 3, -(-height // BLOCK), -(-width // BLOCK)), np.float32)
        tensor = small.repeat(BLOCK, axis=2).repeat(BLOCK, axis=3)[:, :, :height, :width].copy()
        with torch.no_grad():
            expected = model(torch.from_numpy(tensor)).numpy()[0]
        found = session.run(None, {"images": tensor})[0][0]
        if metadata.head is Head.ONE_TO_ONE:
            expected, found = _paired(expected, found)
        boxes_px = max(boxes_px, _difference(expected[:4], found[:4]))
        scores = max(scores, _difference(expected[4:], found[4:]))
    return Parity(boxes_px, scores)


def _difference(expected: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> float:
    """The largest difference; infinite where either is not finite, for NaN passes any bound."""
    if not (np.isfinite(expected).all() and np.isfinite(found).all()):
        return math.inf
    return float(np.abs(expected - found).max(initial=0))


def _paired(
    expected: npt.NDArray[np.float32], found: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Columns of the same boxes in two lists of the best K: near-equal scores may change places.

    Boxes whose score is within the bound of the last one's may have fallen off either list.
    """
    sure = expected[expected[:, 4] > expected[-1, 4] + MAX_SCORE_DIFFERENCE]
    nearest = np.abs(sure[:, None] - found[None]).sum(axis=2).argmin(axis=1)
    return sure.T, found[nearest].T
