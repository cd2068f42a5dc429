"""Averages of weights: of a training with what it started from, and of several trainings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ultralytics.nn.tasks import DetectionModel

from oneglance.models.training.checkpoints import checkpoint_bytes, read_checkpoint
from oneglance.models.training.fit.heads import class_branches
from oneglance.models.training.recipe import MODEL, training_facts
from oneglance.streams.errors import DataError, ModelError, UsageError
from oneglance.streams.output_folder import OutputFolder
from oneglance.streams.outputs import real_path


@torch.no_grad()
def average_with_start(model: DetectionModel, start: DetectionModel, *, alpha: float) -> None:
    """Make every weight of ``model`` ``alpha`` times its own and the rest ``start``'s (WiSE-FT).

    BatchNorm statistics too; the weights of the last layer stay as trained, for those of ``start``
    mean something else (COCO's car is no lorry, its stop sign one sign of many). Fine-tuning from
    good weights stays close enough to them for the average to work, and it works on images
    like the new ones and like those of the pretraining: Wortsman et al., "Robust fine-tuning of
    zero-shot models", CVPR 2022.
    """
    before = _weights(start)
    for name, weight in _kept(model).items():
        weight.lerp_(before[name].to(weight), 1 - alpha)


def average(
    runs: Sequence[Path], *, out: Path, start: Path | None = None, alpha: float = 1.0
) -> Path:
    """Average the ``model.pt`` of several training runs' folders; returns ``out/model.pt``.

    They must have started from the same weights, which keeps them close enough to each other
    (another seed, another rate or other data in between), and be for the same classes. The
    average costs at run time what one costs, and mostly scores higher than they do on average:
    Wortsman et al., "Model soups", ICML 2022. ``out/recipe.json`` says what it was made of.

    ``start``: a checkpoint that ``1 - alpha`` of the result is taken from, but for the last
    layer: see ``average_with_start``. Where trainings followed one another, these may be the
    weights that the first of them began with, which knew what the later ones forgot. With it
    one run is enough.

    Raises:
        UsageError: fewer than two runs, ``out`` is one of them, or ``alpha`` is not above 0 and,
            with ``start`` alone, below 1.
        ModelError: a run is a file or has no ``model.pt``, or one that is not a YOLO checkpoint;
            or ``start`` is none.
        DataError: they did not start from the same weights, are not for the same classes or have
            other layers; nothing says what they started from; or a ``model.pt`` was exchanged.
        SinkError: ``out`` holds anything but an average of ours, or cannot be written.
    """
    _check_share(start, alpha)
    if len(runs) < 2 and start is None:
        raise UsageError("an average takes two training runs or more")
    if any(real_path(out) == real_path(run) for run in runs):
        raise UsageError(f"{out} is one of the runs: averaging there would destroy it")
    place = OutputFolder(out, "average")
    place.check([*runs, *([] if start is None else [start])])
    for run in runs:
        if not (run / MODEL).is_file():
            what = (
                "is a file: give the folder of a training" if run.is_file() else f"has no {MODEL}"
            )
            raise ModelError(f"{run} {what}")
    models = [read_checkpoint(run / MODEL) for run in runs]
    facts = [training_facts(run / MODEL) for run in runs]
    for key, what in (("base_sha256", "start from the same weights"), ("classes", "find the same")):
        first = _fact(facts[0], key, runs[0])
        for other, run in zip(facts[1:], runs[1:], strict=True):
            if _fact(other, key, run) != first:
                raise DataError(f"{runs[0]} and {run} did not {what}: they cannot be averaged")
    for model, run in zip(models[1:], runs[1:], strict=True):
        _check_layers(_weights(models[0]), _weights(model), runs[0], run)
    _mean(models)
    made_of: dict[str, Any] = {"average_of": facts}
    if start is not None:
        before = read_checkpoint(start)
        _check_layers(_kept(models[0]), _kept(before), runs[0], start)
        average_with_start(models[0], before, alpha=alpha)
        digest = hashlib.sha256(start.read_bytes()).hexdigest()
        made_of["start"] = {"base": start.name, "base_sha256": digest, "alpha": alpha}
    content = checkpoint_bytes(models[0])
    place.claim()
    made_of["model_sha256"] = hashlib.sha256(content).hexdigest()
    place.write("recipe.json", json.dumps(made_of, indent=2) + "\n")
    return place.write(MODEL, content)


def _check_share(start: Path | None, alpha: float) -> None:
    if start is None and alpha != 1:
        raise UsageError(f"--alpha {alpha} is the share beside that of other weights: give --start")
    if start is not None and not 0 < alpha < 1:
        raise UsageError(
            f"the share of the trainings beside {start} is above 0 and below 1, like --alpha 0.75, "
            f"not {alpha}"
        )


def _check_layers(
    one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], file: Path, other_file: Path
) -> None:
    shapes = [{name: tensor.shape for name, tensor in each.items()} for each in (one, other)]
    if shapes[0] != shapes[1]:
        raise DataError(f"{file} and {other_file} have other layers: they cannot be averaged")


@torch.no_grad()
def _mean(models: Sequence[DetectionModel]) -> None:
    """Make the first of ``models`` the mean of all, BatchNorm statistics too."""
    for number, model in enumerate(models[1:], 2):
        other = _weights(model)
        for name, weight in _weights(models[0]).items():
            weight.lerp_(other[name], 1 / number)


def _weights(model: DetectionModel) -> dict[str, torch.Tensor]:
    """Parameters and BatchNorm statistics, but not what counts steps."""
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    return {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}


def _kept(model: DetectionModel) -> dict[str, torch.Tensor]:
    """``_weights`` without those of the last layer, which belong to classes."""
    last = {
        id(weight)
        for branches in class_branches(model)
        for branch in branches
        for weight in branch[-1].parameters()
    }
    return {name: weight for name, weight in _weights(model).items() if id(weight) not in last}


def _fact(facts: dict[str, Any], key: str, run: Path) -> Any:
    """What the run's recipe says of ``key``; an average says it of its parts, all alike."""
    while "average_of" in facts:
        facts = facts["average_of"][0]
    try:
        return facts["run"][key]
    except KeyError:
        raise DataError(
            f"{run} has no recipe.json that names its {key}: give folders of 'oneglance train'"
        ) from None
