"""Weights out of a published file: they compute what it computes, and can be trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the 'train' extra")

import onnxruntime

from benchmarks import from_published
from oneglance.models import zoo
from oneglance.models.training.checkpoints import read_checkpoint
from oneglance.models.training.fit.bases import check_base
from oneglance.models.training.fit.heads import last_layer
from onnx_models import seeing_model


def test_a_published_file_becomes_weights_that_compute_the_same(
    shared: Path, tmp_path: Path
) -> None:
    base, out = shared / "weights" / "yolo26n-coco.pt", tmp_path / "road4-n.pt"
    file = zoo.FOLDER / "road4-n.onnx"
    assert from_published.main([str(file), "--base", str(base), "--out", str(out)]) == 0
    network = read_checkpoint(out)
    check_base(network, out, (640, 384))  # BatchNorm and both heads are there
    image = np.random.default_rng(0).random((1, 3, 384, 640), np.float32)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    wanted = session.run(None, {session.get_inputs()[0].name: image})[0]
    last_layer(network).end2end = False  # the file has the one-to-many head
    with torch.no_grad():
        found = network(torch.from_numpy(image))[0].numpy()
    assert np.abs(found[:, :4] - wanted[:, :4]).max() < 0.05
    assert np.abs(found[:, 4:] - wanted[:, 4:]).max() < 1e-3
    norms = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert len({round(float(layer.running_var.mean()), 4) for layer in norms}) > len(norms) / 2


def test_a_file_of_another_kind_is_refused(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, out = shared / "weights" / "yolo26n-coco.pt", tmp_path / "a.pt"
    other = seeing_model(tmp_path / "seeing.onnx")
    assert from_published.main([str(other), "--base", str(base), "--out", str(out)]) == 2
    assert "it is no network of the kind of" in capsys.readouterr().err
    assert not out.exists()


def test_what_is_read_is_not_written_and_a_place_that_cannot_be_is_said_before(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tmp_path / "base.pt"
    base.write_bytes((shared / "weights" / "yolo26n-coco.pt").read_bytes())
    file = str(zoo.FOLDER / "road4-n.onnx")
    before = base.read_bytes()
    for out, said in ((base, "which is read"), (base / "a.pt", "is not a folder")):
        assert from_published.main([file, "--base", str(base), "--out", str(out)]) == 2
        assert said in capsys.readouterr().err
    assert base.read_bytes() == before


def test_a_file_that_is_not_there_and_data_that_is_not_are_named(
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    base = str(shared / "weights" / "yolo26n-coco.pt")
    out = tmp_path / "a.pt"
    missing = tmp_path / "missing.onnx"
    assert from_published.main([str(missing), "--base", base, "--out", str(out)]) == 2
    assert f"cannot read model {missing}" in capsys.readouterr().err
    monkeypatch.setattr("benchmarks.road4.SETS", {})
    file = str(zoo.FOLDER / "road4-n.onnx")
    assert from_published.main([file, "--base", base, "--out", str(out)]) == 2
    assert "none of the training sets is there" in capsys.readouterr().err
    assert not out.exists()
