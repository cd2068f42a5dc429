"""ONNX Runtime on the CPU or another device, with every setting said.

It is imported when an engine is made: who runs another engine does not pay for its memory.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from oneglance.models.cpus import available_cpus, thread_count
from oneglance.models.engines import providers
from oneglance.models.engines.engine_cache import cache_key, cached, check_kept, default_folder
from oneglance.models.engines.forking import check_unchanged, gate, loaded_anew, stamp
from oneglance.models.metadata import Metadata, read_metadata
from oneglance.models.model_file import check_layout, read_model_file
from oneglance.models.packed_ir import is_packed
from oneglance.streams.errors import ModelError, UsageError

_NO_STATISTICS = "ORT_DISABLE_TELEMETRY"

_LONGEST_REASON = 300

SPIN_US = 50
"""How long a thread inside an inference looks for its next work before it sleeps. road4-n on two
threads of an idle AMD EPYC, 25 inferences a second: 12.3 ms (p90 13.4), with 20 µs 12.9 (23.3),
without any 20.5 (22.8), with ONNX Runtime's own 11.2, which takes twice the CPU time; while
another process keeps one of the two CPUs busy, about a tenth more than without any."""


class OnnxRuntimeEngine:
    """One ONNX Runtime session, in fp32 or in what else its device computes in.

    Idle threads sleep instead of burning the CPUs that decode and track: ``limit_spinning``.
    """

    name = "onnxruntime"
    precisions = ("fp32",)
    devices: ClassVar[Mapping[str, tuple[str, ...]]] = {
        name: each.precisions for name, each in providers.PROVIDERS.items()
    }

    def __init__(
        self,
        file: Path,
        *,
        precision: str = "fp32",
        threads: int | None = None,
        device: str = providers.CPU,
        cache: Path | None = None,
    ) -> None:
        """Load ``file``; see ``engines.load_engine``."""
        self.precision, self.device = precision, device
        self.threads = thread_count(threads)
        self._file, self._asked, self._cache = file.absolute(), threads, cache
        with gate.working():
            self._session = self._open(str(file))
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
        self._room = self._room_for_runs()

    def _room_for_runs(self) -> AbstractContextManager[object]:
        """Lets as many inferences begin as there are CPUs for: one more is no faster, and holds
        what it computes meanwhile (30 MB for road4-n)."""
        if self.device != providers.CPU:
            return nullcontext()
        return threading.BoundedSemaphore(max(1, available_cpus() // self.threads))

    def run(self, tensor: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], float]:
        """See ``engines.Engine``."""
        with gate.working():
            if self._process != os.getpid():
                self._follow_fork()
            with self._room:
                started = time.perf_counter()
                output = self._session.run(None, {self._input: tensor})[0]
                return output, time.perf_counter() - started

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled or copied, it is loaded anew: a session lives in one process alone."""
        how = {"precision": self.precision, "threads": self._asked, "device": self.device}
        return OnnxRuntimeEngine._again, (self._file, how | {"cache": self._cache})

    @classmethod
    def _again(cls, file: Path, how: dict[str, Any]) -> OnnxRuntimeEngine:
        return cls(file, **how)

    def _open(self, origin: str) -> Any:
        """A session; of TensorRT's engine as it was kept, where there is one."""
        content = read_model_file(Path(origin))
        if is_packed(content):
            raise UsageError(
                f"{origin} is quantised for OpenVINO: choose engine openvino and precision int8"
            )
        if self.device != "tensorrt":
            return self._session_of(content, origin, None)
        ort = import_onnxruntime()
        root = self._cache or default_folder()
        key = cache_key(content, self.precision, f"onnxruntime-{ort.__version__}")
        check_kept(root / key)
        providers.check_provider(ort, self.device)
        with cached(root, key) as folder:
            return self._session_of(content, origin, folder)

    def _session_of(self, content: bytes, origin: str, cache: Path | None) -> Any:
        # By name: a session made from bytes keeps them for as long as it lives.
        source = str(self._file) if _is_utf8(str(self._file)) else content
        ort = import_onnxruntime()
        providers.check_provider(ort, self.device)
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        limit_spinning(ort, options)
        # A pattern is one more block of memory for each inference at a time (20 MB and more for
        # road4-n), and no faster here: 38.8 ms of CPU time with it, 38.7 without.
        options.enable_mem_pattern = False
        options.log_severity_level = 4  # what goes wrong is raised; it need not be printed too
        precision = self.precision
        asked = providers.configure(ort, options, self.device, precision=precision, cache=cache)
        try:
            with providers.only_on(ort, self.device):
                # A fallback to the same provider brings nothing, and is printed.
                session = ort.InferenceSession(
                    source, options, providers=asked, enable_fallback=False
                )
                providers.check_session(ort, session, self.device)
        except Exception as error:
            # ONNX Runtime's errors share no base class below Exception; its own kinds live here.
            if not type(error).__module__.startswith("onnxruntime"):
                raise
            raise ModelError(
                f"{origin} is not an ONNX model that ONNX Runtime can load: {_reason(error)}"
            ) from None
        return session

    def _follow_fork(self) -> None:
        """A session's own threads stay behind when a process forks; without any it still works."""
        with self._lock:
            if self._process != os.getpid():
                if self.threads > 1 or self.device != providers.CPU:
                    check_unchanged(self._file, self._stamp)
                    self._left_behind = self._session  # to free it waits for its threads, for ever
                    self._session = loaded_anew(lambda: self._open(str(self._file)), self._file)
                self._room = self._room_for_runs()  # who was in it stayed behind
                self._process = os.getpid()


def limit_spinning(ort: Any, options: Any) -> None:
    """Let threads that wait for work inside an inference spin for ``SPIN_US`` only, and never
    between two.

    Without any, each of some hundred steps of a network wakes the others anew, and two threads are
    hardly quicker than one; with ONNX Runtime's own limit, an inference beside other work takes
    half as long again. Before 1.26 it knows all or nothing.
    """
    can_limit = tuple(int(part) for part in ort.__version__.split(".")[:2]) >= (1, 26)
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(can_limit)))
    if can_limit:
        options.add_session_config_entry("session.intra_op.spin_duration_us", str(SPIN_US))
        options.add_session_config_entry("session.force_spinning_stop", "1")


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


def _reason(error: Exception) -> str:
    """What ONNX Runtime says, without the file's name and the place in its own sources."""
    words = (str(error).splitlines() or [type(error).__name__])[0].split(" : ")[-1]
    for pattern in (r"^Load model from .* failed:", r"^/\S+\.(?:cc|h):\d+ .*\) (?=[A-Z])"):
        words = re.sub(pattern, "", words)
    return words[:_LONGEST_REASON]


def _is_utf8(name: str) -> bool:
    """Whether ONNX Runtime takes it; a file's name on Linux may be any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
