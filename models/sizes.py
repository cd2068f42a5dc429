"""The same weights with smaller inputs: files beside a model's own that say so themselves."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from oneglance.models import zoo
from oneglance.models.metadata import Metadata, read_metadata
from oneglance.models.model_file import read_properties
from oneglance.streams.errors import ModelError


def smaller_inputs(file: Path, metadata: Metadata) -> tuple[Path, ...]:
    """ONNX files beside ``file``, whose ``metadata`` these are, that are the same network with a
    smaller input; the largest first, one of each size.

    The same are those with the same classes, output layout, colours and training facts. A file
    without training facts is the same as no other: nothing shows that the weights are. Files that
    are not ours, or cannot be read, are passed over; a file of the zoo is verified.

    Raises:
        ModelError: a file of the zoo is damaged or was changed.
    """
    if not metadata.training:
        return ()
    found: dict[tuple[int, int], Path] = {}
    for each in _beside(file):
        try:
            other = read_metadata(read_properties(each), str(each))
        except ModelError:
            continue
        is_smaller = other.size != metadata.size and all(
            one <= of for one, of in zip(other.size, metadata.size, strict=True)
        )
        if is_smaller and _identity(other) == _identity(metadata):
            found.setdefault(other.size, each)
    order = sorted(found, key=lambda size: size[0] * size[1], reverse=True)
    return tuple(found[size] for size in order)


def _beside(file: Path) -> Iterable[Path]:
    if file.parent == zoo.FOLDER:
        others = [e for e in zoo.list_zoo() if e.path != file and not e.is_quantised]
        return [zoo.resolve_model(e.name) for e in others]
    try:
        return sorted(each for each in file.parent.glob("*.onnx") if each != file)
    except OSError:
        return []


def _identity(metadata: Metadata) -> Any:
    text = metadata.to_json()
    facts = json.loads(text)
    return [facts.get(key) for key in ("classes", "head", "training", "colours")]
