"""Pixels in, boxes out: a graph that ONNX Runtime runs alone, with no code of oneglance.

oneglance export road4-n --end-to-end 1280x720 --out boxes.onnx
python -m oneglance.perception.examples.end_to_end boxes.onnx street.jpg
"""

from __future__ import annotations

import json
import os
import sys

import cv2


def main(model: str = "boxes.onnx", source: str = "street.jpg") -> None:
    """Print what is seen in the image ``source``."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when it is imported
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    metadata = json.loads(session.get_modelmeta().custom_metadata_map["oneglance"])
    height, width, _ = session.get_inputs()[0].shape
    frame = cv2.imread(source)  # height × width × 3 uint8, BGR
    if frame is None or frame.shape != (height, width, 3):
        print(
            f"error: {model} takes frames of {width}x{height}, and {source} is none: resize it "
            "or export a graph of its size",
            file=sys.stderr,
        )
        sys.exit(2)
    for box, score, cls in zip(*session.run(None, {"image": frame}), strict=True):
        print(f"{metadata['classes'][cls]['name']} {score:.2f} at {box.round().tolist()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
