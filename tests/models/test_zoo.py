from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from oneglance.models import list_zoo, zoo
from oneglance.models.zoo import resolve_model
from oneglance.streams.errors import ModelError


def test_the_default_model_is_there_and_is_listed_first() -> None:
    first = list_zoo()[0]
    assert first.name == "road4-n"
    assert resolve_model("road4-n") == first.path


@pytest.mark.parametrize("entry", list_zoo(), ids=lambda entry: entry.name)
def test_every_model_has_the_checksum_it_was_published_with_and_a_card_that_states_it(
    entry: Any,
) -> None:
    digest = hashlib.sha256(entry.path.read_bytes()).hexdigest()
    assert digest == entry.sha256
    assert digest in entry.card.read_text(encoding="utf-8")


def test_every_file_of_the_zoo_is_listed() -> None:
    listed = {entry.path for entry in list_zoo()}
    assert {file for file in zoo.FOLDER.iterdir() if file.suffix in {".onnx", ".zip"}} == listed


def test_an_unknown_name_is_refused_with_near_ones() -> None:
    with pytest.raises(ModelError, match=r"no model named 'raod4-n'; did you mean road4-n"):
        resolve_model("raod4-n")


def test_a_missing_file_is_refused_by_its_path() -> None:
    with pytest.raises(ModelError, match=r"no model file /nowhere/best\.onnx"):
        resolve_model("/nowhere/best.onnx")


def test_a_checkpoint_is_refused_because_only_onnx_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "best.pt").touch()
    with pytest.raises(ModelError, match=r"not an ONNX file"):
        resolve_model("best.pt")


def test_a_damaged_zoo_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"file": "m.onnx", "sha256": "0" * 64, "input": "", "classes": "", "summary": ""}
    (tmp_path / "zoo.json").write_text(json.dumps({"m": facts}))
    (tmp_path / "m.onnx").write_bytes(b"bits")
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    with pytest.raises(ModelError, match="damaged or was changed"):
        resolve_model("m")
