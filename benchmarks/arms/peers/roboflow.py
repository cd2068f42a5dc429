"""Arm: roboflow inference's pipeline on the same ONNX file, in an environment of its own.

The pipeline reads, queues and hands out; the file runs in the callback that its documentation
leaves to the user (``init_with_custom_logic``), written as the tutorial's loop is. Nothing of the
service is touched: ``OFFLINE_MODE`` forbids model downloads and usage reports.
"""

from __future__ import annotations

import os
import time
from typing import Any

import onnxruntime as ort

from benchmarks.arms import measuring
from benchmarks.arms.peers.tutorial import letterboxed, nms

Found = list[tuple[list[float], float, int]]


def main() -> None:
    options = measuring.parser(__doc__).parse_args()
    os.environ["OFFLINE_MODE"] = "True"  # read when it is imported
    started_s = time.perf_counter()
    from inference import InferencePipeline  # type: ignore[import-not-found,unused-ignore]

    import_s = time.perf_counter() - started_s
    session = ort.InferenceSession(str(options.model), providers=["CPUExecutionProvider"])
    model_input = session.get_inputs()[0]
    height, width = model_input.shape[2:]
    wanted = options.frames + options.warmup + 1
    stamps_s: list[float] = []
    counts: list[int] = []
    first_s: list[float | None] = []

    def infer(frames: list[Any]) -> list[Found]:
        answers = []
        for frame in frames:
            blob, scale, shift = letterboxed(frame.image, (width, height))
            predictions = session.run(None, {model_input.name: blob})[0][0].T
            answers.append(nms(predictions, scale, shift))
        return answers

    def take(boxes: Found, _frame: Any) -> None:
        if len(stamps_s) == wanted:
            return  # inferred before the pipeline saw that it is over
        stamps_s.append(time.perf_counter())
        counts.append(len(boxes))
        if len(stamps_s) == 1:
            first_s.append(measuring.since_started_s())
        if len(stamps_s) == wanted:
            pipeline.terminate()

    pipeline = InferencePipeline.init_with_custom_logic(
        video_reference=options.clip, on_video_frame=infer, on_prediction=take
    )
    pipeline.start()  # takes results in this thread until the clip or the pipeline ends
    pipeline.join()
    measuring.answer(
        intervals_ms=measuring.intervals_ms(stamps_s, warmup=options.warmup),
        boxes=sum(counts),
        first_s=first_s[0],
        import_s=import_s,
    )


if __name__ == "__main__":
    main()
