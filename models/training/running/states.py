"""The last two states of a training, to go on from: whole files that hold numbers and no code.

``weights/last.pt`` is the state after the last epoch, ``previous.pt`` the one before. They are
tensors and plain values, so reading them imports nothing: what a file would import besides is
refused unread. A file that is not whole, by the checksums that a ``.pt`` carries, counts as none.
"""

from __future__ import annotations

import io
import logging
import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch

from oneglance.models.training.checkpoints import foreign_code
from oneglance.streams.errors import ModelError
from oneglance.streams.output_folder import OutputFolder
from oneglance.streams.outputs import output_error, sync_folder

LAST, PREVIOUS, NEXT = "last.pt", "previous.pt", "next.pt"

FORMAT = "oneglance training state 1"

State = dict[str, Any]
"""``epoch``: the last one done, from 0; ``model``, ``ema``, ``optimizer`` and ``scaler``: state
dicts, in the precision that they are trained in; ``updates``: of the averaged weights."""

_KEYS = frozenset({"format", "epoch", "model", "ema", "updates", "optimizer", "scaler"})

_logger = logging.getLogger(__name__)


class TrainingStates:
    """The states in ``folder``, which is ours alone (see ``OutputFolder``)."""

    def __init__(self, folder: Path) -> None:
        self._place = OutputFolder(folder, "train")

    def check(self) -> None:
        """Refuse a folder that holds anything but states; see ``OutputFolder.check``."""
        self._place.check()

    def claim(self) -> None:
        """Make the folder ours; see ``OutputFolder.claim``."""
        self._place.claim()
        with self._place.making() as made:
            for name in (LAST, PREVIOUS, NEXT):
                made(name)

    @property
    def any(self) -> bool:
        """Whether there is a state, whole or not."""
        return any((self._place.path / name).is_file() for name in (LAST, PREVIOUS))

    def keep(self, state: State) -> None:
        """Write the newest state; the one before stays as ``previous.pt``.

        Raises:
            SinkError: it cannot be written; the states before are as they were.
        """
        buffer = io.BytesIO()  # torch reports a full disk as a RuntimeError of its own
        torch.save({"format": FORMAT, **state}, buffer)
        written = self._place.write(NEXT, buffer.getbuffer())
        last, previous = self._place.path / LAST, self._place.path / PREVIOUS
        try:
            if last.exists():
                last.replace(previous)
            written.replace(last)
        except OSError as error:
            raise output_error(last, error) from None
        sync_folder(self._place.path)

    def newest(self) -> State | None:
        """The newest state that is whole; None where there is none. One that is not is logged.

        Raises:
            ModelError: a file would run code of its own; nothing of it has been run.
        """
        damaged: list[Path] = []
        for name in (LAST, PREVIOUS):
            file = self._place.path / name
            if not file.is_file():
                continue
            state = _read(file)
            if state is not None:
                if damaged:
                    _logger.warning(
                        "%s is damaged: the training goes on from %s, after epoch %d",
                        damaged[0],
                        file.name,
                        state["epoch"] + 1,
                    )
                return state
            damaged.append(file)
        if damaged:
            _logger.warning("%s is damaged: the training starts anew", damaged[0])
        return None


def _read(file: Path) -> State | None:
    try:
        with zipfile.ZipFile(file) as archive:
            if archive.testzip() is not None:
                return None
        if foreign := foreign_code(file):
            raise ModelError(
                f"{file} is not a training state: loading it would run {foreign}; refused unread. "
                "Remove it, or give another --out"
            )
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (
        EOFError,
        NotImplementedError,
        OSError,
        RuntimeError,
        ValueError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        zlib.error,
    ):
        return None
    whole = isinstance(state, dict) and state.keys() >= _KEYS and state["format"] == FORMAT
    return state if whole else None
