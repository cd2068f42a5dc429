"""Which layers of a quantised model stay in float.

Eight bits do not cost the same everywhere. Measured on road4-n, by the error of its scores when
the weights of one layer alone are rounded: the first three layers and the neck's finest one make
up half of it, the backbone's coarse layers, which hold most of the weights, a tenth. So there are
three steps, each with less in int8 than the one before, and the first that passes is taken.
"""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Any

from oneglance.streams.errors import ModelError

FINE_STRIDE = 8
"""Layers whose output has a pixel for so many of the input, or fewer, are fine."""


class Kept(StrEnum):
    """What stays in float: the detection head; fine layers, too; the neck, too, which is all from
    the first upsampling on."""

    HEAD = "head"
    FINE = "fine"
    NECK = "neck"

    def __str__(self) -> str:
        """As the metadata of a file says it."""
        return {
            Kept.HEAD: "the detection head",
            Kept.FINE: f"the detection head and layers of stride {FINE_STRIDE} and less",
            Kept.NECK: f"the detection head, the neck and layers of stride {FINE_STRIDE} and less",
        }[self]


def steps(first: Kept) -> tuple[Kept, ...]:
    """``first`` and all after it."""
    order = tuple(Kept)
    return order[order.index(first) :]


def operators_in_float(model: Any, kept: Kept, *, origin: Path) -> list[str]:
    """The names of the operators of an OpenVINO ``model`` that stay in float.

    Layers are known by their names: ``/model.N/…``, as ultralytics exports them.

    Raises:
        ModelError: there are none of such names, or it is quantised already.
    """
    operators = [operator for operator in model.get_ops() if operator.get_type_name() != "Constant"]
    if any(operator.get_type_name() == "FakeQuantize" for operator in operators):
        raise ModelError(
            f"{origin} is quantised already: give the float model that it was made from"
        )
    layers = {
        operator.get_friendly_name(): int(found[1])
        for operator in operators
        if (found := re.match(r"/model\.(\d+)/", operator.get_friendly_name()))
    }
    if not layers:
        raise ModelError(
            f"{origin}: which of its layers are the detection head cannot be known, for they are "
            "not named /model.N: export it with 'oneglance export'"
        )
    chosen = {max(layers.values())}
    if kept is not Kept.HEAD:
        chosen |= _fine(operators, layers, model)
    if kept is Kept.NECK:
        chosen |= _neck(operators, layers)
    return [name for name, layer in layers.items() if layer in chosen]


def _fine(operators: list[Any], layers: dict[str, int], model: Any) -> set[int]:
    height = model.input(0).get_partial_shape()[2].get_length()
    strides: dict[int, int] = {}
    for operator in operators:
        layer = layers.get(operator.get_friendly_name())
        if layer is None or operator.get_type_name() not in {"Convolution", "GroupConvolution"}:
            continue
        stride = round(height / operator.output(0).get_partial_shape()[2].get_length())
        strides[layer] = max(stride, strides.get(layer, 0))
    return {layer for layer, stride in strides.items() if stride <= FINE_STRIDE}


def _neck(operators: list[Any], layers: dict[str, int]) -> set[int]:
    upsampled = [
        layers[operator.get_friendly_name()]
        for operator in operators
        if operator.get_type_name() == "Interpolate" and operator.get_friendly_name() in layers
    ]
    return {layer for layer in layers.values() if upsampled and layer >= min(upsampled)}
