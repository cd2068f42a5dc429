"""ONNX Runtime on the CPU, with every setting said.

It is imported when an engine is made: who runs another engine does not pay for its memory.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oneglance.models.cpus import thread_count
from oneglance.models.engines.forking import check_unchanged, gate, stamp
from oneglance.models.metadata import Metadata, read_metadata
from oneglance.models.model_file import check_layout, read_model_file
from oneglance.models.packed_ir import is_packed
from oneglance.streams.errors import ModelError, UsageError

PROVIDER = "CPUExecutionProvider"

_NO_STATISTICS = "ORT_DISABLE_TELEMETRY"


class OnnxRuntimeEngine:
    """One ONNX Runtime session in fp32.

    Spinning is off: idle threads sleep instead of burning the CPUs that decode and track.
    """

    name = "onnxruntime"
    precisions = ("fp32",)

    def __init__(self, file: Path, *, precision: str = "fp32", threads: int | None = None) -> None:
        """Load ``file``; see ``engines.load_engine``."""
        self.precision = precision
        self.threads = thread_count(threads)
        self._file, self._asked = file.absolute(), threads
        with gate.working():
            self._session = _session(self._file, self.threads, str(file))
        self._stamp = stamp(self._file)
        self._lock, self._process = threading.Lock(), os.getpid()
        self.metadata: Metadata = read_metadata(
            self._session.get_modelmeta().custom_metadata_map, str(file)
        )
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        check_layout(
            [tensor.shape for tensor in inputs],
            [tensor.shape for tensor in outputs],
            metadata=self.metadata,
            origin=str(file),
        )
        self._input = str(inputs[0].name)

    def run(self, tensor: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], float]:
        """See ``engines.Engine``."""
        with gate.working():
            if self._process != os.getpid():
                self._follow_fork()
            started = time.perf_counter()
            output = self._session.run(None, {self._input: tensor})[0]
            return output, time.perf_counter() - started

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled or copied, it is loaded anew: a session lives in one process alone."""
        return OnnxRuntimeEngine._again, (self._file, self._asked)

    @classmethod
    def _again(cls, file: Path, threads: int | None) -> OnnxRuntimeEngine:
        return cls(file, threads=threads)

    def _follow_fork(self) -> None:
        """A session's own threads stay behind when a process forks; without any it still works."""
        with self._lock:
            if self._process != os.getpid():
                if self.threads > 1:
                    check_unchanged(self._file, self._stamp)
                    self._left_behind = self._session  # to free it waits for its threads, for ever
                    self._session = _session(self._file, self.threads, str(self._file))
                self._process = os.getpid()


def import_onnxruntime() -> Any:
    """The package ``onnxruntime``, without the events that it would send to Microsoft.

    Since 1.32 it reports each process and keeps an identity of the device in the user's home,
    unless an environment variable says otherwise while it is imported. A program that imported
    it before us, or set the variable, has decided for itself.
    """
    silenced = "onnxruntime" not in sys.modules and _NO_STATISTICS not in os.environ
    if silenced:
        os.environ[_NO_STATISTICS] = "1"
    try:
        import onnxruntime
    finally:
        if silenced:
            os.environ.pop(_NO_STATISTICS, None)
    return onnxruntime


def _is_utf8(name: str) -> bool:
    """Whether ONNX Runtime takes it; a file's name on Linux may be any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _session(file: Path, threads: int, origin: str) -> Any:
    content = read_model_file(Path(origin))
    if is_packed(content):
        raise UsageError(
            f"{origin} is quantised for OpenVINO: choose engine openvino and precision int8"
        )
    # By name: a session made from bytes keeps them for as long as it lives.
    source = str(file) if _is_utf8(str(file)) else content
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A pattern is one more block of memory for each inference at a time (20 MB and more for
    # road4-n), and no faster here: 38.8 ms of CPU time with it, 38.7 without.
    options.enable_mem_pattern = False
    options.log_severity_level = 4  # what goes wrong is raised; ONNX Runtime need not print it too
    try:
        # A fallback to the same provider brings nothing, and is reported on standard output.
        session = ort.InferenceSession(source, options, providers=[PROVIDER], enable_fallback=False)
    except Exception as error:
        # ONNX Runtime's errors share no base class below Exception; its own kinds live here.
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        reason = str(error).splitlines()[0].split(" : ")[-1]
        raise ModelError(
            f"{origin} is not an ONNX model that ONNX Runtime can load: {reason}"
        ) from None
    return session
