"""The same network with smaller inputs: files beside a model's own that say so themselves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from oneglance.models import zoo
from oneglance.models.metadata import Metadata, read_metadata
from oneglance.models.model_file import read_properties
from oneglance.streams.errors import ModelError


def smaller_inputs(file: Path, metadata: Metadata) -> tuple[Path, ...]:
    """ONNX files beside ``file``, whose ``metadata`` these are, that are the same network with a
    smaller input; the largest first, one of each size.

    The same are those with the same classes, output layout, colours and training facts; or of two
    trainings, one of which went on from the other's weights with none but its data, as is done for
    a larger input. A file without training facts is the same as no other: nothing shows where its
    weights are from. Files that are not ours, or cannot be read, are passed over; a file of the
    zoo is verified.

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
        if is_smaller and _is_same(metadata, other):
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


def _is_same(one: Metadata, other: Metadata) -> bool:
    facts, others = json.loads(one.to_json()), json.loads(other.to_json())
    if any(facts.get(key) != others.get(key) for key in ("classes", "head", "colours")):
        return False
    taught, taught_too = facts["training"], others.get("training") or {}
    return taught == taught_too or _went_on(taught, taught_too) or _went_on(taught_too, taught)


def _went_on(training: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether ``training`` began with the weights that were ``before``, and had none but its data.
    The facts are a file's own, which anybody may have written."""
    try:
        runs, digest = _runs(training), before["model_sha256"]
        known = {each for run in _runs(before) for each in run["data_sha256"]}
        begun = {run["base_sha256"] for run in runs}
        begun |= {training["start"]["base_sha256"]} if "start" in training else set()
        return begun == {digest} and all(known.issuperset(run["data_sha256"]) for run in runs)
    except (KeyError, TypeError, RecursionError):
        return False


def _runs(training: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Each training of an average, or the one there was."""
    if "average_of" not in training:
        return [training["run"]]
    return [run for part in training["average_of"] for run in _runs(part)]
