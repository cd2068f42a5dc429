"""Whether a training has diverged: its loss, weights or answers are no longer numbers that mean
anything. It is then stopped, before another checkpoint is written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

LARGEST_HALF = torch.finfo(torch.float16).max
"""Checkpoints are written in half precision, which holds no larger weight."""

FAR_OUT = 3e4
"""No network that learns places a box so many input widths away. Measured after each epoch: at most
5 from pretrained weights, 1200 from random ones; at learning rates of 0.1 to 1, before the loss
says anything, 10⁵ to infinite."""


def loss_is_finite(loss: object, items: object) -> bool:
    """Whether the loss of a batch and the means of its parts are finite."""
    return all(bool(torch.isfinite(found).all()) for found in _tensors([loss, items]))


@torch.no_grad()
def what_is_wrong(model: Any, images: Tensor | None) -> str | None:
    """Why ``model`` (averaged weights, in evaluation mode) cannot be kept; None when it can.

    ``images``: B×3×H×W in 0..1, on its device, for which its answers are looked at.
    """
    for name, found in model.state_dict().items():
        if not isinstance(found, Tensor) or not found.is_floating_point():
            continue
        largest = float(found.abs().max()) if found.numel() else 0.0
        if not largest <= LARGEST_HALF:  # not a number is not either
            what = "larger than a checkpoint can hold" if math.isfinite(largest) else "not finite"
            return f"a weight ({name}) is {what}"
    if images is None:
        return None
    far = FAR_OUT * max(images.shape[2:])
    answers, raw = model(images.float())
    heads = [head for head in raw.values() if isinstance(head, Mapping)] or [raw]
    if not all(bool(torch.isfinite(found).all()) for found in _tensors([answers, raw])):
        return "its answers are not finite"
    placed = float((answers[..., :4] if answers.shape[-1] == 6 else answers[:, :4]).abs().max())
    # Of the head that did not answer there are distances, counted in strides of 8 and more.
    distances = [8 * float(head["boxes"].abs().max()) for head in heads if "boxes" in head]
    if max(placed, *distances) > far:
        return "it places boxes far outside of every image"
    return None


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _tensors(entry)
