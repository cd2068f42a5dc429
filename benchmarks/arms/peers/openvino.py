"""Arm: OpenVINO on the same ONNX file, in the peers' environment.

``bare``: inference alone. ``loop``: as its demos do it, OpenCV reads, a queue of requests
works on several frames at once, NMS after each.
"""

from __future__ import annotations

import os
import time
from typing import Any

import cv2
import numpy as np
import openvino  # type: ignore[import-not-found,unused-ignore]

from benchmarks.arms import measuring
from benchmarks.arms.peers.tutorial import letterboxed, nms


def main() -> None:
    arguments = measuring.parser(__doc__)
    arguments.add_argument("--how", choices=("bare", "loop"), required=True)
    arguments.add_argument("--precision", choices=("f32", "bf16"), required=True)
    options = arguments.parse_args()
    core = openvino.Core()
    how = {"INFERENCE_PRECISION_HINT": options.precision}
    how["PERFORMANCE_HINT"] = "LATENCY" if options.how == "bare" else "THROUGHPUT"
    compiled = core.compile_model(str(options.model), "CPU", how)
    run = bare if options.how == "bare" else loop
    stamps_s, boxes = run(compiled, options.clip, options.frames + options.warmup + 1)
    measuring.answer(
        intervals_ms=measuring.intervals_ms(stamps_s, warmup=options.warmup),
        boxes=boxes,
        precision=str(compiled.get_property("INFERENCE_PRECISION_HINT")),
    )
    # Its threads may still want the interpreter for the last callback, while a model that is being
    # thrown away has it and waits for them: one run in ten never ended.
    os._exit(0)


def bare(compiled: Any, clip: str, wanted: int) -> tuple[list[float], int | None]:
    """One request at a time on one input."""
    height, width = list(compiled.input(0).shape)[2:]
    _, frame = cv2.VideoCapture(clip).read()
    tensor, _, _ = letterboxed(frame, (width, height))
    request = compiled.create_infer_request()
    stamps_s = []
    for _ in range(wanted):
        request.infer({0: tensor})
        stamps_s.append(time.perf_counter())
    return stamps_s, None


def loop(compiled: Any, clip: str, wanted: int) -> tuple[list[float], int]:
    """As many requests at once as OpenVINO thinks best."""
    height, width = list(compiled.input(0).shape)[2:]
    queue = openvino.AsyncInferQueue(compiled)
    stamps_s: list[float] = []
    found: list[int] = []

    def done(request: Any, place: tuple[float, tuple[int, int]]) -> None:
        predictions: np.ndarray = request.get_output_tensor(0).data[0].T
        found.append(len(nms(predictions, *place)))
        stamps_s.append(time.perf_counter())

    queue.set_callback(done)
    capture = cv2.VideoCapture(clip)
    for _ in range(wanted):
        ok, frame = capture.read()
        if not ok:
            break
        tensor, scale, shift = letterboxed(frame, (width, height))
        queue.start_async({0: tensor}, (scale, shift))
    queue.wait_all()
    return sorted(stamps_s), sum(found)


if __name__ == "__main__":
    main()
