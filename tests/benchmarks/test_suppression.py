"""Rules of suppression are compared on the same outputs of one network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("faster_coco_eval", reason="needs the 'train' extra")

from benchmarks import road4, suppression
from benchmarks.suppression import Remembered
from oneglance.models.decode import PLAIN_SUPPRESSION, SUPPRESSION
from oneglance.models.engines.loading import load_engine
from oneglance.models.training.evaluation.coco import EVALUATION_CONFIDENCE, evaluate_file
from oneglance.models.zoo import resolve_model
from oneglance.streams.rendered.dataset import write_dataset

MODEL = "road4-n-416"


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A drawn set, the only one that there is."""
    file = write_dataset(tmp_path / "set", frames=12, seed=5)
    monkeypatch.setattr(road4, "SETS", {"drawn": road4.Source(file)})
    return file


def test_outputs_are_computed_once_and_repeated_without_what_no_rule_looks_at() -> None:
    engine = load_engine(resolve_model(MODEL))
    remembered = Remembered(engine)
    random = np.random.default_rng(1)
    inputs = [random.random((1, 3, 256, 416), np.float32) for _ in range(2)]
    first = [remembered.run(tensor)[0] for tensor in inputs]
    remembered.rewind()
    assert [remembered.run(np.zeros_like(inputs[0]))[0] is each for each in first] == [True, True]
    whole, _ = engine.run(inputs[0])
    counted = whole[:, :, whole[0, 4:].max(axis=0) >= EVALUATION_CONFIDENCE]
    assert 0 < counted.shape[2] < whole.shape[2]
    np.testing.assert_allclose(first[0], counted, atol=1e-4)


def test_scores_are_those_of_an_evaluation(drawn: Path) -> None:
    both = (PLAIN_SUPPRESSION, SUPPRESSION)
    plain, ours = suppression.scores(resolve_model(MODEL), ["drawn"], "val", rules=both)
    usual = evaluate_file(MODEL, drawn).tasks
    assert ours == {f"drawn {t.value}": (a.map50, a.map50_95) for t, a in usual.items()}
    assert plain.keys() == ours.keys()
    assert plain != ours


def test_the_report_has_every_rule_and_marks_ours(drawn: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert suppression.main([MODEL, "--out", str(out)]) == 0
    found = json.loads((out / "suppression.json").read_text())
    assert len(found["train"]) == len(suppression.RULES)
    lines = (out / "suppression.md").read_text().splitlines()
    assert sum(line.startswith(f"| **{SUPPRESSION.iou:g}** |") for line in lines) == 1
    assert sum(line.startswith("| drawn ") for line in lines) == len(found["val"][0]["scores"]) > 0


@pytest.mark.parametrize("name", ["file", "file/below", "suppression.json"])
def test_a_folder_that_cannot_be_written_is_refused_before_the_work(
    name: str, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / name
    if name == "suppression.json":  # a folder where the file is to be
        out.mkdir()
        out = tmp_path
    else:
        (tmp_path / "file").touch()
    assert suppression.main([MODEL, "--out", str(out)]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("suppression: cannot write ")
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert drawn.exists()


def test_a_model_or_a_set_that_is_not_there_is_named(
    drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert suppression.main(["road5", "--out", str(tmp_path / "out")]) == 2
    assert "road5" in capsys.readouterr().err
    drawn.unlink()
    assert suppression.main([MODEL, "--out", str(tmp_path / "out")]) == 2
    assert str(drawn) in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
