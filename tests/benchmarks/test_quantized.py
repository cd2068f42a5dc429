"""Tries of int8 and what each lost, as a page and as data."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

pytest.importorskip("faster_coco_eval", reason="needs the 'quantize' extra")
if any(importlib.util.find_spec(name) is None for name in ("openvino", "nncf", "onnx")):
    pytest.skip("needs the 'quantize' and 'bench' extras", allow_module_level=True)

from benchmarks import quantized
from oneglance.streams.rendered.dataset import write_dataset


def test_a_try_is_told_by_set_and_task_and_timed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = write_dataset(tmp_path / "drawn", frames=16, seed=3, val_share=0.25)
    out, file = tmp_path / "results", tmp_path / "small.zip"
    words = ["road4-n-416", "--data", drawn, "--out", out, "--file", file]
    assert quantized.main([*map(str, words), "--frames", "8", "--float", "neck"]) == 0
    found = json.loads((out / "road4-n-416.json").read_text())
    (tried,) = found["tries"]
    assert tried["float"].startswith("the detection head, the neck")
    assert {row["set"] for row in tried["rows"]} == {"drawn"}
    assert tried["passed"] == (not tried["problems"]) == file.exists()
    assert set(found["inference ms, median of ten in turns"]) == {"fp32", "int8"}
    page = (out / "road4-n-416.md").read_text()
    assert page.strip() == capsys.readouterr().out.strip()
    assert page.count("| drawn |") == len(tried["rows"])
    assert ("does not pass the gate" in page) == bool(tried["problems"])


def test_what_it_cannot_use_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quantized.main(["raod4-n", "--out", str(tmp_path)]) == 2
    assert "no model named 'raod4-n'" in capsys.readouterr().err
    words = ["road4-n-416", "--out", str(tmp_path), "--data", str(tmp_path / "none.yaml")]
    assert quantized.main(words) == 2
    said = capsys.readouterr().err
    assert "none.yaml" in said
    assert len(said.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over_what_is_not_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = write_dataset(tmp_path / "drawn", frames=16, seed=3, val_share=0.25)
    card = tmp_path / "zoo" / "road4-n-416.md"
    card.parent.mkdir()
    card.write_text("a card")
    described = drawn.read_text()
    words = ["road4-n-416", "--data", str(drawn)]
    assert quantized.main([*words, "--out", str(card.parent)]) == 2
    assert "holds what oneglance did not make" in capsys.readouterr().err
    assert quantized.main([*words, "--out", str(tmp_path / "new"), "--file", str(drawn)]) == 2
    assert list(card.parent.iterdir()) == [card]
    assert card.read_text() == "a card"
    assert drawn.read_text() == described
