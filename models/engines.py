"""What runs the network: ONNX Runtime on the processor, told exactly how."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from oneglance.models.cpus import available_cpus
from oneglance.models.metadata import Head, Metadata, read_metadata
from oneglance.streams.errors import ModelError, UsageError

PROVIDER = "CPUExecutionProvider"

# An ONNX tensor kept outside its file names it in a field "location": protobuf tag, length, key.
_EXTERNAL_DATA = b"\x0a\x08location"


class OnnxEngine:
    """One ONNX Runtime session; ``run`` may be called from several threads at once.

    ``threads``: processors one inference may use. Spinning is off: idle threads sleep instead
    of burning the processors that decode and track.
    """

    def __init__(self, file: Path, *, threads: int | None = None) -> None:
        """Load ``file``.

        Raises:
            ModelError: not an ONNX model, not ours, with external data, or an output layout
                that its metadata does not describe.
            UsageError: ``threads`` is below 1.
        """
        if threads is not None and threads < 1:
            raise UsageError(f"threads must be at least 1, not {threads}")
        self.threads = threads or available_cpus()
        content = _read(file)
        self._session = _session(content, self.threads, str(file))
        self.metadata: Metadata = read_metadata(
            self._session.get_modelmeta().custom_metadata_map, str(file)
        )
        self._input = _check_layout(self._session, self.metadata, str(file))

    def run(self, tensor: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], float]:
        """The output for a 1×3×H×W input, and the seconds it took."""
        started = time.perf_counter()
        output = self._session.run(None, {self._input: tensor})[0]
        return output, time.perf_counter() - started


def _read(file: Path) -> bytes:
    try:
        content = file.read_bytes()
    except IsADirectoryError:
        raise ModelError(f"{file} is a folder, not a model file") from None
    except OSError as error:
        raise ModelError(f"cannot read model {file}: {error.strerror}") from None
    if _EXTERNAL_DATA in content:
        raise ModelError(
            f"{file} keeps weights in other files (ONNX external data), which is not accepted: "
            "export it as one file"
        )
    return content


def _session(content: bytes, threads: int, origin: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # what goes wrong is raised; ONNX Runtime need not print it too
    try:
        session = ort.InferenceSession(content, options, providers=[PROVIDER])
    except Exception as error:
        # ONNX Runtime's errors share no base class below Exception; its own kinds live here.
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        reason = str(error).splitlines()[0].split(" : ")[-1]
        raise ModelError(
            f"{origin} is not an ONNX model that ONNX Runtime can load: {reason}"
        ) from None
    return session


def _check_layout(session: ort.InferenceSession, metadata: Metadata, origin: str) -> str:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    width, height = metadata.size
    shape = list(outputs[0].shape) if outputs else []
    expected_last = 6 if metadata.head is Head.ONE_TO_ONE else None
    expected_middle = 4 + len(metadata.classes) if metadata.head is Head.ONE_TO_MANY else None
    fits = (
        len(inputs) == 1
        and list(inputs[0].shape) == [1, 3, height, width]
        and len(outputs) == 1
        and len(shape) == 3
        and expected_last in {None, shape[2]}
        and expected_middle in {None, shape[1]}
    )
    if not fits:
        raise ModelError(
            f"{origin}: tensors {[i.shape for i in inputs]} → {[o.shape for o in outputs]} are not "
            f"the {metadata.head} layout at {width}x{height} that its metadata names"
        )
    return str(inputs[0].name)
