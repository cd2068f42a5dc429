from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the 'train' extra")
pytest.importorskip("ultralytics", reason="needs the 'train' extra")

from oneglance.models.training.execution import Amp, Execution
from oneglance.models.training.running.devices import (
    batch_that_fits,
    bytes_per_image,
    cpu_has_bf16,
    free_bytes,
    out_of_memory,
    precision,
    resolve,
)
from oneglance.streams.errors import UsageError

CPU = torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for a GPU that is not there")
@pytest.mark.parametrize("device", ["0", "0,1"])
def test_a_gpu_that_is_not_there_is_an_error_and_no_silent_cpu(device: str) -> None:
    with pytest.raises(UsageError, match=rf"--device {device}: GPU .* not there.*--device cpu"):
        resolve(Execution(device=device))
    assert resolve(Execution()) == "cpu"


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="has Metal")
def test_metal_that_is_not_there_is_an_error() -> None:
    with pytest.raises(UsageError, match="no Metal here"):
        resolve(Execution(device="mps"))


def test_several_processes_on_the_cpu_are_the_cpu() -> None:
    assert resolve(Execution(device="cpu,cpu")) == "cpu"


def test_the_precision_asked_for_is_what_runs_or_an_error() -> None:
    assert precision(Execution(amp=Amp.OFF), CPU) is Amp.OFF
    assert precision(Execution(), CPU) is (Amp.BF16 if cpu_has_bf16() else Amp.OFF)
    if cpu_has_bf16():
        assert precision(Execution(amp=Amp.BF16), CPU) is Amp.BF16
    else:
        with pytest.raises(UsageError, match="no bfloat16"):
            precision(Execution(amp=Amp.BF16), CPU)


def test_memory_grows_with_the_pixels_and_halves_nearly_in_half_precision() -> None:
    small, large = bytes_per_image((128, 64)), bytes_per_image((256, 128))
    assert 3.8 * small < large < 4.2 * small
    assert bytes_per_image((128, 64), Amp.BF16) < 0.7 * small
    assert bytes_per_image((128, 64), distil=True) > small
    assert free_bytes(CPU) > small


def test_the_batch_that_fits_is_smaller_and_shared_evenly() -> None:
    assert batch_that_fits(100, 1000, 16) == 8
    assert batch_that_fits(100, 1000, 8) == 4
    assert batch_that_fits(100, 50, 8) == 1
    assert batch_that_fits(100, 50, 8, multiple=2) == 2


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_memory_that_is_used_up_is_known_by_what_torch_says(error: Exception) -> None:
    assert out_of_memory(error)
    assert not out_of_memory(RuntimeError("shapes cannot be multiplied"))
