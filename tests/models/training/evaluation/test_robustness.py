"""Accuracy under conditions, by hand and through the program."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("faster_coco_eval", reason="needs the 'eval' extra")
pytest.importorskip("imagecorruptions", reason="needs the 'conditions' extra")

from oneglance.models import Detector, Task
from oneglance.models.training.data.datasets import read_dataset
from oneglance.models.training.evaluation.coco import (
    EVALUATION_CONFIDENCE,
    Evaluation,
    TaskAccuracy,
    detect,
    detect_altered,
    evaluate,
)
from oneglance.models.training.evaluation.conditions import (
    Condition,
    Pixels,
    Severity,
    apply_condition,
)
from oneglance.models.training.evaluation.robustness import Robustness, evaluate_under_conditions
from oneglance.streams.errors import UsageError
from onnx_models import build_model, seeing_model

# A car at (4, 4) to (20, 16) of 64×32, wherever the model looks.
CAR = "1 0.1875 0.3125 0.25 0.375"
PERFECT = np.array([[[4, 4, 20, 16, 0.9, 1]]], np.float32)


def cars(map50: float, map50_95: float) -> Evaluation:
    return Evaluation(1, {Task.CAR: TaskAccuracy(map50, map50_95, 10)})


def test_mpc_is_the_mean_and_rpc_what_it_is_of_the_clean_score() -> None:
    found = Robustness(
        cars(0.8, 0.5),
        {
            (Condition.FOG, Severity.MIDDLE): cars(0.6, 0.4),
            (Condition.NIGHT, Severity.MIDDLE): cars(0.2, 0.1),
            (Condition.NIGHT, Severity.STRONG): cars(0.0, 0.1),
        },
    )
    assert found.mpc(Task.CAR) == pytest.approx(0.2)
    assert found.rpc(Task.CAR) == pytest.approx(0.4)
    assert found.kept(Task.CAR, Condition.FOG, Severity.MIDDLE) == pytest.approx(0.75)
    condition, share = found.worst(Task.CAR)
    assert condition is Condition.NIGHT
    assert share == pytest.approx(0.25)
    assert found.as_dict()["worst"] == {
        "middle": {"car": {"condition": "night", "kept": pytest.approx(0.25)}},
        "strong": {"car": {"condition": "night", "kept": 0.0}},
    }


def test_nothing_is_kept_of_a_task_that_is_never_found() -> None:
    found = Robustness(cars(0.0, 0.0), {(Condition.FOG, Severity.MILD): cars(0.0, 0.0)})
    assert found.tasks == []
    assert found.as_dict()["rpc"] == {}


def test_the_clean_score_is_that_of_evaluate(make_set: Any, tmp_path: Path) -> None:
    dataset = read_dataset(make_set(val={"a": CAR, "b": ""}, size=(64, 32)))
    model = Detector.load(
        build_model(tmp_path / "m.onnx", PERFECT), confidence=EVALUATION_CONFIDENCE
    )
    found = evaluate_under_conditions(model, dataset, conditions=[Condition.RAIN])
    assert found.clean == evaluate(model, dataset)
    assert set(found.under) == {(Condition.RAIN, severity) for severity in Severity}


def test_what_is_found_under_a_condition_is_found_on_images_altered_before(
    make_set: Any, tmp_path: Path
) -> None:
    labels = dict.fromkeys("abc", CAR)
    clean, dark = make_set(val=labels), make_set("dark", val=labels)

    def night(image: Pixels, number: int) -> Pixels:
        return apply_condition(image, Condition.NIGHT, Severity.STRONG, seed=number)

    for number, name in enumerate("abc", 1):
        image = cv2.imread(str(clean.parent / "images" / "val" / f"{name}.jpg"))
        assert image is not None
        (dark.parent / "images" / "val" / f"{name}.jpg").unlink()
        altered = night(np.asarray(image, np.uint8), number)
        cv2.imwrite(str(dark.parent / "images" / "val" / f"{name}.png"), altered)
    model = Detector.load(seeing_model(tmp_path / "m.onnx"), confidence=EVALUATION_CONFIDENCE)
    as_is, by_night = detect_altered(model, read_dataset(clean), [lambda image, _: image, night])
    assert by_night.predictions == detect(model, read_dataset(dark)).predictions
    assert as_is.predictions == detect(model, read_dataset(clean)).predictions
    assert as_is.predictions != by_night.predictions


def test_a_set_labelled_in_part_has_no_map_that_could_change(make_set: Any, tmp_path: Path) -> None:
    model = Detector.load(build_model(tmp_path / "m.onnx", PERFECT))
    file = make_set(val={"a": CAR}, size=(64, 32), labels={"car": "partial"})
    with pytest.raises(UsageError, match="labels every task in part"):
        evaluate_under_conditions(model, read_dataset(file), conditions=[], severities=[])


def test_the_program_shows_a_row_for_each_condition_draws_them_and_writes_json(
    make_set: Any, tmp_path: Path, oneglance: Any
) -> None:
    model = build_model(tmp_path / "m.onnx", PERFECT)
    file = make_set(val={"a": CAR}, size=(64, 32))
    plot, link, facts = tmp_path / "plot.png", tmp_path / "link.png", tmp_path / "out.json"
    link.symlink_to(plot)
    outcome = oneglance("eval", model, file, "--conditions", "--plot", link, "--json", facts)
    assert outcome.code == 0
    assert link.is_symlink()
    for condition in Condition:
        # The model has its answer whatever it sees.
        assert re.search(rf"^ ?{condition} +1\.00 1\.00 1\.00", outcome.out, re.MULTILINE)
    written = json.loads(facts.read_text())
    assert set(written["conditions"]) == {c.value for c in Condition}
    assert written["rpc"] == {"car": 1.0}
    assert re.search(r"^ ?worst +night 100%", outcome.out, re.MULTILINE)
    assert written["tasks"]["car"]["by_size"] == {"small": 1.0}
    assert written["conditions"]["glare"]["strong"]["car"]["by_size"] == {"small": 1.0}
    image = cv2.imread(str(plot))
    assert image is not None
    assert image.std() > 5


def test_a_plot_without_conditions_and_a_missing_package_are_one_sentence(
    make_set: Any, tmp_path: Path, oneglance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, file = build_model(tmp_path / "m.onnx", PERFECT), make_set(val={"a": CAR})
    outcome = oneglance("eval", model, file, "--plot", tmp_path / "plot.png")
    assert outcome.code == 2
    assert "--plot draws what --conditions measures: give both" in outcome.err
    monkeypatch.setitem(sys.modules, "imagecorruptions", None)
    outcome = oneglance("eval", model, file, "--conditions")
    assert outcome.code == 2
    assert "pip install 'oneglance[conditions]'" in outcome.err
