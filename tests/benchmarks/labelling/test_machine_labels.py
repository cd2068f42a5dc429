"""Labels by machine, in a set that a study can score on."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("ultralytics", reason="needs the 'train' extra")
pytest.importorskip("faster_coco_eval", reason="needs the 'eval' extra")

from benchmarks.labelling.machine_labels import CONFIDENCE, label, main
from oneglance.models import Detector, Task
from oneglance.models.training.data.datasets import read_dataset
from oneglance.models.training.evaluation.coco import EVALUATION_CONFIDENCE, evaluate
from oneglance.models.zoo import DEFAULT
from oneglance.streams.rendered.dataset import write_dataset


@pytest.fixture(scope="module")
def signs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered frames of which the signs alone are labelled."""
    folder = tmp_path_factory.mktemp("signs")
    file = write_dataset(folder, frames=12, seed=3, size=(544, 320), val_share=0.67)
    file.write_text(file.read_text() + "labels: [sign]\n")
    return file


def test_the_network_that_labelled_is_right_by_its_own_labels(signs: Path, tmp_path: Path) -> None:
    label(read_dataset(signs), Detector.load(DEFAULT, confidence=CONFIDENCE), tmp_path / "out")
    made = read_dataset(tmp_path / "out" / "data.yaml")
    assert made.labelled_tasks == {Task.PEDESTRIAN, Task.CAR, Task.LIGHT}
    assert "train" not in made.folders
    images = made.images("val")
    assert [i.resolve() for i in images] == [i.resolve() for i in read_dataset(signs).images("val")]
    found = evaluate(Detector.load(DEFAULT, confidence=EVALUATION_CONFIDENCE), made)
    assert found.tasks[Task.CAR].boxes > 3
    # Box for box: what it is not sure enough of to label comes after all that it labelled.
    assert all(a.map50_95 == pytest.approx(1) for a in found.tasks.values())


def test_what_cannot_be_labelled_is_reported_in_one_line(
    signs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ("--base", str(tmp_path / "none.pt"))
    assert main([str(signs), *base, "--out", str(tmp_path)]) == 2
    assert main([str(signs), *base, "--out", str(tmp_path / "out"), "--size", "big"]) == 2
    assert main([str(signs), *base, "--out", str(tmp_path / "out")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[0] for line in lines] == ["machine_labels"] * 3
    assert "give another --out" in lines[0]
    assert "like 832x832, not big" in lines[1]
    assert "none.pt" in lines[2]
    assert not (tmp_path / "out").exists()
