"""Arm: ultralytics on the same ONNX file, in the peers' environment.

``default`` is its documented streaming call, silent. ``tuned`` gives back what it takes away
when it is imported: OpenCV and torch may use every CPU.
"""

from __future__ import annotations

import os
import time
from typing import Any

from benchmarks.arms import measuring


def main() -> None:
    arguments = measuring.parser(__doc__)
    arguments.add_argument("--how", choices=("predict", "track"), default="predict")
    arguments.add_argument("--tuned", action="store_true")
    options = arguments.parse_args()
    # Nothing is fetched or installed while the clock runs.
    os.environ.update(YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false", YOLO_VERBOSE="false")
    started_s = time.perf_counter()
    import ultralytics

    import_s = time.perf_counter() - started_s
    if options.tuned:
        import cv2
        import torch

        cpus = len(os.sched_getaffinity(0))
        cv2.setNumThreads(cpus)
        torch.set_num_threads(cpus)
    model: Any = ultralytics.YOLO(str(options.model), task="detect")  # type: ignore[attr-defined,unused-ignore]
    results = getattr(model, options.how)(options.clip, stream=True, verbose=False)
    stamps_s, boxes, first_s = [], 0, None
    for result in results:
        stamps_s.append(time.perf_counter())
        first_s = measuring.since_started_s() if first_s is None else first_s
        boxes += len(result.boxes)
        if len(stamps_s) == options.frames + options.warmup + 1:
            break
    shape = list(model.predictor.imgsz) if hasattr(model.predictor, "imgsz") else None
    measuring.answer(
        intervals_ms=measuring.intervals_ms(stamps_s, warmup=options.warmup),
        boxes=boxes,
        first_s=first_s,
        import_s=import_s,
        input_shape=shape,
    )


if __name__ == "__main__":
    main()
