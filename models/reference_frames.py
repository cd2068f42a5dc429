"""Reference frames that a model file carries, with what fp32 found on them when it was exported.

An engine that computes what it should finds the same again (``engines.self_check``).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

MOST_FRAMES = 3
"""A self-check costs an inference a frame."""

_QUALITY = 85


@dataclass(frozen=True, slots=True)
class ReferenceFrame:
    """A frame of the network's input size, and what was found on it.

    ``jpeg``: the image; decoders differ by a level or two, far less than what is looked for.
    ``boxes``: M×6 float32, rows ``x1 y1 x2 y2 score class`` in pixels of the input, scores in
    0..1, best first.
    """

    jpeg: bytes
    boxes: npt.NDArray[np.float32]

    def image(self) -> npt.NDArray[np.uint8]:
        """The frame, H×W×3 BGR uint8.

        Raises:
            ValueError: it cannot be decoded.
        """
        import cv2

        try:
            found = cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:
            raise ValueError(
                "a reference frame is larger than OPENCV_IO_MAX_IMAGE_PIXELS allows"
            ) from None
        if found is None:
            raise ValueError("a reference frame cannot be decoded")
        return np.asarray(found, np.uint8)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; boxes with a tenth of a pixel and scores with four digits."""
        rows = [
            [*(round(float(side), 1) for side in row[:4]), round(float(row[4]), 4), int(row[5])]
            for row in self.boxes
        ]
        return {"jpeg": base64.b64encode(self.jpeg).decode("ascii"), "boxes": rows}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """What ``as_dict`` gave.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        boxes = np.array(content["boxes"], np.float32).reshape(-1, 6)
        if not np.isfinite(boxes).all():
            raise ValueError("the boxes of a reference frame are not finite")
        return cls(base64.b64decode(content["jpeg"], validate=True), boxes)


def encode_frame(image: npt.NDArray[np.uint8]) -> bytes:
    """``image`` (H×W×3 BGR uint8) as the JPEG that a file carries."""
    import cv2

    done, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise ValueError("a reference frame cannot be encoded")
    return content.tobytes()
