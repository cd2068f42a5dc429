from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("faster_coco_eval", reason="needs the 'eval' extra")

from oneglance.models import Detector, Task
from oneglance.models.tasks import FOUR_TASKS
from oneglance.models.training.audit.unlabelled import SURE, unlabelled_objects, write_candidates
from oneglance.models.training.data.datasets import read_dataset
from oneglance.streams.errors import DataError, SinkError
from onnx_models import build_model

# In 64×32 pixels: a sure sign, another one, a car, and a sign that it is not sure of.
SEEN = [
    [4, 4, 20, 20, 0.9, 2],
    [40, 8, 56, 24, 0.8, 2],
    [24, 4, 36, 12, 0.7, 1],
    [24, 20, 36, 28, 0.3, 2],
]
FIRST_SIGN = "2 0.1875 0.375 0.25 0.5"


@pytest.fixture
def detector(tmp_path: Path) -> Detector:
    file = build_model(tmp_path / "m.onnx", np.array([SEEN], np.float32))
    return Detector.load(file, confidence=SURE)


def test_what_a_model_is_sure_of_and_no_box_covers_is_listed(
    make_set: Any, detector: Detector
) -> None:
    file = make_set(train={"a": FIRST_SIGN}, labels={"sign": "partial"}, size=(64, 32))
    (one,) = unlabelled_objects(detector, read_dataset(file))
    # The first sign has a box, cars are not labelled at all.
    assert (one.task, one.split, one.image.name) == (Task.SIGN, "train", "a.jpg")
    assert one.confidence == pytest.approx(0.8)
    assert one.xyxy == pytest.approx((40, 8, 56, 24))


def test_the_surest_come_first_of_all_splits_and_tasks(make_set: Any, detector: Detector) -> None:
    file = make_set(train={"a": FIRST_SIGN}, val={"b": ""}, size=(64, 32))
    found = unlabelled_objects(detector, read_dataset(file))
    assert [round(one.confidence, 3) for one in found] == [0.9, 0.8, 0.8, 0.7, 0.7]
    assert {one.split for one in found} == {"train", "val"}


def test_what_lies_in_a_region_of_which_nothing_is_known_is_no_news(
    make_set: Any, detector: Detector
) -> None:
    names = {0: "pedestrian", 1: "car", 2: "sign", 3: "light", 4: "DontCare"}
    file = make_set(train={"a": f"{FIRST_SIGN}\n4 0.5 0.5 1 1"}, names=names, size=(64, 32))
    assert unlabelled_objects(detector, read_dataset(file)) == []


def test_the_list_has_a_crop_of_each_to_look_at(
    make_set: Any, detector: Detector, tmp_path: Path
) -> None:
    file = make_set(train={"a": FIRST_SIGN}, labels=["sign"], size=(64, 32))
    found = unlabelled_objects(detector, read_dataset(file))
    written = write_candidates(found, tmp_path / "look")
    with written.open(encoding="utf-8", newline="") as lines:
        (row,) = csv.DictReader(lines)
    assert (row["task"], row["confidence"], row["x1"]) == ("sign", "0.800", "40.0")
    crop = cv2.imread(str(tmp_path / "look" / "crops" / "0001-sign.jpg"))
    # 16 px, half of it and 8 px more on each side, as far as the image goes.
    assert crop is not None
    assert crop.shape == (32, 40, 3)
    assert write_candidates([], tmp_path / "look").read_text().count("\n") == 1
    assert not (tmp_path / "look" / "crops").exists()


def test_nothing_of_the_users_is_written_over(
    make_set: Any, detector: Detector, tmp_path: Path
) -> None:
    file = make_set(train={"a": ""}, size=(64, 32))
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    with pytest.raises(SinkError, match="mine"):
        write_candidates(unlabelled_objects(detector, read_dataset(file)), mine)
    assert [entry.name for entry in mine.iterdir()] == ["notes.txt"]


def test_a_model_of_other_tasks_is_refused(make_set: Any, tmp_path: Path) -> None:
    lights = build_model(
        tmp_path / "lights.onnx",
        np.array([[[40, 8, 56, 24, 0.8, 0]]], np.float32),
        classes=FOUR_TASKS[3:],
    )
    dataset = read_dataset(make_set(train={"a": ""}, labels=["sign"]))
    with pytest.raises(DataError, match="model lights finds none of it"):
        unlabelled_objects(Detector.load(lights, confidence=SURE), dataset)


def test_the_command_lists_them_and_says_where(
    make_set: Any, oneglance: Any, detector: Detector, tmp_path: Path
) -> None:
    file = make_set(train={"a": FIRST_SIGN}, labels={"sign": "partial"}, size=(64, 32))
    folder = tmp_path / "look"
    model = tmp_path / "m.onnx"
    words = " ".join(oneglance("audit", file, "--model", model, "--candidates", folder).out.split())
    assert "likely objects without a box (m, confidence 0.5 and more): 1 sign" in words
    assert (folder / "candidates.csv").is_file()
