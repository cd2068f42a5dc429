"""The models that come with oneglance, by name; each file is checked before it is trusted."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from oneglance.models.packed_ir import SUFFIX
from oneglance.streams.errors import ModelError

FOLDER = Path(__file__).parent / "zoo"
DEFAULT = "road4-n"


@dataclass(frozen=True, slots=True)
class ZooEntry:
    """One trained model: its ``file`` lies in ``FOLDER``, its card beside it (``.md``).

    ``input`` is ``WIDTHxHEIGHT`` in pixels, ``classes`` the class names, comma-separated.
    """

    name: str
    file: str
    sha256: str
    input: str
    classes: str
    summary: str

    @property
    def path(self) -> Path:
        """Where its file lies: ONNX, or an OpenVINO IR of a quantised one."""
        return FOLDER / self.file

    @property
    def is_quantised(self) -> bool:
        """Whether it is in int8, for OpenVINO alone."""
        return self.path.suffix == SUFFIX

    @property
    def card(self) -> Path:
        """Where the model card lies."""
        return FOLDER / f"{self.name}.md"


def list_zoo() -> tuple[ZooEntry, ...]:
    """Every model that comes with oneglance, the default first."""
    entries = json.loads((FOLDER / "zoo.json").read_text(encoding="utf-8"))
    found = (ZooEntry(name, **facts) for name, facts in entries.items())
    return tuple(sorted(found, key=lambda entry: (entry.name != DEFAULT, entry.name)))


def resolve_model(name_or_path: str | os.PathLike[str]) -> Path:
    """The file of a model given by its name in the zoo or by a path.

    A word with a path separator or a suffix ``.onnx``, or ``.zip`` of a quantised one, is a path;
    any other is a name.

    Raises:
        ModelError: no such name (the message offers near ones) or file, or a zoo file whose
            checksum is not the one it was published with.
    """
    text = os.fspath(name_or_path)
    if Path(text).suffix.lower() in {".onnx", SUFFIX} or os.sep in text or "/" in text:
        if not Path(text).exists():
            raise ModelError(f"no model file {text}")
        return Path(text)
    entries = {entry.name: entry for entry in list_zoo()}
    entry = entries.get(text)
    if entry is None:
        if Path(text).exists():
            raise ModelError(f"{text} is not an ONNX file (its name does not end in .onnx)")
        near = difflib.get_close_matches(text.lower(), entries, n=3, cutoff=0.4)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ModelError(f"no model named '{text}'{hint} (models: {', '.join(entries)})")
    _verify(entry)
    return entry.path


def _verify(entry: ZooEntry) -> None:
    try:
        digest = hashlib.sha256(entry.path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(
            f"model {entry.name}: cannot read {entry.path}: {error.strerror}"
        ) from None
    if digest != entry.sha256:
        raise ModelError(
            f"model {entry.name}: {entry.path} is damaged or was changed (its SHA-256 differs): "
            "install oneglance again, or load your own file by its path"
        )
