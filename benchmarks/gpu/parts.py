"""What ``benchmarks.gpu`` measures, in order, and what each part needs that may be missing.

Standard library only: a plan is made where nothing is installed.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

FRAMES = 200
"""Timed calls of each: enough for a p99."""

BATCH = 8

TORCH = "the graph of the exported file in torch, node by node: not what oneglance runs"
CAPTURED = (
    "the graph of the exported file in torch, its kernels recorded as a CUDA graph: what the card "
    "needs without Python between them, not what oneglance runs"
)
ORT = "ONNX Runtime through oneglance's own engine"

_LOOP = ("av", "supervision", "trackers", "cv2")


@dataclass(frozen=True, slots=True)
class Part:
    """``name`` also in the results; ``what``: see ``measure.MEASURES``; ``about_s``: with building
    engines, where that is done; ``needs``: modules."""

    name: str
    title: str
    what: str
    device: str
    precision: str = "fp32"
    runtime: str = "onnxruntime"
    about_s: int = 15
    needs: tuple[str, ...] = ("onnxruntime", "numpy", "cv2")

    @property
    def by(self) -> str:
        """What computes it."""
        return {"torch": TORCH, "torch-captured": CAPTURED}.get(self.runtime, ORT)

    def words(self, model: str, frames: int) -> tuple[str, ...]:
        """What ``measure`` is asked."""
        return (
            *("measure", self.what, "--runtime", self.runtime, "--device", self.device),
            *("--precision", self.precision, "--model", model, "--frames", str(frames)),
        )

    def missing(self) -> tuple[str, ...]:
        """The modules that it needs and that are not installed here."""
        return tuple(name for name in self.needs if importlib.util.find_spec(name) is None)


_IN_TORCH = ("torch", "onnx", "numpy", "cv2")

PARTS = (
    Part(
        "cpu", "this machine's CPUs fp32, one image: what the card is compared with", "one", "cpu"
    ),
    Part("cuda", "CUDA fp32, one image", "one", "cuda"),
    Part("cuda-frame", "from a frame of 1080p to boxes, CUDA fp32", "frame", "cuda"),
    Part(
        "cuda-batch", f"CUDA fp32, {BATCH} images", "batch", "cuda", needs=("onnxruntime", "onnx")
    ),
    Part("tensorrt", "TensorRT fp16, one image", "one", "tensorrt", "fp16", about_s=90),
    Part("torch", "torch fp32, one image", "one", "cuda", "fp32", "torch", needs=_IN_TORCH),
    Part("torch-half", "torch fp16, one image", "one", "cuda", "fp16", "torch", needs=_IN_TORCH),
    Part(
        "torch-captured",
        "torch fp16 as a CUDA graph, one image",
        "one",
        "cuda",
        "fp16",
        "torch-captured",
        needs=_IN_TORCH,
    ),
    Part(
        "torch-frame",
        "from a frame of 1080p to boxes, torch fp16",
        "frame",
        "cuda",
        "fp16",
        "torch",
        needs=_IN_TORCH,
    ),
    Part(
        "torch-batch",
        f"torch fp16, {BATCH} images",
        "batch",
        "cuda",
        "fp16",
        "torch",
        needs=_IN_TORCH,
    ),
    Part("four", "CUDA fp32, one network against four", "four", "cuda", about_s=20),
    Part(
        "torch-four",
        "torch fp16, one network against four",
        "four",
        "cuda",
        "fp16",
        "torch",
        about_s=20,
        needs=_IN_TORCH,
    ),
    Part(
        "loop",
        "the whole loop from 1080p, CUDA fp32",
        "loop",
        "cuda",
        about_s=30,
        needs=("onnxruntime", *_LOOP),
    ),
    Part(
        "torch-loop",
        "the whole loop from 1080p, torch fp16",
        "loop",
        "cuda",
        "fp16",
        "torch",
        about_s=30,
        needs=(*_IN_TORCH, *_LOOP),
    ),
    Part(
        "tensorrt-batch",
        f"TensorRT fp16, {BATCH} images",
        "batch",
        "tensorrt",
        "fp16",
        about_s=90,
        needs=("onnxruntime", "onnx"),
    ),
)
"""The longest last: a run that is out of time has the others."""
