"""One ONNX file in either engine, under settings that the measurement chooses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oneglance.models.decode import ClassTable, Decoded, decode
from oneglance.models.detector import DEFAULT_CONFIDENCE
from oneglance.models.engines.loading import DEFAULT_ENGINE, DEFAULT_PRECISION
from oneglance.models.engines.onnxruntime import import_onnxruntime, limit_spinning
from oneglance.models.engines.openvino import DEVICE, HINTS, import_openvino, metadata_of
from oneglance.models.metadata import Metadata, read_metadata
from oneglance.models.tasks import Task

Tensor = npt.NDArray[np.float32]
Run = Callable[[Tensor], Any]


@dataclass(frozen=True, slots=True)
class Settings:
    """``threads=None`` and ``spinning=True`` are the engine's own defaults; without, it spins as
    ``limit_spinning`` has it. OpenVINO's threads never do for long, and it has no such switch."""

    threads: int | None
    spinning: bool
    engine: str = DEFAULT_ENGINE
    precision: str = DEFAULT_PRECISION


class Network:
    """A loaded file with what decodes its output: the project's own, in every arm."""

    def __init__(self, model: Path, settings: Settings) -> None:
        load = _in_openvino if settings.engine == "openvino" else _in_onnxruntime
        self._run: Run
        self.metadata: Metadata
        self._run, self.metadata = load(model, settings)
        self._table = ClassTable(self.metadata.classes, set(Task))

    def infer(self, tensor: Tensor) -> Tensor:
        """The raw output for a 1×3×H×W input."""
        return np.asarray(self._run(tensor), np.float32)

    def boxes(self, output: Tensor) -> Decoded:
        """Boxes in pixels of the input, at the confidence that ``oneglance run`` uses."""
        return decode(output, self.metadata.head, confidence=DEFAULT_CONFIDENCE, table=self._table)


def load_library(engine: str) -> None:
    """Import an engine, so that what comes after is the models' own memory.

    Raises:
        UsageError: it is not installed.
    """
    if engine == "openvino":
        import_openvino()
    else:
        import_onnxruntime()


def input_size(model: Path, engine: str = DEFAULT_ENGINE) -> tuple[int, int]:
    """(width, height) of a model's input, without keeping it loaded."""
    return Network(model, Settings(threads=1, spinning=False, engine=engine)).metadata.size


def _in_onnxruntime(model: Path, settings: Settings) -> tuple[Run, Metadata]:
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if settings.threads is not None:
        options.intra_op_num_threads = settings.threads
        options.inter_op_num_threads = 1
    if not settings.spinning:
        limit_spinning(ort, options)
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    metadata = read_metadata(session.get_modelmeta().custom_metadata_map, str(model))
    return lambda tensor: session.run(None, {name: tensor})[0], metadata


def _in_openvino(model: Path, settings: Settings) -> tuple[Run, Metadata]:
    core = import_openvino().Core()
    how: dict[str, Any] = {"INFERENCE_PRECISION_HINT": HINTS[settings.precision]}
    if settings.threads is not None:
        how |= {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": settings.threads}
        how |= {"ENABLE_CPU_PINNING": False}
    graph = core.read_model(model)
    request = core.compile_model(graph, DEVICE, how).create_infer_request()
    metadata = metadata_of(graph, str(model))
    return lambda tensor: request.infer({0: tensor}, share_inputs=True)[0], metadata
