"""The table of a model's card."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import conditions, publish

FOUND: dict[str, Any] = {
    "model": "some",
    "data": "data/roads/data.yaml",
    "engine": "onnxruntime",
    "precision": "fp32",
    "images": 7,
    "tasks": {"car": {"map50": 0.8, "by_size": {"small": 0.25}}},
    "conditions": {
        "fog": {
            "mild": {"car": {"map50": 0.7}},
            "middle": {"car": {"map50": 0.6}},
            "strong": {"car": {"map50": 0.1}},
        }
    },
    "worst": {"middle": {"car": {"condition": "fog", "kept": 0.75}}},
    "mpc": {"car": 0.3},
    "rpc": {"car": 0.5},
}


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(conditions, "ZOO", tmp_path)
    file = tmp_path / "measured.json"
    file.write_text(json.dumps(FOUND))
    monkeypatch.setattr(sys, "argv", ["conditions", str(file)])
    return file


def test_the_card_gets_the_table_between_its_marks_and_keeps_the_rest(measured: Path) -> None:
    card = measured.with_name("some.md")
    card.write_text(f"before\n{conditions.BEGIN}\nold\n{conditions.END}\nafter\n")
    conditions.main()
    text = card.read_text()
    assert "On the 7 val images of roads (onnxruntime fp32, " in text
    assert "| fog | 0.700 0.600 0.100 (75%) |" in text
    assert "| worst at middle severity | fog (75%) |" in text
    assert "| rPC | 50% |" in text
    assert "| large objects, clean (mAP50-95) | - |" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text


def test_a_card_without_marks_and_another_measurement_are_refused(
    measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        conditions.main()
    assert "some.md first, with a line <!-- conditions -->" in capsys.readouterr().err
    measured.write_text("{}")
    with pytest.raises(SystemExit):
        conditions.main()
    assert "measure with --conditions" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "why"), [(None, "no such file"), ('{"cond', "is no JSON file"), ("[]", "has no ")]
)
def test_a_measurement_that_cannot_be_read_is_a_sentence(
    measured: Path, content: str | None, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    measured.unlink()
    if content is not None:
        measured.write_text(content)
    with pytest.raises(SystemExit) as ended:
        conditions.main()
    assert ended.value.code == 2
    assert f"error: {measured}" in (said := capsys.readouterr().err)
    assert why in said


def test_a_model_that_is_none_is_not_published_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["publish", str(tmp_path / "a.onnx"), "--summary", "one"])
    with pytest.raises(SystemExit) as ended:
        publish.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: no model file {tmp_path / 'a.onnx'}")
