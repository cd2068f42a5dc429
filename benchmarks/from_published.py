"""A published model file back into weights that a training can start from.

    python -m benchmarks.from_published models/zoo/road4-n.onnx --out runs/road4-n.pt

A checkpoint is 5 MB that nobody runs, so the zoo has none. An export folds each BatchNorm into
the convolution before it; here it is unfolded again: its statistics are measured on training
images, scale and offset follow from them, and the network computes what the file computes. The
one-to-one head, which the file lacks, starts as a copy of the one-to-many head.
"""

from __future__ import annotations

import argparse
import copy
import random
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor
from ultralytics.nn.modules.conv import Conv

from benchmarks import road4
from benchmarks.options import in_words
from oneglance.models.letterbox import Canvas, as_bgr
from oneglance.models.metadata import read_metadata
from oneglance.models.model_file import read_properties
from oneglance.models.training.checkpoints import checkpoint_bytes, read_checkpoint
from oneglance.models.training.data.datasets import read_dataset
from oneglance.models.training.fit.heads import RoadModel, last_layer, with_new_last_layer
from oneglance.streams.errors import DataError, ModelError, OneglanceError
from oneglance.streams.outputs import check_reachable, refuse_inputs, write_file

IMAGES = 128
BATCH = 8


@torch.no_grad()
def unfold(file: Path, base: Path) -> RoadModel:
    """The network of the exported ``file``, which is of the same kind as the checkpoint ``base``.

    Raises:
        ModelError: ``base`` is no checkpoint, ``file`` none of our models, or of another kind.
        DataError: none of the training sets is there.
    """
    metadata = read_metadata(read_properties(file), str(file))
    stored = {one.name: one for one in onnx.load(file).graph.initializer}
    model = with_new_last_layer(read_checkpoint(base), metadata.classes)
    model.eval()

    def of_file(name: str) -> Tensor:
        if name not in stored:
            raise ModelError(f"{file} has no {name}: it is no network of the kind of {base}")
        return torch.from_numpy(numpy_helper.to_array(stored[name]).copy())

    measured: list[tuple[Any, _Sum, Any]] = []
    for name, layer in model.named_modules():
        if ".one2one_" in name:
            continue
        if isinstance(layer, Conv):
            layer.conv.weight.copy_(of_file(f"{name}.conv.weight"))
            norm: Any = layer.bn
            norm.running_mean.zero_()
            norm.running_var.fill_(1 - norm.eps)
            norm.weight.fill_(1)
            norm.bias.copy_(of_file(f"{name}.conv.bias"))
            outputs = _Sum()
            measured.append((norm, outputs, layer.conv.register_forward_hook(outputs)))
        elif isinstance(layer, torch.nn.Conv2d) and layer.bias is not None:
            layer.weight.copy_(of_file(f"{name}.weight"))
            layer.bias.copy_(of_file(f"{name}.bias"))
    for batch in _training_images(metadata.size):
        model(batch)
    for norm, outputs, hook in measured:
        hook.remove()
        mean, variance = outputs.moments()
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.add_(mean)
    head = last_layer(model)
    for branch in ("cv2", "cv3"):
        setattr(head, f"one2one_{branch}", copy.deepcopy(getattr(head, branch)))
    return model


class _Sum:
    """Of a convolution's outputs, by channel."""

    def __init__(self) -> None:
        self._count = 0
        self._sums: Any = 0
        self._squares: Any = 0

    def __call__(self, _layer: object, _given: object, out: Tensor) -> None:
        of_channel = out.double().transpose(0, 1).flatten(1)
        self._count += of_channel.shape[1]
        self._sums = self._sums + of_channel.sum(1)
        self._squares = self._squares + of_channel.square().sum(1)

    def moments(self) -> tuple[Tensor, Tensor]:
        mean = self._sums / self._count
        return mean.float(), (self._squares / self._count - mean.square()).clamp_min(0).float()


def _training_images(size: tuple[int, int]) -> Iterable[Tensor]:
    """Batches of ``IMAGES`` letterboxed training images, drawn from all sets that are there."""
    files = [
        image
        for _, one in sorted(road4.SETS.items())
        if one.oversample and one.file.is_file()
        for image in read_dataset(one.file).images("train")
    ]
    if not files:
        raise DataError("none of the training sets is there: BatchNorm is measured on their images")
    canvas = Canvas(size)
    drawn = random.Random(0).sample(files, min(IMAGES, len(files)))  # noqa: S311 - no secret
    for start in range(0, len(drawn), BATCH):
        read = [as_bgr(cv2.imread(str(file))) for file in drawn[start : start + BATCH]]
        yield torch.cat([torch.from_numpy(canvas.fill(one)[0].copy()) for one in read])


def main(argv: Sequence[str] | None = None) -> int:
    """Write ``--out``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--base", type=Path, default=road4.BASE, help="a checkpoint of its kind")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(argv)
    try:
        refuse_inputs(asked.out, [asked.model, asked.base])
        check_reachable(asked.out)
        model = unfold(asked.model, asked.base)
        write_file(asked.out, checkpoint_bytes(model.as_ultralytics()))
    except (OneglanceError, OSError) as error:
        print(f"from_published: {in_words(error)}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
