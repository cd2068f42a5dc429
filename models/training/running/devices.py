"""The devices of a training: there or an error, what they compute in, what a step takes on them."""

from __future__ import annotations

import functools
from pathlib import Path

import psutil
import torch
from torch.autograd.graph import saved_tensors_hooks

from oneglance.models.tasks import FOUR_TASKS
from oneglance.models.training.execution import AUTO, Amp, Execution
from oneglance.models.training.fit.heads import from_scratch
from oneglance.streams.errors import UsageError

_CGROUP = Path("/sys/fs/cgroup")

_HEADROOM = 1.15
"""What a step needs beside what the forward pass keeps: gradients on their way, fragments."""


def cpu_has_bf16() -> bool:
    """Whether this CPU computes bfloat16 natively (measured: 2.4 times fp32's rate)."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def resolve(execution: Execution) -> str:
    """The device as ultralytics takes it: ``cpu``, ``mps``, ``0`` or ``0,1``.

    Raises:
        UsageError: one of them is not there.
    """
    device = execution.device
    if device == AUTO:
        return "0" if torch.cuda.is_available() else "cpu"
    if device.startswith("cpu"):
        return "cpu"
    if device == "mps":
        if not torch.backends.mps.is_available():
            raise UsageError("--device mps: torch has no Metal here; give --device cpu")
        return device
    count = torch.cuda.device_count()
    missing = [number for number in device.split(",") if int(number) >= count]
    if missing:
        there = f"only {count} (0 to {count - 1})" if count else "no CUDA GPU"
        raise UsageError(
            f"--device {device}: GPU {', '.join(missing)} is not there, torch sees {there}; "
            "--device cpu always is"
        )
    return device


def torch_device(resolved: str) -> torch.device:
    """The first device of what ``resolve`` returned.

    >>> torch_device("1,2"), torch_device("cpu")
    (device(type='cuda', index=1), device(type='cpu'))
    """
    first, _, _ = resolved.partition(",")
    return torch.device("cuda", int(first)) if first.isdigit() else torch.device(first)


def precision(execution: Execution, device: torch.device) -> Amp:
    """What steps are computed in on ``device``: OFF, BF16 or FP16.

    Raises:
        UsageError: the device does not compute natively in what was asked for.
    """
    has_bf16 = device.type == "cpu" and cpu_has_bf16()
    if device.type == "cuda":
        has_bf16 = torch.cuda.get_device_capability(device) >= (8, 0)
    if execution.amp is Amp.BF16 and not has_bf16:
        raise UsageError(f"--amp bf16: this {device.type} has no bfloat16; give --amp auto or off")
    if execution.amp is not Amp.AUTO:
        return execution.amp
    if has_bf16:
        return Amp.BF16
    return Amp.FP16 if device.type == "cuda" else Amp.OFF


@functools.cache
def bytes_per_image(size: tuple[int, int], amp: Amp = Amp.OFF, *, distil: bool = False) -> int:
    """About how many bytes of memory each image of a batch takes in a step of YOLO26n.

    Counted, not timed: every tensor that the forward pass of one blank image keeps for the
    backward pass, at ``size`` (width, height), once. The same on any device. ``distil``: a
    teacher looks at the image too.
    """
    model = from_scratch(FOUR_TASKS).train()
    width, height = size

    def kept_bytes(images: int) -> int:
        kept: dict[int, torch.UntypedStorage] = {}  # held, so that no address is used twice

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
            return tensor

        with (
            torch.autocast("cpu", dtype=torch.bfloat16, enabled=amp is not Amp.OFF),
            saved_tensors_hooks(keep, lambda tensor: tensor),
        ):
            model(torch.zeros(images, 3, height, width))
        return sum(storage.nbytes() for storage in kept.values())

    activations = kept_bytes(3) - kept_bytes(2)  # weights are in both
    inputs = 3 * width * height * (4 + 1)  # the batch in float32, and as loaded
    return round(_HEADROOM * (activations + inputs) * (1.25 if distil else 1))


def free_bytes(device: torch.device) -> int:
    """Memory that a training may still take on ``device``."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = int(psutil.virtual_memory().available)
    try:  # a container may have less than the machine
        limit = (_CGROUP / "memory.max").read_text(encoding="ascii").strip()
        used = int((_CGROUP / "memory.current").read_text(encoding="ascii"))
        return free if limit == "max" else min(free, max(0, int(limit) - used))
    except (OSError, ValueError):
        return free


def batch_that_fits(image_bytes: int, free: int, wanted: int, *, multiple: int = 1) -> int:
    """The largest batch below ``wanted`` that ``free`` bytes hold, ``multiple`` at least.

    >>> batch_that_fits(200, 1700, 16), batch_that_fits(200, 1700, 16, multiple=4)
    (8, 8)
    """
    fits = min(wanted - 1, free // image_bytes)
    powers = 1
    while powers * 2 <= fits:
        powers *= 2
    return max(multiple, powers // multiple * multiple)


def out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` is torch's or the system's way to say that memory is used up."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    words = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)
