"""ONNX Runtime's execution providers: what a device needs, and what is missing where it fails.

ONNX Runtime goes back to the CPU without an error where a provider's libraries cannot be loaded, or
where a provider leaves single nodes out. Neither happens here: what is asked for runs the whole
network, or it is an error that says what to install.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from importlib import metadata
from io import StringIO
from pathlib import Path
from typing import Any

from oneglance.streams.errors import ModelError, UsageError

CPU = "cpu"


@dataclass(frozen=True, slots=True)
class Provider:
    """What runs a network on a device. ``install``: the command that brings it. ``plugin``: the
    module of a package that lies beside any ONNX Runtime; "" for one that is built in.
    ``precisions``: the first is the default."""

    name: str
    install: str
    precisions: tuple[str, ...] = ("fp32",)
    plugin: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


_GPU = "pip uninstall -y onnxruntime; pip install 'onnxruntime-gpu[cuda,cudnn]'"

PROVIDERS: Mapping[str, Provider] = {
    CPU: Provider("CPUExecutionProvider", "pip install onnxruntime"),
    # Left to itself it rounds fp32 to TF32, which has a mantissa of ten bits.
    "cuda": Provider("CUDAExecutionProvider", _GPU, options={"use_tf32": "0"}),
    "tensorrt": Provider(
        "TensorrtExecutionProvider",
        f"{_GPU}; pip install tensorrt",
        ("fp16", "fp32"),
    ),
    "tensorrt-rtx": Provider(
        "NvTensorRTRTXExecutionProvider",
        "pip install onnxruntime-ep-nv-tensorrt-rtx",
        plugin="onnxruntime_ep_nv_tensorrt_rtx",
    ),
    "coreml": Provider("CoreMLExecutionProvider", "pip install onnxruntime, on macOS"),
    "directml": Provider(
        "DmlExecutionProvider",
        "pip uninstall -y onnxruntime; pip install onnxruntime-directml, on Windows",
    ),
}
"""By device, as it is asked for."""

_PACKAGES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino")
"""They install the same files, and the last one that was installed overwrites the others."""


def installed_runtimes() -> tuple[str, ...]:
    """Which of the packages that overwrite each other are installed."""
    found = []
    for name in _PACKAGES:
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        found.append(name)
    return tuple(found)


def check_provider(ort: Any, device: str) -> None:
    """See that ONNX Runtime has what runs on ``device``; registers a plugin.

    Raises:
        UsageError: it has not, or the libraries that it needs cannot be loaded.
    """
    provider = PROVIDERS[device]
    if provider.plugin:
        _register(ort, device, provider)
        return
    if provider.name in ort.get_available_providers():
        return
    runtimes = installed_runtimes()
    if len(runtimes) > 1:
        raise UsageError(
            f"device {device} cannot be used: {' and '.join(runtimes)} are installed together and "
            f"overwrite each other. Uninstall them all, then: {provider.install}"
        )
    raise UsageError(
        f"device {device} cannot be used: this ONNX Runtime ({', '.join(runtimes) or 'no package'})"
        f" has no {provider.name}. Install it: {provider.install}"
    )


def configure(ort: Any, options: Any, device: str, *, precision: str, cache: Path | None) -> Any:
    """Make session ``options`` those of ``device``; what ``providers`` is for the session then.

    ``cache``: where TensorRT keeps its engines.
    """
    provider = PROVIDERS[device]
    if device == CPU:
        return [provider.name]
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    if provider.plugin:
        options.add_provider_for_devices(_devices(ort, provider), dict(provider.options))
        return None
    how = dict(provider.options)
    if device == "tensorrt":
        how["trt_fp16_enable"] = str(int(precision == "fp16"))
        if cache is not None:
            how |= {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(cache)}
    return [(provider.name, how)]


@contextmanager
def only_on(ort: Any, device: str) -> Iterator[None]:
    """Around making a session: what ONNX Runtime says of a device it cannot use becomes one
    sentence, and nothing is printed.

    Raises:
        UsageError: the device's libraries cannot be loaded. ModelError: it leaves nodes out.
    """
    if device == CPU:
        yield
        return
    provider = PROVIDERS[device]
    ort.set_default_logger_severity(4)  # it would print the reason, in colours
    try:
        if hasattr(ort, "preload_dlls") and not provider.plugin:
            with redirect_stdout(StringIO()):  # CUDA's libraries, as NVIDIA's packages bring them
                ort.preload_dlls()
        yield
    except Exception as error:
        if not _is_of_runtime(error):
            raise
        raise _explained(ort, device, provider, str(error)) from None
    finally:
        ort.set_default_logger_severity(_DEFAULT_SEVERITY)


_DEFAULT_SEVERITY = 2
"""ONNX Runtime's own: warnings."""


def check_session(ort: Any, session: Any, device: str) -> None:
    """See that a session runs where it was asked to.

    Raises:
        UsageError: it does not.
    """
    provider = PROVIDERS[device]
    if provider.name not in session.get_providers():
        raise _explained(ort, device, provider, "")


def _explained(ort: Any, device: str, provider: Provider, text: str) -> UsageError | ModelError:
    reason = _missing_library(ort, provider) or _reason(text)
    if "libcuda.so" in reason or "nvcuda.dll" in reason:
        return UsageError(
            f"device {device} cannot be used: NVIDIA's driver is not installed here ({reason})"
        )
    if "cannot open shared object" in reason or "install" in reason or not reason:
        return UsageError(
            f"device {device} cannot be used: {reason or 'its libraries cannot be loaded'}. "
            f"Install what it needs: {provider.install}"
        )
    if "assigned to the default CPU EP" in text:
        return ModelError(
            f"device {device} cannot run the whole network ({provider.name} leaves parts of it to "
            "the CPU): choose another device"
        )
    return ModelError(f"device {device} cannot run the network: {reason}")


def _reason(text: str) -> str:
    """ONNX Runtime's own words, without its places in its source."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    line = line.rpartition("with error: ")[2].rpartition(" : ")[2]
    return re.sub(r"^/\S+\.(?:cc|h):\d+ .*?\) ", "", line).rstrip(". ")


def _missing_library(ort: Any, provider: Provider) -> str:
    """What the system says when it loads the provider's library; "" where it is no matter."""
    word = provider.name.removesuffix("ExecutionProvider").lower()
    library = Path(ort.__file__).parent / "capi" / f"libonnxruntime_providers_{word}.so"
    if provider.plugin or not library.exists():
        return ""
    import ctypes

    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        text = str(error)
        return text if "cannot open shared object" in text else ""
    return ""


def _register(ort: Any, device: str, provider: Provider) -> None:
    if importlib.util.find_spec(provider.plugin) is None:
        raise UsageError(
            f"device {device} cannot be used: {provider.plugin} is not installed. Install it: "
            f"{provider.install}"
        )
    try:
        plugin = importlib.import_module(provider.plugin)
        if not _devices(ort, provider):
            ort.register_execution_provider_library(provider.name, plugin.get_library_path())
    except Exception as error:
        if not (_is_of_runtime(error) or isinstance(error, ImportError | OSError)):
            raise
        raise _explained(ort, device, provider, str(error)) from None
    if not _devices(ort, provider):
        raise UsageError(
            f"device {device} cannot be used: {provider.plugin} finds no hardware here that it can "
            "run on"
        )


def _devices(ort: Any, provider: Provider) -> list[Any]:
    return [each for each in ort.get_ep_devices() if each.ep_name == provider.name][:1]


def _is_of_runtime(error: Exception) -> bool:
    return type(error) in {RuntimeError, ValueError} or type(error).__module__.startswith(
        "onnxruntime"
    )
