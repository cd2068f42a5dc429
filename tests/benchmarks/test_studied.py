"""A study's own files, timed and scored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="cuts ONNX graphs")
pytest.importorskip("faster_coco_eval", reason="needs the 'eval' extra")

from benchmarks.options import Options, check, parser
from benchmarks.parts import accuracy
from benchmarks.parts.derived_models import cut
from benchmarks.report import results
from benchmarks.scoring import middle, paired, scores_of
from oneglance.models import Task
from oneglance.models.training.data.datasets import read_dataset
from oneglance.models.training.evaluation.coco import evaluate_file
from oneglance.models.zoo import DEFAULT, resolve_model
from oneglance.streams import DataError, UsageError
from oneglance.streams.rendered.dataset import write_dataset

MODEL = resolve_model(DEFAULT)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered frames with labels: four to train on, eight to score on."""
    folder = tmp_path_factory.mktemp("rendered")
    return write_dataset(folder, frames=12, seed=3, size=(544, 320), val_share=0.67)


@pytest.fixture(scope="module")
def study(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study's folder with the zoo's network for all tasks and three of it for one task each."""
    folder = tmp_path_factory.mktemp("study")
    one = folder / "arms" / "one.s1"
    one.mkdir(parents=True)
    shutil.copy(MODEL, one / "model.onnx")
    files = {"data": [str(rendered)], "scored_on": [str(rendered)]}
    (one / "arm.json").write_text(json.dumps(files))
    for task in (Task.PEDESTRIAN, Task.CAR, Task.SIGN):
        cut(MODEL, task, folder / "arms" / f"{task.value}.s1" / "model.onnx")
    return folder


def _asked(drive: Path, *words: object) -> Options:
    arguments = parser(None, rounds=1, frames=2)
    return check(arguments.parse_args(["--clip", *map(str, (drive, *words))]))


def test_a_study_brings_its_models_and_data(drive: Path, study: Path, rendered: Path) -> None:
    asked = _asked(drive, "--study", study, "--seed", 1)
    arms = study / "arms"
    assert asked.model == (arms / "one.s1" / "model.onnx").resolve()
    assert asked.weights == arms / "one.s1" / "model.pt"
    assert asked.data == (rendered,)
    assert asked.four is not None
    assert asked.four[Task.LIGHT] == arms / "light.s1" / "model.onnx"


def test_a_study_that_cannot_be_used_is_refused_in_one_sentence(
    drive: Path, study: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="is no folder of 'oneglance study'"):
        _asked(drive, "--study", tmp_path)
    with pytest.raises(UsageError, match=r"with seed 0 \(--seed\) yet"):
        _asked(drive, "--study", study)
    with pytest.raises(UsageError, match="leave --weights out"):
        _asked(drive, "--study", study, "--seed", 1, "--weights", "model.pt")
    broken = tmp_path / "arms" / "one.s0"
    broken.mkdir(parents=True)
    (broken / "model.onnx").write_bytes(b"")
    (broken / "arm.json").write_text("[]")
    with pytest.raises(DataError, match=r"arm\.json is missing or damaged"):
        _asked(drive, "--study", tmp_path)


def test_scores_are_those_of_eval_and_equal_networks_differ_in_no_draw(
    study: Path, rendered: Path
) -> None:
    datasets = [read_dataset(rendered)]
    one = scores_of(MODEL, datasets)
    expected = evaluate_file(MODEL, rendered).tasks
    assert {score.task: score.map50_95 for score in one} == {
        task: found.map50_95 for task, found in expected.items()
    }
    ours, same = (middle(scores, Task.CAR) for scores in (one, scores_of(MODEL, datasets)))
    assert ours is not None
    assert same is not None
    assert ours.draws.std() > 0
    less = paired(ours, same)
    assert (less.value, less.low, less.high) == (0, 0, 0)


def test_images_that_another_set_trains_on_are_not_scored_on(
    rendered: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.yaml"
    val = sorted((rendered.parent / "images" / "val").glob("*"))
    (tmp_path / "some.txt").write_text("\n".join(map(str, val[:2])))
    names = "names: {0: pedestrian, 1: car, 2: sign, 3: light}"
    other.write_text(f"path: {tmp_path}\ntrain: some.txt\n{names}\n")
    found = scores_of(MODEL, [read_dataset(rendered), read_dataset(other)])
    assert {score.images for score in found} == {len(val) - 2}


def test_the_table_pairs_each_task_with_its_single_task_model_and_names_the_one_missing(
    drive: Path, study: Path
) -> None:
    part = accuracy.measure_accuracy(_asked(drive, "--study", study, "--seed", 1))
    claims = {claim.name: claim for claim in part.claims}
    assert set(claims) == {"accuracy.pedestrian", "accuracy.car", "accuracy.sign"}
    # A cut network gives the whole one's boxes; only the limit of boxes an image is its own.
    assert all(abs(claim.value) < 0.05 for claim in claims.values())
    assert any("light.s1" in hole for hole in part.holes)
    assert "sha256 of the four" not in part.facts
    figures = {figure.name for figure in part.figures}
    assert "accuracy.four.car.map50_95" in figures
    assert "accuracy.four.light.map50_95" not in figures
    rows = {row[0]: row for row in part.tables[0].rows}
    assert rows["light"][-3:] == (results.NONE,) * 3
