"""Arm: the loop that a tutorial writes: OpenCV reads, ONNX Runtime with its defaults, NMS.

No oneglance in it: this is what somebody gets who writes it himself. It does what our loop
does up to the boxes and neither tracks nor writes anything.
"""

from __future__ import annotations

import time

import cv2
import numpy as np
import onnxruntime as ort

from benchmarks.arms import measuring

CONFIDENCE = 0.25
IOU = 0.7
SIGN, FIRST_KIND = 2, 4
"""Classes of the model from here on are kinds of sign: a sign is boxed once, not once a kind."""


def main() -> None:
    options = measuring.parser(__doc__).parse_args()
    session = ort.InferenceSession(str(options.model), providers=["CPUExecutionProvider"])
    model_input = session.get_inputs()[0]
    height, width = model_input.shape[2:]
    capture = cv2.VideoCapture(options.clip)
    stamps_s: list[float] = []
    boxes_found = 0
    while len(stamps_s) < options.frames + options.warmup + 1:
        ok, frame = capture.read()
        if not ok:
            break
        blob, scale, shift = letterboxed(frame, (width, height))
        predictions = session.run(None, {model_input.name: blob})[0][0].T
        boxes_found += len(nms(predictions, scale, shift))
        stamps_s.append(time.perf_counter())
    measuring.answer(
        intervals_ms=measuring.intervals_ms(stamps_s, warmup=options.warmup),
        boxes=boxes_found,
        first_s=measuring.since_started_s(),
    )


def letterboxed(
    frame: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, float, tuple[int, int]]:
    """The network's input for a frame, the scale, and where the image begins (left, top)."""
    width, height = size
    scale = min(width / frame.shape[1], height / frame.shape[0])
    resized = cv2.resize(frame, None, fx=scale, fy=scale)
    top = (height - resized.shape[0]) // 2
    left = (width - resized.shape[1]) // 2
    canvas = np.full((height, width, 3), 114, np.uint8)
    canvas[top : top + resized.shape[0], left : left + resized.shape[1]] = resized
    return cv2.dnn.blobFromImage(canvas, 1 / 255, swapRB=True), scale, (left, top)


def nms(
    predictions: np.ndarray, scale: float, shift: tuple[int, int]
) -> list[tuple[list[float], float, int]]:
    """Boxes in pixels of the frame, scores and classes of ``predictions`` (N×(4+C))."""
    scores = predictions[:, 4:].max(axis=1)
    keep = scores > CONFIDENCE
    predictions, scores = predictions[keep], scores[keep]
    classes = predictions[:, 4:].argmax(axis=1)
    boxes = predictions[:, :4].copy()
    boxes[:, :2] -= boxes[:, 2:] / 2
    tasks = np.where(classes >= FIRST_KIND, SIGN, classes)
    chosen = cv2.dnn.NMSBoxesBatched(
        boxes.tolist(), scores.tolist(), tasks.tolist(), CONFIDENCE, IOU
    )
    boxes[:, :2] -= shift
    boxes /= scale
    return [(boxes[i].tolist(), float(scores[i]), int(classes[i])) for i in chosen]


if __name__ == "__main__":
    main()
