"""What tests of the command line may ask for."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from oneglance.models import zoo
from onnx_models import seeing_model


@pytest.fixture
def small_zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo of two tiny models in place of ours; the default is one of them."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    entries = {}
    for name in ("road4-s", "road4-n"):
        file = seeing_model(folder / f"{name}.onnx")
        entries[name] = {
            "file": file.name,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "input": "64x32",
            "classes": "pedestrian, car, sign, light",
            "summary": f"tiny {name}",
        }
    (folder / "zoo.json").write_text(json.dumps(entries))
    monkeypatch.setattr(zoo, "FOLDER", folder)
    return folder
