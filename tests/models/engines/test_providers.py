"""Devices other than the CPU: none is here, so what is missing is said; real words of ONNX Runtime.

That a network runs on them is measured by ``benchmarks.gpu`` on a machine that has one.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from oneglance.models import Detector
from oneglance.models.engines import providers
from oneglance.models.engines.auto import choose_engine
from oneglance.models.engines.engine_cache import cache_key, cached
from oneglance.models.engines.loading import check_choice, device_choices, load_engine
from oneglance.models.engines.onnxruntime import import_onnxruntime
from oneglance.models.engines.openvino import import_openvino
from oneglance.streams.errors import ModelError, UsageError
from program import Program

CUDA = providers.PROVIDERS["cuda"]
DRIVERLESS = (
    "[ONNXRuntimeError] : 1 : FAIL : Failed to load library /env/onnxruntime/capi/"
    "libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object "
    "file: No such file or directory"
)
NO_TENSORRT = (
    "/onnxruntime_src/onnxruntime/python/onnxruntime_pybind_state.cc:729 void onnxruntime::python::"
    "RegisterTensorRTPluginsAsCustomOps(PySessionOptions&, const onnxruntime::ProviderOptions&) "
    "Please install TensorRT libraries as mentioned in the GPU requirements page, make sure "
    "they're in the PATH or LD_LIBRARY_PATH, and that your GPU is supported.\n"
)
LEFT_OUT = (
    "[ONNXRuntimeError] : 1 : FAIL : This session contains graph nodes that are assigned to the "
    "default CPU EP, but fallback to CPU EP has been explicitly disabled by the user."
)


class NoGpu(RuntimeError):
    """As ONNX Runtime's own errors: their module begins with its name."""


NoGpu.__module__ = "onnxruntime.capi"


@pytest.fixture
def cpu_only() -> Any:
    ort = import_onnxruntime()
    if CUDA.name in ort.get_available_providers():
        pytest.skip("this ONNX Runtime is made for GPUs")
    return ort


def add_package(folder: Path, name: str) -> None:
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")


@pytest.mark.parametrize(
    "device", [name for name, each in providers.PROVIDERS.items() if name != "cpu"]
)
def test_a_device_that_is_not_here_is_one_sentence_that_says_what_to_install(
    cpu_only: Any, model: Path, device: str, tmp_path: Path
) -> None:
    del cpu_only
    with pytest.raises(UsageError, match=f"device {device} cannot be used: ") as error:
        load_engine(model, device=device, cache=tmp_path)
    assert "pip install" in str(error.value)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_two_runtimes_that_overwrite_each_other_are_noticed(
    cpu_only: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_package(tmp_path, "onnxruntime-gpu")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        UsageError, match="onnxruntime and onnxruntime-gpu are installed together and overwrite"
    ):
        providers.check_provider(cpu_only, "cuda")


@pytest.mark.parametrize(
    ("device", "text", "words"),
    [
        ("cuda", DRIVERLESS, "libcublasLt.so.13: cannot open shared object file"),
        ("cuda", DRIVERLESS.replace("libcublasLt.so.13", "libcuda.so.1"), "NVIDIA's driver is not"),
        ("tensorrt", NO_TENSORRT, "Please install TensorRT libraries"),
    ],
)
def test_libraries_that_cannot_be_loaded_are_named(
    device: str, text: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with (
        pytest.raises(UsageError, match=f"device {device} cannot be used: .*") as error,
        providers.only_on(import_onnxruntime(), device),
    ):
        raise NoGpu(text)
    message = str(error.value)
    assert words in message
    assert "\n" not in message
    assert "onnxruntime_src" not in message
    assert "FAIL" not in message
    assert capfd.readouterr() == ("", "")


def test_a_device_that_leaves_nodes_to_the_cpu_is_refused() -> None:
    with (
        pytest.raises(ModelError, match=r"cuda cannot run the whole network .*parts of it to the"),
        providers.only_on(import_onnxruntime(), "cuda"),
    ):
        raise NoGpu(LEFT_OUT)


def test_another_error_is_left_as_it_is() -> None:
    with (
        pytest.raises(KeyError),
        providers.only_on(import_onnxruntime(), "cuda"),
    ):
        raise KeyError("ours")


def test_a_session_that_went_back_to_the_cpu_is_refused(model: Path) -> None:
    ort = import_onnxruntime()
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    providers.check_session(ort, session, "cpu")
    with pytest.raises(UsageError, match="cuda cannot be used: its libraries cannot be loaded"):
        providers.check_session(ort, session, "cuda")


def test_a_plugin_whose_library_is_none_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "plugin.so"
    library.write_bytes(b"no library")
    name = providers.PROVIDERS["tensorrt-rtx"].plugin
    (tmp_path / f"{name}.py").write_text(f"def get_library_path():\n    return {str(library)!r}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ModelError, match=r"device tensorrt-rtx cannot run .*plugin\.so") as error:
        providers.check_provider(import_onnxruntime(), "tensorrt-rtx")
    monkeypatch.delitem(sys.modules, name, raising=False)
    assert "\n" not in str(error.value)


def test_a_damaged_engine_cache_is_refused_and_left_alone(
    oneglance: Program, model: Path, tmp_path: Path
) -> None:
    version = f"onnxruntime-{import_onnxruntime().__version__}"
    with cached(tmp_path, cache_key(model.read_bytes(), "fp16", version)) as folder:
        (folder / "a.engine").write_bytes(b"engine")
    (kept,) = tmp_path.iterdir()
    (kept / "a.engine").write_bytes(b"engin")
    run = oneglance(
        *("run", "rendered:?frames=1", "--model", model),
        *("--device", "tensorrt", "--engine-cache", tmp_path),
    )
    assert run.code == 2
    assert run.message == (
        f"the engine cache {kept} is damaged or was changed: remove that folder, and the engine is "
        "compiled anew"
    )
    assert (kept / "a.engine").read_bytes() == b"engin"


@pytest.mark.parametrize(
    ("engine", "precision", "device", "message"),
    [
        ("onnxruntime", "fp32", "cdua", "unknown device 'cdua'; did you mean 'cuda'"),
        ("openvino", "fp32", "cuda", "openvino does not run on cuda .*choose engine onnxruntime"),
        ("onnxruntime", "fp16", "cuda", "on cuda does not compute in fp16: choose precision fp32"),
        ("openvino", "fp32", "npu", "on npu does not compute in fp32: choose precision fp16 or"),
        ("onnxruntime", "double", "tensorrt", "unknown precision 'double'"),
    ],
)
def test_a_device_that_an_engine_or_precision_has_not_is_refused(
    engine: str, precision: str, device: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        check_choice(engine, precision, device)


@pytest.mark.usefixtures("openvino")
def test_openvino_says_which_devices_it_finds(model: Path) -> None:
    available = import_openvino().Core().available_devices
    if {"GPU", "NPU"} & {name.partition(".")[0] for name in available}:
        pytest.skip("there is one here")
    with pytest.raises(UsageError, match=r"no device npu on this machine \(devices: cpu\)"):
        load_engine(model, engine="openvino", device="npu")


def test_auto_tries_devices_too_and_says_why_not(cpu_only: Any, model: Path) -> None:
    del cpu_only
    choice = choose_engine(model, threads=1)
    tried = {(each.engine, each.precision, each.device) for each in choice.tried}
    assert set(device_choices()) <= tried
    assert choice.engine.name in {"onnxruntime", "openvino"}
    with pytest.raises(ModelError, match=r"no engine can run it here .*device cuda cannot be used"):
        choose_engine(model, device="cuda")
    with pytest.raises(ModelError, match="no engine here computes in fp32 on npu"):
        choose_engine(model, device="npu", precision="fp32")
    assert choose_engine(model, device="cpu", threads=1).engine.threads == 1


def test_a_detector_says_what_it_runs_on(model: Path) -> None:
    assert Detector.load(model, threads=1).device == "cpu"
