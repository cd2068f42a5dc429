"""Reading a data set's file: what it means, or what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oneglance.models.training.data.datasets import read_dataset
from oneglance.streams.errors import DataError

BOX = "0 0.5 0.5 0.2 0.2"
"""A label: the first class, in the middle."""


def meanings(file: Any) -> Any:
    """Our class of each of the file's names; None: background."""
    dataset = read_dataset(file)
    return {
        dataset.names[number]: None if cls is None else cls.name
        for number, cls in dataset.classes.items()
    }


def problem_of(file: Any, text: Any) -> Any:
    """What reading ``file`` complains of, once ``text`` is written there."""
    Path(file).parent.mkdir(exist_ok=True)
    Path(file).write_text(text)
    with pytest.raises(DataError) as caught:
        read_dataset(file)
    return str(caught.value).removeprefix(str(file))
