"""Whether a pretrained network can be trained as asked, said before anything is written."""

from __future__ import annotations

from pathlib import Path

from ultralytics.nn.tasks import DetectionModel

from oneglance.models.training.fit.heads import last_layer
from oneglance.models.training.recipe import check_sides
from oneglance.streams.errors import ModelError


def check_base(model: DetectionModel, file: Path, size: tuple[int, int]) -> None:
    """See that ``model``, read from ``file``, can be trained at ``size`` (width, height).

    Raises:
        ModelError: its BatchNorm layers or its one-to-many head are gone, as after ``fuse()``.
        UsageError: its stride does not go into ``size``.
    """
    if model.is_fused() or getattr(last_layer(model), "cv3", None) is None:
        raise ModelError(
            f"{file} holds a network made ready for inference (fused): what it was trained with, "
            "BatchNorm or the one-to-many head, is gone; give the checkpoint of its training"
        )
    check_size(model, size)


def check_size(model: DetectionModel, size: tuple[int, int]) -> None:
    """See that both sides of ``size``, (width, height) in pixels, are multiples of the stride.

    Raises:
        UsageError: they are not.
    """
    check_sides(size, int(max(model.stride)))
