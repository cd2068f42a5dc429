"""OpenVINO on the CPU, or on Intel's GPU or NPU: the same file, in what each computes in.

OpenVINO is imported when an engine is made, never before: it is an extra.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from oneglance.models.cpus import available_cpus, thread_count
from oneglance.models.engines.forking import check_unchanged, gate, loaded_anew, stamp
from oneglance.models.metadata import KEY, Metadata, read_metadata
from oneglance.models.model_file import Shape, check_layout, read_model_file
from oneglance.models.packed_ir import is_packed, unpack_ir
from oneglance.streams.errors import ModelError, UsageError

DEVICE = "CPU"

HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
"""OpenVINO's words for our precisions. Left to itself it takes bf16 wherever there is any."""

INT8 = "int8"
"""Not asked of OpenVINO: it is what a quantised file is computed in; the rest of it in fp32."""

METADATA = ("framework", KEY)
"""Where OpenVINO keeps the properties of an ONNX file."""

STATISTICS = "openvino_telemetry"

_OWN_SOURCES = (
    *("Exception from", "Check '", "FrontEnd API failed", "While validating"),
    *("Model wasn't fully converted", "Summary:"),
)
_LONGEST_REASON = 300


class OpenVinoEngine:
    """One compiled model, with a stream for each inference that the CPUs have room for.

    Nothing is cached on disk. Threads are not pinned to CPUs: decoding, tracking and other
    processes want some too.
    """

    name = "openvino"
    precisions = ("fp32", "bf16", INT8)
    devices: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "cpu": precisions,
        "gpu": ("fp16", "fp32", INT8),
        "npu": ("fp16", INT8),
    }

    def __init__(
        self,
        file: Path,
        *,
        precision: str = "fp32",
        threads: int | None = None,
        device: str = "cpu",
    ) -> None:
        """Load ``file``; see ``engines.load_engine``. ``precision``: of ``devices[device]``."""
        self.threads = thread_count(threads)
        self.precision, self.device = precision, device
        self._file, self._asked = file.absolute(), threads
        with gate.working():
            self.metadata, self._compiled = self._load(str(file))
        self._stamp = stamp(self._file)
        self._idle: list[Any] = []
        """Requests that nobody waits for: one must not be asked twice at a time."""
        self._lock, self._process = threading.Lock(), os.getpid()

    def run(self, tensor: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], float]:
        """See ``engines.Engine``."""
        with gate.working():
            if self._process != os.getpid():
                self._follow_fork()
            idle = self._idle
            try:
                request = idle.pop()
            except IndexError:
                request = self._compiled.create_infer_request()
            try:
                started = time.perf_counter()
                # The input is read where it lies, and the output is copied: the next call
                # overwrites it.
                found = request.infer({0: tensor}, share_inputs=True, share_outputs=False)
                output: npt.NDArray[np.float32] = found[0]
                return output, time.perf_counter() - started
            finally:
                idle.append(request)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled or copied, it is loaded anew: a compiled model lives in one process alone."""
        return OpenVinoEngine._again, (self._file, self.precision, self._asked, self.device)

    @classmethod
    def _again(cls, file: Path, precision: str, threads: int | None, device: str) -> OpenVinoEngine:
        return cls(file, precision=precision, threads=threads, device=device)

    def _load(self, origin: str) -> tuple[Metadata, Any]:
        openvino = import_openvino()
        core = openvino.Core()
        if self.device != "cpu":  # to ask what devices there are loads every plugin: 24 MB
            check_device(core.available_devices, self.device)
        if self.precision == "bf16":
            check_bf16(
                core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES"),
                cpu=core.get_property(DEVICE, "FULL_DEVICE_NAME"),
            )
        content = read_model_file(Path(origin))
        graph, weights = _parts(content, self.precision, origin)
        with _loading(origin, is_packed=is_packed(content)):
            model = core.read_model(graph, weights)
        metadata = metadata_of(model, origin)
        check_layout(
            [_shape(tensor) for tensor in model.inputs],
            [_shape(tensor) for tensor in model.outputs],
            metadata=metadata,
            origin=origin,
        )
        how = _how(self.precision, self.threads, self.device)
        return metadata, _compile(core, model, how, origin, device=self.device.upper())

    def _follow_fork(self) -> None:
        """The threads that would answer stay behind when a process forks."""
        with self._lock:
            if self._process != os.getpid():
                check_unchanged(self._file, self._stamp)
                self._left_behind = self._compiled, self._idle  # to free them might wait for ever
                _, self._compiled = loaded_anew(lambda: self._load(str(self._file)), self._file)
                self._idle = []
                self._process = os.getpid()


def import_openvino() -> Any:
    """The package ``openvino``, without the statistics that importing it would send to Google.

    Its conversion tool reports every import, asks nobody, and keeps an identity in the user's
    home; without the package that does so it is silent. A program that imported OpenVINO before
    us has decided for itself.

    Raises:
        UsageError: it is not installed, or cannot be loaded.
    """
    silenced = "openvino" not in sys.modules and STATISTICS not in sys.modules
    if silenced:
        sys.modules[STATISTICS] = None  # type: ignore[assignment]  # "not to be found"
    try:
        import openvino
    except ImportError as error:
        raise UsageError(
            f"the engine openvino cannot be imported ({error}): pip install 'oneglance[openvino]' "
            "(from a clone: pip install '.[openvino]')"
        ) from None
    finally:
        if silenced:
            sys.modules.pop(STATISTICS, None)
    return openvino


def check_device(available: Collection[str], device: str) -> None:
    """See that OpenVINO finds a ``device`` here; ``available`` are its words.

    Raises:
        UsageError: it does not.
    """
    if not any(name.partition(".")[0] == device.upper() for name in available):
        raise UsageError(
            f"OpenVINO finds no device {device} on this machine (devices: "
            f"{', '.join(available).lower() or 'none'}): it takes an Intel {device.upper()} and "
            "its driver"
        )


def check_bf16(capabilities: Collection[str], *, cpu: str) -> None:
    """See that ``cpu`` computes in bf16 itself; ``capabilities`` are OpenVINO's words.

    Raises:
        UsageError: it does not.
    """
    if "BF16" not in capabilities:
        raise UsageError(
            f"this CPU ({cpu.strip()}) has no native bf16, which precision bf16 needs: choose fp32"
        )


def _parts(content: bytes, precision: str, origin: str) -> tuple[bytes, bytes]:
    """What OpenVINO reads, of a file that is computed in ``precision``.

    Raises:
        ModelError: a quantised file is damaged. UsageError: it is the other kind of file.
    """
    packed = is_packed(content)
    if packed and precision != INT8:
        raise UsageError(f"{origin} is quantised: choose precision {INT8}, not {precision}")
    if not packed and precision == INT8:
        raise UsageError(
            f"{origin} is not quantised, which precision {INT8} needs: make such a file with "
            "'oneglance quantize'"
        )
    return unpack_ir(content, origin) if packed else (content, b"")


def _how(precision: str, threads: int, device: str) -> dict[str, Any]:
    if device != "cpu":
        return {"INFERENCE_PRECISION_HINT": HINTS.get(precision, HINTS["fp16"])}
    streams = max(1, available_cpus() // threads)
    return {
        "INFERENCE_PRECISION_HINT": HINTS.get(precision, HINTS["fp32"]),
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": streams * threads,
        "ENABLE_CPU_PINNING": False,
    }


@contextmanager
def _loading(origin: str, *, is_packed: bool = False) -> Iterator[None]:
    """What OpenVINO says in several lines becomes one sentence about ``origin``."""
    try:
        yield
    except Exception as error:
        # OpenVINO's errors share no base class: some live in its modules, most have no name.
        if not (type(error) is RuntimeError or type(error).__module__.startswith("openvino")):
            raise
        reason = _reason(error)
        if is_packed:
            raise ModelError(
                f"{origin} holds no OpenVINO IR that can be loaded ({reason.rstrip('.!')}): it is "
                "damaged or was changed. Copy or make it again"
            ) from None
        raise ModelError(
            f"{origin} is not an ONNX model that OpenVINO can load: {reason}"
        ) from None


def _reason(error: Exception) -> str:
    """The line of OpenVINO's many that says most: which operator it lacks, else the first that is
    not about its own sources."""
    lines = [line.strip().removeprefix("-- ") for line in str(error).splitlines()]
    lacking = [line for line in lines if line.startswith("No conversion rule")]
    words = [line for line in lines if line and not line.startswith(_OWN_SOURCES)]
    found = [*lacking, *words, *filter(None, lines), type(error).__name__]
    return found[0][:_LONGEST_REASON]


def _compile(
    core: Any, model: Any, how: dict[str, Any], origin: str, *, device: str = DEVICE
) -> Any:
    with _loading(origin):
        compiled = core.compile_model(model, device, how)
    asked = how["INFERENCE_PRECISION_HINT"]
    chosen = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if chosen != asked:
        raise ModelError(f"{origin}: OpenVINO would run it in {chosen}, not in {asked} as asked")
    return compiled


def metadata_of(model: Any, origin: str) -> Metadata:
    """What a model that OpenVINO has read says of itself; see ``read_metadata``."""
    path = list(METADATA)
    properties = {KEY: str(model.get_rt_info(path).value)} if model.has_rt_info(path) else {}
    return read_metadata(properties, origin)


def _shape(tensor: Any) -> Shape:
    return [side.get_length() if side.is_static else None for side in tensor.get_partial_shape()]
