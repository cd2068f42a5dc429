"""Transfer: a new last layer on a pretrained network.

The class branch of a YOLO head ends in a 1×1 convolution with one row for each class. A new
class starts from the row of the pretrained class that means the same, so the network knows a
pedestrian before its first step; everything else is transferred as it is. Measured without
this (README of ../shared): five epochs on one road lose 13 points of pedestrian mAP50.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from ultralytics.nn.tasks import DetectionModel

from oneglance.models.tasks import ModelClass, Task
from oneglance.streams.errors import ModelError

RELATED: dict[Task, str] = {
    Task.PEDESTRIAN: "person",
    Task.CAR: "car",
    Task.SIGN: "stop sign",
    Task.LIGHT: "traffic light",
}
"""The COCO class whose row a task's new class starts from."""


def load_base(file: Path) -> DetectionModel:
    """A pretrained YOLO detection network from ``file``, on the CPU, in float32.

    Raises:
        ModelError: no such file, or it is not a YOLO detection checkpoint.
    """
    if not file.is_file():
        raise ModelError(f"no pretrained weights {file}")
    try:
        from ultralytics.nn.tasks import load_checkpoint

        model, _ = load_checkpoint(str(file))
    except (
        AttributeError,
        EOFError,
        ImportError,
        KeyError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{file} is not a YOLO checkpoint: {reason}") from None
    if not isinstance(model, DetectionModel):
        raise ModelError(f"{file} holds a {type(model).__name__}, not a detection network")
    return model.float()


def with_new_last_layer(base: DetectionModel, classes: Sequence[ModelClass]) -> DetectionModel:
    """A network with ``base``'s weights and a last layer for ``classes``.

    Rows of ``base`` go to the classes they mean by ``RELATED``, or by equal name; a class
    without a related row starts at random. Two classes may start from one row.
    """
    model = DetectionModel(base.yaml, nc=len(classes), verbose=False)
    known = set(base.names.values())
    # ultralytics transfers a row to the class of the same name: lend it the base's names.
    model.names = {
        i: cls.name if cls.name in known else RELATED[cls.task] for i, cls in enumerate(classes)
    }
    with torch.no_grad():
        model.load(base, verbose=False)
    model.names = {i: cls.name for i, cls in enumerate(classes)}
    return model
