"""Does this engine, in this precision, on this CPU, compute what the model file says it should?

Compilers and kernels fail silently: a quantised file that is right in one engine finds nothing in
another on another CPU. So a model file carries reference frames with what fp32 found on them, and
loading an engine looks at them once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from oneglance.models.decode import PLAIN_SUPPRESSION, ClassTable, decode
from oneglance.models.engines.engine import Engine, device_of
from oneglance.models.instruction_sets import describe_cpu
from oneglance.models.overlap import iou, to_xywh
from oneglance.models.reference_frames import MOST_FRAMES, ReferenceFrame, encode_frame
from oneglance.models.tasks import Task
from oneglance.streams.errors import ModelError

logger = logging.getLogger(__name__)

Boxes = npt.NDArray[np.float32]

SURE = 0.3
"""A box of this score must be found again, and no other may appear with it."""

LEAST = 0.05
"""Boxes down to this score are kept, so that one near ``SURE`` finds its counterpart."""

SAME_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Bound:
    """How far an engine may be from fp32: the largest difference in score (0..1) of a sure box,
    and of a side in pixels of the network's input."""

    score: float
    side_px: float


BOUNDS: Mapping[str, Bound] = {
    "fp32": Bound(0.01, 0.5),
    "fp16": Bound(0.03, 2.0),
    "bf16": Bound(0.06, 3.0),
    "int8": Bound(0.15, 6.0),
}
"""By precision; several times what right engines differ by on road4-n (fp32 1e-6 and 1e-4 px,
bf16 0.012 and 0.5 px), and below what wrong ones do: a box missed or invented differs by its
whole score."""


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """What a self-check found: the largest differences from fp32, how large they may be, and what
    it took."""

    frames: int
    score: float
    side_px: float
    seconds: float
    allowed: Bound

    def __str__(self) -> str:
        """For the summary of a run."""
        frames = "1 frame" if self.frames == 1 else f"{self.frames} frames"
        return (
            f"{frames} in {1e3 * self.seconds:.0f} ms, scores within {self.score:.4f} of fp32 "
            f"(allowed {self.allowed.score:g}), sides within {self.side_px:.2f} px (allowed "
            f"{self.allowed.side_px:g})"
        )

    def within(self, bound: Bound) -> bool:
        """Whether both differences are allowed."""
        return self.score <= bound.score and self.side_px <= bound.side_px


def record(engine: Engine, images: Sequence[npt.NDArray[np.uint8]]) -> tuple[ReferenceFrame, ...]:
    """What ``engine``, the reference, finds on ``images`` of its input size (H×W×3 BGR uint8).

    Raises:
        ValueError: more than ``MOST_FRAMES``, or an image of another size.
    """
    if len(images) > MOST_FRAMES:
        raise ValueError(f"at most {MOST_FRAMES} reference frames, not {len(images)}")
    frames = []
    for image in images:
        frame = ReferenceFrame(encode_frame(image), np.zeros((0, 6), np.float32))
        frames.append(ReferenceFrame(frame.jpeg, _found(engine, frame.image())))
    return tuple(frames)


def self_check(engine: Engine, *, origin: str) -> SelfCheck | None:
    """Hold ``engine`` to its file's reference frames; None where the file has none.

    Costs an inference a frame, at most ``MOST_FRAMES``. ``origin`` names the file in errors.

    Raises:
        ModelError: it computes something else than it should, or a frame cannot be decoded.
    """
    frames = engine.metadata.reference_frames[:MOST_FRAMES]
    if not frames:
        logger.debug("%s has no reference frames: not checked", origin)
        return None
    started_s = time.perf_counter()
    try:
        pairs = [(frame.boxes, _found(engine, frame.image())) for frame in frames]
    except ValueError as error:
        raise ModelError(f"{origin}: {error}. Copy or export it again") from None
    task = ClassTable(engine.metadata.classes, set(Task)).task
    differences = [largest_difference(*pair, task=task) for pair in pairs]
    score, side_px = (max(each) for each in zip(*differences, strict=True))
    bound = BOUNDS.get(engine.precision, BOUNDS["int8"])
    outcome = SelfCheck(len(frames), score, side_px, time.perf_counter() - started_s, bound)
    if not outcome.within(bound):
        where = f"this CPU ({describe_cpu()})"
        where = where if (device := device_of(engine)) == "cpu" else f"device {device}"
        raise ModelError(
            f"{origin}: engine {engine.name} in {engine.precision} computes something else than "
            f"the model does in fp32 on {where}: scores differ by up to "
            f"{score:.2f} (allowed {bound.score:g}), sides by up to {side_px:.1f} px (allowed "
            f"{bound.side_px:g}). Choose another engine or precision; onnxruntime in fp32 is the "
            "reference"
        )
    logger.debug("%s: %s %s: %s", origin, engine.name, engine.precision, outcome)
    return outcome


def _found(engine: Engine, image: npt.NDArray[np.uint8]) -> Boxes:
    """What the engine finds on a frame of its input size: M×6, see ``ReferenceFrame``."""
    metadata = engine.metadata
    width, height = metadata.size
    if image.shape != (height, width, 3):
        raise ValueError(
            f"a reference frame is {image.shape[1]}x{image.shape[0]}, not {width}x{height}"
        )
    tensor = np.ascontiguousarray(image[:, :, ::-1].transpose(2, 0, 1)[None], np.float32)
    output, _ = engine.run(np.divide(tensor, np.float32(255), out=tensor))
    found = decode(
        np.nan_to_num(output),
        metadata.head,
        confidence=LEAST,
        table=ClassTable(metadata.classes, set(Task)),
        suppression=PLAIN_SUPPRESSION,
    )
    rows = np.column_stack((found.xyxy, found.confidence, found.class_id))
    return np.asarray(rows, np.float32)


def largest_difference(
    expected: Boxes, found: Boxes, *, task: npt.NDArray[np.int32]
) -> tuple[float, float]:
    """The largest difference in score and side between sure boxes and their counterparts of the
    same task, whatever the subclass; a box without one differs by its score. ``task``: of each
    class."""
    score = side_px = 0.0
    for boxes, others in ((expected, found), (found, expected)):
        others_task = task[others[:, 5].astype(np.intp)]
        for box in boxes[boxes[:, 4] >= SURE]:
            counterpart = _counterpart(box, others[others_task == task[int(box[5])]])
            if counterpart is None:
                score = max(score, float(box[4]))
                continue
            score = max(score, abs(float(box[4] - counterpart[4])))
            side_px = max(side_px, float(np.abs(box[:4] - counterpart[:4]).max()))
    return score, side_px


def _counterpart(box: Boxes, others: Boxes) -> Boxes | None:
    if not len(others):
        return None
    overlap = iou(to_xywh(box[None, :4]), to_xywh(others[:, :4]))[0]
    best = int(overlap.argmax())
    return others[best] if overlap[best] >= SAME_IOU else None
