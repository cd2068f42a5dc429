"""Arm: an image's pixels into boxes, one call a frame, decoding left out.

``graph``: the end-to-end graph that ``oneglance export --end-to-end`` writes, in ONNX Runtime
alone. ``detector``: the hand-made pipeline around the same network, in the same ONNX Runtime.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import cv2

from benchmarks.arms import measuring
from benchmarks.arms.frames import endless
from oneglance.models import Detector
from oneglance.models.cpus import available_cpus
from oneglance.models.engines.onnxruntime import import_onnxruntime, limit_spinning


def main() -> None:
    arguments = measuring.parser(__doc__)
    arguments.add_argument("--how", choices=("graph", "detector"), required=True)
    options = arguments.parse_args()
    cv2.setNumThreads(1)
    detect = (_graph if options.how == "graph" else _detector)(str(options.model))
    spent_ms, cpu_ms, boxes = [], [], 0
    frames = endless(options.clip)
    for _ in range(options.warmup + options.frames):
        image = next(frames).image
        began, began_cpu = time.perf_counter(), time.process_time()
        found = detect(image)
        spent_ms.append(round(1e3 * (time.perf_counter() - began), 4))
        cpu_ms.append(round(1e3 * (time.process_time() - began_cpu), 4))
        boxes += found
    timed = slice(options.warmup, None)
    measuring.answer(intervals_ms=spent_ms[timed], cpu_ms=cpu_ms[timed], boxes=boxes)


def _graph(file: str) -> Callable[[Any], int]:
    ort = import_onnxruntime()
    how = ort.SessionOptions()
    how.intra_op_num_threads, how.inter_op_num_threads = available_cpus(), 1
    limit_spinning(ort, how)
    session = ort.InferenceSession(file, how, providers=["CPUExecutionProvider"])
    return lambda image: len(session.run(None, {"image": image})[0])


def _detector(file: str) -> Callable[[Any], int]:
    detector = Detector.load(file)
    return lambda image: len(detector(image))


if __name__ == "__main__":
    main()
