"""Task-wise branches: the last hidden layer of each class branch once for every task.

In a YOLO head all classes share the layers of the class branch up to a 1×1 convolution with one
filter for each class. Here the convolution before that one stands there once for each task, each a
copy of the pretrained one to begin with, so that the network starts with the answers it had; a
class's filter sees those of its own task alone. Only ultralytics' own layers, wider: checkpoints,
export and whoever runs the file need nothing of ours. On YOLO26n as pretrained on COCO it is 6.4 %
more FLOPs for four tasks, at any size (``network_flops``; ``oneglance train --plan`` says it).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from ultralytics.nn.modules import Conv
from ultralytics.nn.tasks import DetectionModel

from oneglance.models.tasks import ModelClass, Task
from oneglance.models.training.fit.heads import RoadModel, class_branches, last_layer
from oneglance.streams.errors import UsageError

KEY = "task_branches"
"""Of the network's ``yaml``: the tasks that have branches, in their order."""


def check_branches(
    base: DetectionModel, classes: Sequence[ModelClass], *, wanted: bool, file: object
) -> None:
    """See that ``base``, read from ``file``, can go on with its branches, or get some.

    Raises:
        UsageError: it has some and they are not ``wanted``, or they are of other tasks; or there
            is one task, which needs none.
    """
    order, known = _order([cls.task for cls in classes]), branched_tasks(base)
    if wanted and len(order) == 1:
        raise UsageError(f"{order[0]} is the only task: leave out --task-branches")
    if known and not wanted:
        raise UsageError(f"{file} has branches by task: give --task-branches to train it on")
    if known and known != order:
        raise UsageError(
            f"{file} has branches for {', '.join(known)}, not for {', '.join(order)}: train for "
            "classes of the same tasks in the same order"
        )


def branched_tasks(model: DetectionModel) -> list[str]:
    """The tasks that have branches of their own, in their order; [] without."""
    description: Any = model.yaml
    return list(description.get(KEY, []))


def add_task_branches(model: RoadModel) -> None:
    """Give ``model`` its branches, where it has none yet, and keep them apart while it trains."""
    tasks = model.tasks
    order = _order(tasks)
    if not branched_tasks(model):
        for branches in class_branches(model):
            for branch in branches:
                _widen(branch, [order.index(task.value) for task in tasks])
        description: Any = model.yaml
        settings: Any = {**description, KEY: order}
        model.yaml = settings
    for branches in class_branches(model):
        for branch in branches:
            _keep_apart(branch[-1], [order.index(task.value) for task in tasks], len(order))


def hidden_layer(branch: Any) -> Any:
    """The convolution before a class branch's last, with its BatchNorm."""
    block = branch[-2]
    return block if isinstance(block, Conv) else block[-1]


def network_flops(model: DetectionModel, size: tuple[int, int]) -> int:
    """Floating-point operations of a pass at ``size`` (width, height), the one-to-many head alone.

    ``model`` is of no use for training afterwards.
    """
    last_layer(model).fuse()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model.eval()(torch.zeros(1, 3, size[1], size[0]))
    return int(counter.get_total_flops())


def _order(tasks: Sequence[Task]) -> list[str]:
    return list(dict.fromkeys(task.value for task in tasks))


@torch.no_grad()
def _widen(branch: Any, places: Sequence[int]) -> None:
    """``places``: for each class which of the branches it is in."""
    hidden, last = hidden_layer(branch), branch[-1]
    width, count = last.in_channels, max(places) + 1
    before, norm = hidden.conv, hidden.bn
    wide = nn.Conv2d(
        before.in_channels,
        width * count,
        before.kernel_size,
        padding=before.padding,
        bias=False,
    )
    wide.weight.copy_(before.weight.repeat(count, 1, 1, 1))
    wide_norm = nn.BatchNorm2d(width * count, eps=norm.eps, momentum=norm.momentum)
    for name, value in norm.state_dict().items():
        here = getattr(wide_norm, name)
        here.copy_(value.repeat(count) if value.ndim else value)
    filters: Any = nn.Conv2d(width * count, last.out_channels, 1)
    filters.weight.zero_()
    filters.bias.copy_(last.bias)
    for number, place in enumerate(places):
        filters.weight[number, place * width : (place + 1) * width] = last.weight[number]
    hidden.conv, hidden.bn, branch[-1] = wide, wide_norm, filters


def _keep_apart(last: nn.Conv2d, places: Sequence[int], count: int) -> None:
    """No class learns from another task's branch: neither weight nor gradient is there."""
    width = last.in_channels // count
    mask = torch.zeros_like(last.weight)
    for number, place in enumerate(places):
        mask[number, place * width : (place + 1) * width] = 1
    with torch.no_grad():
        last.weight.mul_(mask)

    def own(gradient: Tensor) -> Tensor:
        return gradient * mask.to(gradient)

    weight: Any = last.weight
    weight.register_hook(own)
