"""Reference frames put into a model file, so that engines can be held to it (``self_check``)."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from oneglance.models.engines.onnxruntime import OnnxRuntimeEngine
from oneglance.models.engines.self_check import record
from oneglance.models.metadata import KEY
from oneglance.streams.outputs import write_file


def with_reference_frames(content: bytes, images: Sequence[npt.NDArray[np.uint8]]) -> bytes:
    """The ONNX file ``content`` with ``images`` in its metadata and what ONNX Runtime finds on
    them in fp32; those it had are replaced. ``images``: H×W×3 BGR uint8 of its input size.

    Raises:
        ModelError: it is not one of ours. SinkError: no room for it. ValueError: too many images,
            or one of another size.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        write_file(file, content)
        engine = OnnxRuntimeEngine(file)
        frames = record(engine, images)
    metadata = dataclasses.replace(engine.metadata, reference_frames=frames)
    model = onnx.load_from_string(content)
    (entry,) = (each for each in model.metadata_props if each.key == KEY)
    entry.value = metadata.to_json()
    return bytes(model.SerializeToString())
