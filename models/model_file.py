"""A model file before an engine has it: read whole, and its tensors held to its metadata."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from oneglance.models.metadata import Head, Metadata
from oneglance.streams.errors import ModelError

Shape = Sequence[int | str | None]
"""A tensor's sides; one that is not fixed is None or a name."""

# An ONNX tensor kept outside its file names it in a field "location": protobuf tag, length, key.
_EXTERNAL_DATA = b"\x0a\x08location"


def read_model_file(file: Path) -> bytes:
    """The content of an ONNX file.

    Raises:
        ModelError: it cannot be read, or keeps weights in other files.
    """
    try:
        content = file.read_bytes()
    except IsADirectoryError:
        raise ModelError(f"{file} is a folder, not a model file") from None
    except OSError as error:
        raise ModelError(f"cannot read model {file}: {error.strerror}") from None
    if _EXTERNAL_DATA in content:
        raise ModelError(
            f"{file} keeps weights in other files (ONNX external data), which is not accepted: "
            "export it as one file"
        )
    return content


def check_layout(
    inputs: Sequence[Shape], outputs: Sequence[Shape], *, metadata: Metadata, origin: str
) -> None:
    """See that the tensors are those that ``metadata`` names; ``origin`` names the file.

    Raises:
        ModelError: they are not.
    """
    width, height = metadata.size
    shape = list(outputs[0]) if outputs else []
    expected_last = 6 if metadata.head is Head.ONE_TO_ONE else None
    expected_middle = 4 + len(metadata.classes) if metadata.head is Head.ONE_TO_MANY else None
    fits = (
        len(inputs) == 1
        and list(inputs[0]) == [1, 3, height, width]
        and len(outputs) == 1
        and len(shape) == 3
        and expected_last in {None, shape[2]}
        and expected_middle in {None, shape[1]}
    )
    if not fits:
        raise ModelError(
            f"{origin}: tensors {[list(i) for i in inputs]} → {[list(o) for o in outputs]} are "
            f"not the {metadata.head} layout at {width}x{height} that its metadata names"
        )
