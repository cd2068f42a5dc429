"""Weights of other people's making, read without running what may be hidden in them.

A ``.pt`` file is a pickle, and a pickle may call any function when it is loaded. ultralytics'
restricted loading (torch's ``weights_only``) builds the layers of its own networks and nothing
else; a file that names anything besides is refused unread.
"""

from __future__ import annotations

import io
import pickle
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from ultralytics.nn.modules.head import Detect
from ultralytics.nn.tasks import DetectionModel, torch_safe_load
from ultralytics.utils import downloads

from oneglance.streams.errors import ModelError
from oneglance.streams.outputs import write_file

_KNOWN = ("torch.", "ultralytics.", "numpy.")
_PATHS = frozenset(
    f"{module}.{name}"
    for module in ("pathlib", "pathlib._local")
    for name in ("PosixPath", "WindowsPath")
)


def read_checkpoint(file: Path) -> DetectionModel:
    """The YOLO detection network in ``file``, on the CPU, in float32, in evaluation mode.

    Raises:
        ModelError: no such file, a file that is not a YOLO checkpoint, one whose weights are not
            finite or which does not name its classes and strides, or one that would run code of
            its own; nothing of it has been run then.
    """
    if not file.is_file():
        raise ModelError(f"no pretrained weights {file}")
    if file.suffix != ".pt":
        raise ModelError(f"{file} is not a YOLO checkpoint: its name does not end in .pt")
    _refuse_foreign_code(file)
    try:
        with _nothing_downloaded():
            content, _ = torch_safe_load(str(file.absolute()), safe_only=True)
    except (
        AttributeError,
        EOFError,
        ImportError,
        KeyError,
        RuntimeError,
        TypeError,
        ValueError,
        pickle.UnpicklingError,
    ) as error:
        raise ModelError(f"{file} is not a YOLO checkpoint: {_reason(error)}") from None
    model = (content.get("ema") or content.get("model")) if isinstance(content, dict) else content
    if not isinstance(model, torch.nn.Module):
        raise ModelError(f"{file} holds no network, not a YOLO detection network")
    if (other := _other_network(model)) is not None:
        raise ModelError(
            f"{file} holds {other}: only YOLO detection networks, such as yolo26n.pt, can be "
            "trained and exported here"
        )
    assert isinstance(model, DetectionModel)
    _check_description(model, file)
    _refuse_broken_weights(model, file)
    return model.float().eval()


def _check_description(model: DetectionModel, file: Path) -> None:
    """See that the network says what its outputs mean; put its names in their order."""
    layers: Any = model.model
    head = layers[-1]
    names = getattr(model, "names", None)
    if isinstance(names, list | tuple):  # of old versions
        names = dict(enumerate(names))
    places = range(head.nc)
    if not isinstance(names, dict) or {*names} != {*places}:
        count = len(names) if isinstance(names, dict) else 0
        raise ModelError(
            f"{file} has {head.nc} classes and {count} names for them, or not numbered from 0: "
            "which is which cannot be known"
        )
    if odd := [name for name in names.values() if not isinstance(name, str)]:
        raise ModelError(f"{file} names a class {odd[0]!r}, which is no text")
    model.names = {place: names[place] for place in places}
    strides = getattr(model, "stride", None), getattr(head, "stride", None)
    mine, heads = ([float(s) for s in each] if torch.is_tensor(each) else [] for each in strides)
    described = isinstance(getattr(model, "yaml", None), dict)
    if mine != heads or not mine or min(mine) < 1 or not described:
        raise ModelError(
            f"{file} does not say which strides and layers it has: it was not saved by ultralytics"
        )


def _refuse_broken_weights(model: DetectionModel, file: Path) -> None:
    for name, found in model.state_dict().items():
        if found.is_floating_point() and not bool(found.isfinite().all()):
            raise ModelError(
                f"{file} cannot be used: of its weights, {name} is not finite: the training that "
                "made it diverged; give a checkpoint of before"
            )


@contextmanager
def _nothing_downloaded() -> Iterator[None]:
    """ultralytics asks its servers for another file where it knows a better one (yolov5n.pt), and
    replaces one of a known name that it cannot read."""
    before = downloads.attempt_download_asset
    downloads.attempt_download_asset = lambda file, *_, **__: str(file)
    try:
        yield
    finally:
        downloads.attempt_download_asset = before


_OTHERS = {
    "Seg": "a segmentation network",
    "Pose": "a pose network",
    "OBB": "a network for turned boxes (OBB)",
    "Classif": "a classification network",
    "RTDETR": "an RT-DETR network",
    "World": "a YOLO-World network",
    "YOLOE": "a YOLOE network",
    "Depth": "a depth network",
}
"""What ultralytics' other networks and heads are, by a part of their class's name."""


def _other_network(model: torch.nn.Module) -> str | None:
    """What ``model`` is, if it is no detection network alone; several of those inherit from it."""
    layers = getattr(model, "model", None)
    kinds = [type(model), *([type(layers[-1])] if isinstance(layers, torch.nn.Sequential) else [])]
    for kind in kinds:
        for part, what in _OTHERS.items():
            if part in kind.__name__:
                return what
    is_detection = (
        isinstance(model, DetectionModel) and len(kinds) == 2 and issubclass(kinds[1], Detect)
    )
    return None if is_detection else f"{kinds[0].__name__}, not a YOLO detection network"


def checkpoint_bytes(model: DetectionModel) -> bytes:
    """A file's content that holds ``model``, of ultralytics' own class, for ``read_checkpoint``
    and ultralytics."""
    content = {"model": model, "ema": None, "train_args": {"task": "detect"}, "epoch": -1}
    buffer = io.BytesIO()  # torch reports a full disk as a RuntimeError of its own
    torch.save(content, buffer)
    return buffer.getvalue()


def write_checkpoint(model: DetectionModel, file: Path) -> None:
    """Write ``checkpoint_bytes`` to ``file``, whole or not at all.

    Raises:
        SinkError: it cannot be written.
    """
    write_file(file, checkpoint_bytes(model))


def foreign_code(file: Path) -> str | None:
    """What loading ``file`` would import and is neither torch's, ultralytics' nor numpy's.

    Only the names in the pickle are looked at; nothing is loaded. Paths are harmless: older
    versions of ultralytics keep some in a checkpoint.

    Raises:
        EOFError, RuntimeError, ValueError, pickle.UnpicklingError: torch did not write it, or it
            is cut short.
    """
    names = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    foreign = sorted(n for n in names if not n.startswith(_KNOWN) and n not in _PATHS)
    return foreign[0] if foreign else None


def _check_sums(file: Path) -> None:
    """Raise a ValueError where a part of the file is not what was written; torch does not look."""
    try:
        with zipfile.ZipFile(file) as parts:
            damaged = parts.testzip()
    except (OSError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error):
        raise ValueError("no whole zip file") from None
    if damaged is not None:
        raise ValueError(f"{damaged} is damaged")


def _refuse_foreign_code(file: Path) -> None:
    try:
        _check_sums(file)
        foreign = foreign_code(file)
    except (EOFError, RuntimeError, ValueError, pickle.UnpicklingError):
        raise ModelError(
            f"{file} is not a YOLO checkpoint: torch did not write it, or it is cut short or "
            "damaged"
        ) from None
    if foreign:
        raise ModelError(
            f"{file} is not a YOLO checkpoint: loading it would run {foreign}; refused unread"
        )


def _reason(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
