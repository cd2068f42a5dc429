"""One ONNX file under settings that the measurement chooses: defaults or tuned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from oneglance.models.decode import ClassTable, Decoded, decode
from oneglance.models.detector import DEFAULT_CONFIDENCE
from oneglance.models.metadata import Metadata, read_metadata
from oneglance.models.tasks import Task

Tensor = npt.NDArray[np.float32]


def open_session(model: Path, *, threads: int | None, spinning: bool) -> ort.InferenceSession:
    """A session; ``threads=None`` and ``spinning=True`` are ONNX Runtime's own defaults."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
    if not spinning:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


class Network:
    """A session with what decodes its output: the project's own, in every arm."""

    def __init__(self, model: Path, *, threads: int | None, spinning: bool) -> None:
        self._session = open_session(model, threads=threads, spinning=spinning)
        properties = self._session.get_modelmeta().custom_metadata_map
        self.metadata: Metadata = read_metadata(properties, str(model))
        self._input: str = self._session.get_inputs()[0].name
        self._table = ClassTable(self.metadata.classes, set(Task))

    def infer(self, tensor: Tensor) -> Tensor:
        """The raw output for a 1×3×H×W input."""
        output: Any = self._session.run(None, {self._input: tensor})[0]
        return np.asarray(output, np.float32)

    def boxes(self, output: Tensor) -> Decoded:
        """Boxes in pixels of the input, at the confidence that ``oneglance run`` uses."""
        return decode(output, self.metadata.head, confidence=DEFAULT_CONFIDENCE, table=self._table)


def input_size(model: Path) -> tuple[int, int]:
    """(width, height) of a model's input, without keeping it loaded."""
    session = open_session(model, threads=1, spinning=False)
    return read_metadata(session.get_modelmeta().custom_metadata_map, str(model)).size
