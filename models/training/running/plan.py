"""What a training takes before it is begun: steps, memory and time on this device."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from oneglance.models.tasks import FOUR_TASKS, Task
from oneglance.models.training.checkpoints import read_checkpoint
from oneglance.models.training.data.datasets import read_dataset
from oneglance.models.training.execution import Amp, Execution
from oneglance.models.training.fit.branches import add_task_branches, network_flops
from oneglance.models.training.fit.heads import RoadModel, from_scratch, with_new_last_layer
from oneglance.models.training.recipe import GradientSurgery, Recipe, Unlabelled
from oneglance.models.training.running.devices import (
    bytes_per_image,
    free_bytes,
    precision,
    resolve,
    torch_device,
)
from oneglance.streams.errors import DataError
from oneglance.streams.outputs import real_path

_TIMED_IMAGES = 4
_TIMED_STEPS = 3

_BEFORE_AND_AFTER = 1.2
"""What the loss and the optimiser take beside both passes of the network (measured on a CPU)."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """``bytes_per_batch``: on all devices together. ``flops``: of a pass at run time, for the four
    tasks; ``branch_flops`` of them for task branches. ``seconds_per_image``: of the step alone."""

    images: int
    steps_per_epoch: int
    steps: int
    bytes_per_image: int
    bytes_per_batch: int
    free_bytes: int
    flops: int
    device: str
    seconds_per_image: float
    minutes: float
    branch_flops: int = 0


def plan_training(
    data: Sequence[Path], *, recipe: Recipe, execution: Execution, base: Path | None = None
) -> TrainingPlan:
    """Count the steps, add up the memory and time a few steps; nothing is trained or written.

    ``base``: the pretrained checkpoint that is to be trained, for its FLOPs.

    Raises:
        DataError, UsageError: a set, the device or the batch cannot be used.
    """
    execution.check_batch(recipe.batch)
    device = torch_device(resolve(execution))
    images = _images(data, recipe)
    computes = precision(execution, device)
    distil = recipe.unlabelled is Unlabelled.DISTILL
    image_bytes = bytes_per_image(recipe.size, computes, distil=distil)
    backwards = 1 if recipe.gradient_surgery is GradientSurgery.NONE else len(Task)
    seconds = seconds_per_image(recipe.size, computes, device, backwards=backwards)
    seconds *= 4 / 3 if distil else 1
    processes = execution.processes if device.type == "cuda" else 1
    flops = more = network_flops(_network(base), recipe.size)
    if recipe.task_branches:
        branched = _network(base)
        add_task_branches(branched)
        more = network_flops(branched, recipe.size)
    steps = math.ceil(images / recipe.batch)
    return TrainingPlan(
        images=images,
        steps_per_epoch=steps,
        steps=steps * recipe.epochs,
        bytes_per_image=image_bytes,
        bytes_per_batch=image_bytes * recipe.batch,
        free_bytes=free_bytes(device) * processes,
        flops=more,
        branch_flops=more - flops,
        device=execution.device if processes > 1 else str(device),
        seconds_per_image=seconds / processes,
        minutes=images * recipe.epochs * seconds / processes / 60,
    )


def _network(base: Path | None) -> RoadModel:
    if base is None:
        return from_scratch(FOUR_TASKS)
    return with_new_last_layer(read_checkpoint(base), FOUR_TASKS)


def seconds_per_image(
    size: tuple[int, int], computes: Amp, device: torch.device, *, backwards: int = 1
) -> float:
    """About how long a step takes for each image of its batch: a few are made and timed.

    ``backwards``: how many backward passes a step has, as gradient surgery has one a task.
    """
    width, height = size
    network = from_scratch(FOUR_TASKS).train().to(device)
    batch = torch.rand(_TIMED_IMAGES, 3, height, width, device=device)
    dtype = torch.float16 if computes is Amp.FP16 else torch.bfloat16
    taken: list[float] = []
    for _ in range(_TIMED_STEPS):
        started = time.perf_counter()
        with torch.autocast(device.type, dtype=dtype, enabled=computes is not Amp.OFF):
            heads = network(batch)
            summed = sum(head["scores"].float().mean() for head in heads.values())
        for number in range(1, backwards + 1):
            summed.backward(retain_graph=number < backwards)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - started)
    return _BEFORE_AND_AFTER * min(taken) / _TIMED_IMAGES


def _images(data: Sequence[Path], recipe: Recipe) -> int:
    datasets = [read_dataset(file) for file in data]
    times = recipe.oversample or (1,) * len(datasets)
    if len(times) != len(datasets):
        raise DataError(f"{len(datasets)} data sets need as many oversampling counts, not {times}")
    shown: dict[Path, int] = {}  # an image of two sets is trained once, as often as the one says
    for dataset, count in zip(datasets, times, strict=True):
        if "train" in dataset.folders:
            for image in recipe.subset.of(dataset.images("train")):
                file = real_path(image)
                shown[file] = max(count, shown.get(file, 0))
    return sum(shown.values())
