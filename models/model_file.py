"""A model file before an engine has it: read whole, and its tensors held to its metadata."""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from oneglance.models.metadata import Head, Metadata
from oneglance.streams.errors import ModelError

Shape = Sequence[int | str | None]
"""A tensor's sides; one that is not fixed is None or a name."""

# An ONNX tensor kept outside its file names it in a field "location": protobuf tag, length, key.
_EXTERNAL_DATA = b"\x0a\x08location"

_PROPERTIES = 14
"""Protobuf field of a model's metadata; each entry is a key (1) and a value (2)."""

_LARGEST = 1 << 31
"""Bytes; protobuf has no larger messages."""

_LARGEST_TEXT = 1 << 20
"""Bytes of metadata; reference frames are the most of it."""


def read_model_file(file: Path) -> bytes:
    """The content of an ONNX file.

    Raises:
        ModelError: it cannot be read, is too large, or keeps weights in other files.
    """
    try:
        check_file(file)
        content = file.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read model {file}: {error.strerror}") from None
    if _EXTERNAL_DATA in content:
        raise ModelError(
            f"{file} keeps weights in other files (ONNX external data), which is not accepted: "
            "export it as one file"
        )
    return content


def check_file(file: Path) -> None:
    """Refuse what cannot be a model file before it is read, which a pipe may never end.

    Raises:
        ModelError: a folder, a pipe, a device, or larger than one can be.
        OSError: it cannot be looked at.
    """
    found = file.stat()
    if stat.S_ISDIR(found.st_mode):
        raise ModelError(f"{file} is a folder, not a model file")
    if not stat.S_ISREG(found.st_mode):
        raise ModelError(f"{file} is a pipe or a device, not a model file")
    if found.st_size > _LARGEST:
        raise ModelError(f"{file} is no model: it is larger than an ONNX file can be (2 GB)")


def read_properties(file: Path) -> dict[str, str]:
    """The metadata of an ONNX file, without its graph: a few reads, whatever its size.

    Raises:
        ModelError: it cannot be read, or is no ONNX file.
    """
    try:
        check_file(file)
        with file.open("rb") as opened:
            entries = [dict(_fields(io.BytesIO(entry))) for entry in _entries(opened)]
            return {entry[1].decode(): entry.get(2, b"").decode() for entry in entries}
    except OSError as error:
        raise ModelError(f"cannot read model {file}: {error.strerror}") from None
    except (EOFError, KeyError, UnicodeDecodeError):
        raise ModelError(f"{file} is not an ONNX file, or is damaged") from None


def _entries(opened: BinaryIO) -> Iterator[bytes]:
    return (content for field, content in _fields(opened) if field == _PROPERTIES)


def _fields(opened: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Number and content of a protobuf message's texts; what is larger than any of ours is passed
    over unread. EOFError: it ends too early, or is no protobuf message."""
    end = opened.seek(0, io.SEEK_END)
    opened.seek(0)
    while (key := _varint(opened, last=True)) is not None:
        field, wire_type = key >> 3, key & 7
        length = {1: 8, 5: 4}.get(wire_type, 0)
        if wire_type == 2:
            length = _varint(opened) or 0
        elif wire_type == 0:
            _varint(opened)
        elif not length:
            raise EOFError
        if length > end - opened.tell():
            raise EOFError
        if wire_type == 2 and length <= _LARGEST_TEXT:
            yield field, opened.read(length)
        else:
            opened.seek(length, io.SEEK_CUR)


def _varint(opened: BinaryIO, *, last: bool = False) -> int | None:
    value = 0
    for shift in range(0, 64, 7):
        byte = opened.read(1)
        if not byte:
            if last and not shift:
                return None
            raise EOFError
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise EOFError


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
