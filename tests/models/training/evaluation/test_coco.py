"""mAP held equal to pycocotools, the reference tool, and what a model is scored on."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("faster_coco_eval", reason="needs the 'eval' extra")
pycocotools_coco = pytest.importorskip("pycocotools.coco", reason="the reference tool")
pycocotools_eval = pytest.importorskip("pycocotools.cocoeval", reason="the reference tool")

from oneglance.models import Detector, Task
from oneglance.models.metadata import Head
from oneglance.models.tasks import FOUR_TASKS, LIGHT_COLOURS
from oneglance.models.training.data.datasets import read_dataset
from oneglance.models.training.evaluation.coco import (  # type: ignore[attr-defined]
    CATEGORY,
    EVALUATION_CONFIDENCE,
    TaskAccuracy,
    detect,
    evaluate,
    evaluate_file,
    score,
)
from oneglance.streams.errors import DataError
from onnx_models import build_model, seeing_model
from present import present


def reference(
    truth: dict[str, Any], predictions: list[dict[str, Any]], task: Task
) -> tuple[float, float]:
    """(mAP50, mAP50-95) of one task by pycocotools."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = pycocotools_coco.COCO()
        coco.dataset = truth
        coco.createIndex()
        judge = pycocotools_eval.COCOeval(coco, coco.loadRes(predictions), "bbox")
        judge.params.catIds = [CATEGORY[task]]
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge.stats[1], judge.stats[0]


def random_case(seed: int, *, crowds: float = 0.0) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Labelled boxes of all sizes and tasks in 20 images, and guesses near them and anywhere."""
    random = np.random.default_rng(seed)
    truth: dict[str, Any] = {
        "images": [{"id": i, "width": 640, "height": 384} for i in range(1, 21)],
        "categories": [{"id": CATEGORY[task], "name": task.value} for task in Task],
        "annotations": [],
    }
    guesses = []
    for image in range(1, 21):
        for _ in range(random.integers(0, 12)):
            box = [*random.uniform(0, 400, 2), *random.uniform(4, 150, 2)]
            category = int(random.integers(1, 5))
            truth["annotations"].append(
                {
                    "id": len(truth["annotations"]) + 1,
                    "image_id": image,
                    "category_id": category,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": int(random.random() < crowds) if crowds else 0,
                }
            )
            for _ in range(random.integers(0, 3)):
                near = [side + random.normal(0, 5) for side in box[:2]] + box[2:]
                wrong = random.random() < 0.1
                guesses.append(
                    {
                        "image_id": image,
                        "category_id": 1 + category % 4 if wrong else category,
                        "bbox": near,
                        # Few levels, so that equal scores occur.
                        "score": float(random.integers(1, 20)) / 20,
                    }
                )
    return truth, guesses


@pytest.mark.parametrize("seed", range(5))
def test_map_is_the_reference_tools_on_random_boxes(seed: int) -> None:
    truth, guesses = random_case(seed)
    for task in Task:
        found = score(truth, guesses, task)
        assert found is not None
        assert 0.05 < found.map50_95 < found.map50 < 0.95  # a case with something to get wrong
        expected = reference(truth, guesses, task)
        assert (found.map50, found.map50_95) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_regions_of_which_nothing_is_known_are_the_reference_tools_crowds(seed: int) -> None:
    truth, guesses = random_case(seed, crowds=0.3)
    for task in Task:
        found = score(truth, guesses, task)
        assert found is not None
        expected = reference(truth, guesses, task)
        assert (found.map50, found.map50_95) == pytest.approx(expected, abs=1e-9)
        mine = [a for a in truth["annotations"] if a["category_id"] == CATEGORY[task]]
        assert found.boxes == sum(not a["iscrowd"] for a in mine) < len(mine)


def test_detections_in_a_dontcare_region_are_neither_right_nor_wrong(
    make_set: Any, tmp_path: Any
) -> None:
    # The model sees a pedestrian in both images alike; only in b there is one.
    detector = Detector.load(seeing_model(tmp_path / "seeing.onnx"), confidence=0.001)
    names = {0: "pedestrian", 1: "car", 2: "sign", 3: "light", 4: "DontCare"}
    there = "0 0.78125 0.4375 0.1875 0.375"
    for folder, elsewhere, expected in (("bare", "", 0.5), ("whole", "4 0.5 0.5 1 1", 1.0)):
        dataset = read_dataset(make_set(folder, val={"a": elsewhere, "b": there}, names=names))
        found = detect(detector, dataset)
        assert evaluate(detector, dataset).tasks.keys() == {Task.PEDESTRIAN}
        accuracy = score(found.ground_truth, found.predictions, Task.PEDESTRIAN)
        assert accuracy is not None
        assert accuracy.boxes == 1
        assert accuracy.map50 == pytest.approx(expected, abs=0.01)


def test_a_task_without_a_label_has_no_score_and_one_without_a_guess_has_none() -> None:
    truth, guesses = random_case(0)
    signs = [g for g in guesses if g["category_id"] == CATEGORY[Task.SIGN]]
    found = score(truth, signs, Task.CAR)
    assert found is not None
    assert (found.map50, found.map50_95) == (0, 0)
    truth["annotations"] = [a for a in truth["annotations"] if a["category_id"] != 2]
    assert score(truth, guesses, Task.CAR) is None


def test_a_model_file_scores_as_the_reference_tool_scores_its_detections(
    make_set: Any, tmp_path: Any
) -> None:
    # The model sees a car and a pedestrian that widen with brightness: 64×48 images in 64×32
    # are shrunk by 2/3, so the car (4, 4, 20+, 16) lies at (6, 6) less the padding of 10.67 px.
    random = np.random.default_rng(4)
    labels = {}
    for i in range(12):
        lines = []
        for class_id, (x, y) in ((0, (0.72, 0.44)), (1, (0.04, 0.32)), (2, (0.8, 0.1))):
            dx, dy = random.normal(0, 0.03, 2)
            lines.append(f"{class_id} {x + dx:.4f} {y + dy:.4f} 0.3 0.35")
        labels[f"{i}"] = "\n".join(lines)
    dataset = read_dataset(make_set(train=labels))
    model = Detector.load(seeing_model(tmp_path / "m.onnx"), confidence=EVALUATION_CONFIDENCE)
    truth, guesses = coco_of(dataset, model)
    found = evaluate(model, dataset, split="train")
    assert found.images == 12
    assert set(found.tasks) == {Task.PEDESTRIAN, Task.CAR, Task.SIGN}
    for task, accuracy in found.tasks.items():
        assert accuracy.boxes == 12
        expected = reference(truth, guesses, task)
        assert (accuracy.map50, accuracy.map50_95) == pytest.approx(expected, abs=1e-6)
    assert max(accuracy.map50 for accuracy in found.tasks.values()) > 0.05


@pytest.mark.parametrize("seed", range(3))
def test_accuracy_by_size_is_that_of_the_reference_tool(seed: int) -> None:
    truth, guesses = random_case(seed)
    found = score(truth, guesses, Task.CAR)
    assert found is not None
    with contextlib.redirect_stdout(io.StringIO()):
        coco = pycocotools_coco.COCO()
        coco.dataset = truth
        coco.createIndex()
        judge = pycocotools_eval.COCOeval(coco, coco.loadRes(guesses), "bbox")
        judge.params.catIds = [CATEGORY[Task.CAR]]
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    sizes = zip(("small", "medium", "large"), judge.stats[3:6], strict=True)
    expected = {size: value for size, value in sizes if value >= 0}  # -1: there is no such box
    assert len(expected) > 1
    assert found.by_size == pytest.approx(expected, abs=1e-6)


def coco_of(dataset: Any, model: Detector) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Labels and detections in COCO's form, read here without the code under test."""
    truth: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": CATEGORY[task], "name": task.value} for task in Task],
    }
    guesses = []
    folder = dataset.file.parent
    for number, path in enumerate(sorted((folder / "images" / "train").iterdir()), 1):
        image = present(cv2.imread(str(path)))
        height, width = image.shape[:2]
        truth["images"].append({"id": number, "width": width, "height": height})
        text = (folder / "labels" / "train" / f"{path.stem}.txt").read_text()
        for line in text.splitlines():
            class_id, x, y, w, h = map(float, line.split())
            box = [(x - w / 2) * width, (y - h / 2) * height, w * width, h * height]
            # The label reader cuts what leaves the image.
            right, bottom = min(box[0] + box[2], width), min(box[1] + box[3], height)
            box[:2] = max(box[0], 0), max(box[1], 0)
            box[2:] = right - box[0], bottom - box[1]
            truth["annotations"].append(
                {
                    "id": len(truth["annotations"]) + 1,
                    "image_id": number,
                    "category_id": int(class_id) + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
        found = model(image)  # type: ignore[arg-type]
        assert found.confidence is not None
        for box, confidence, name in zip(
            found.xyxy.tolist(), found.confidence, found.data["class_name"], strict=True
        ):
            x1, y1, x2, y2 = box
            guesses.append(
                {
                    "image_id": number,
                    "category_id": CATEGORY[Task(name)],
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "score": float(confidence),
                }
            )
    return truth, guesses


# A car at (4, 4) to (20, 16) of 64×32: in 64×32 images, as labelled in the first of these lines.
PERFECT = np.array([[[4, 4, 20, 16, 0.9, 1], [40, 8, 56, 24, 0.8, 3]]], np.float32)
CAR = "1 0.1875 0.3125 0.25 0.375"
LIGHT = "3 0.75 0.5 0.25 0.5"


def test_a_perfect_model_scores_one_on_what_is_labelled_and_nothing_else(
    make_set: Any, tmp_path: Any
) -> None:
    model = build_model(tmp_path / "perfect.onnx", PERFECT)
    file = make_set(val={"a": CAR, "b": CAR}, names=["person", "car"], size=(64, 32))
    # The lights it sees are no false alarm: the set does not label lights.
    found = evaluate_file(model, file)
    one: Any = pytest.approx(1.0)
    assert found.tasks == {Task.CAR: TaskAccuracy(one, one, 2, {"small": one})}


def test_an_image_without_objects_counts_its_false_alarms(make_set: Any, tmp_path: Any) -> None:
    model = build_model(tmp_path / "perfect.onnx", PERFECT)
    found = evaluate_file(model, make_set(val={"a": "", "b": "", "c": CAR}, size=(64, 32)))
    # Of equal confidence, so in the order of the images: false, false, true. Precision 1/3.
    assert found.tasks[Task.CAR].map50 == pytest.approx(1 / 3)


def test_a_model_of_one_task_is_scored_on_that_task(make_set: Any, tmp_path: Any) -> None:
    model = build_model(tmp_path / "m.onnx", PERFECT)
    dataset = read_dataset(make_set(val={"a": f"{CAR}\n{LIGHT}"}, size=(64, 32)))
    signs = read_dataset(make_set("signs", val={"a": ""}, names=["sign"]))
    whole = Detector.load(model, confidence=EVALUATION_CONFIDENCE)
    assert set(evaluate(whole, dataset).tasks) == {Task.CAR, Task.LIGHT}
    lights = build_model(
        tmp_path / "lights.onnx",
        np.array([[[40, 8, 56, 24, 0.8, 0]]], np.float32),
        classes=FOUR_TASKS[3:],
    )
    light = Detector.load(lights, confidence=EVALUATION_CONFIDENCE)
    assert set(evaluate(light, dataset).tasks) == {Task.LIGHT}
    with pytest.raises(DataError, match="labels sign, model lights does light: nothing to score"):
        evaluate(light, signs)


def test_colours_are_judged_on_the_lights_that_are_found(
    make_set: Any, tmp_path: Any, oneglance: Any
) -> None:
    # Class 1 is light_red; it is sure of one light, and unsure of another that is there too.
    output = np.array([[[40, 8, 56, 24, 0.8, 1], [4, 4, 20, 16, 0.1, 1]]], np.float32)
    classes = (FOUR_TASKS[3], *LIGHT_COLOURS)
    model = build_model(tmp_path / "m.onnx", output, classes=classes)
    there, unsure = "0.75 0.5 0.25 0.5", "0.1875 0.3125 0.25 0.375"
    file = make_set(
        val={"a": f"1 {there}\n1 {unsure}", "b": f"1 {there}", "c": f"0 {there}"},
        names=["green", "red", "yellow"],
        size=(64, 32),
    )
    found = evaluate_file(model, file)
    assert (found.subclasses[Task.LIGHT].correct, found.subclasses[Task.LIGHT].found) == (2, 3)
    assert found.tasks[Task.LIGHT].boxes == 4
    shown = oneglance("eval", model, file)
    assert "66.7% of 3 found have the right subclass (0 have none); 66.7% of those" in shown.out
    rows = [line.split() for line in shown.out.splitlines()]
    assert ["light_green", "1", "0", "(0%)", "1", "(100%)", "0", "(0%)"] in rows
    assert ["light_red", "2", "2", "(100%)", "0", "(0%)", "0", "(0%)"] in rows
    assert evaluate_file(build_model(tmp_path / "parents.onnx", PERFECT), file).subclasses == {}


def test_both_heads_score_the_same(make_set: Any, tmp_path: Any) -> None:
    columns = np.zeros((1, 8, 2), np.float32)
    columns[0, :4] = np.array([[12, 10, 16, 12], [48, 16, 16, 16]]).T  # PERFECT as cx cy w h
    columns[0, 5, 0], columns[0, 7, 1] = 0.9, 0.8
    file = make_set(val={"a": f"{CAR}\n{LIGHT}"}, size=(64, 32))
    one = build_model(tmp_path / "one.onnx", PERFECT)
    many = build_model(tmp_path / "many.onnx", columns, head=Head.ONE_TO_MANY)
    assert evaluate_file(one, file).tasks == evaluate_file(many, file).tasks


def test_broken_labels_are_all_named_before_any_work(make_set: Any, tmp_path: Any) -> None:
    file = make_set(val={"a": "9 0 0 1 1", "b": "hello"})
    with pytest.raises(DataError, match=r"(?s)2 things are wrong:.*a\.txt:1.*b\.txt:1"):
        evaluate_file(build_model(tmp_path / "m.onnx", PERFECT), file)


@pytest.mark.parametrize("more", [(), ("--conditions",)], ids=["clean", "conditions"])
def test_images_without_a_box_to_find_are_nothing_to_score(
    make_set: Any, tmp_path: Any, oneglance: Any, more: Any
) -> None:
    model = build_model(tmp_path / "perfect.onnx", PERFECT)
    file = make_set(val={"a": "2 0.5 0.5 0.2 0.2", "b": ""}, names=["person", "car", "dog"])
    outcome = oneglance("eval", model, file, "--json", tmp_path / "out.json", *more)
    assert outcome.code == 2
    what = "not one box of car, pedestrian in its val images: there is nothing to score"
    assert what in outcome.message
    assert not (tmp_path / "out.json").exists()


def test_an_image_that_cannot_be_read_is_named(make_set: Any, tmp_path: Any) -> None:
    file = make_set(val={"a": CAR})
    (file.parent / "images" / "val" / "a.jpg").write_text("no image")
    with pytest.raises(DataError, match=r"a\.jpg: not an image that can be read"):
        evaluate_file(build_model(tmp_path / "m.onnx", PERFECT), file)


def test_the_program_prints_a_line_for_each_task_and_writes_json(
    make_set: Any, tmp_path: Any, oneglance: Any
) -> None:
    model = build_model(tmp_path / "m.onnx", PERFECT)
    file = make_set(val={"a": f"{CAR}\n{LIGHT}"}, size=(64, 32))
    outcome = oneglance("eval", model, file, "--json", tmp_path / "out.json")
    assert (outcome.code, outcome.err) == (0, "")
    assert [line.split() for line in outcome.out.splitlines()[1:3]] == [
        ["car", "1.000", "1.000", "1"],
        ["light", "1.000", "1.000", "1"],
    ]
    facts = json.loads((tmp_path / "out.json").read_text())
    assert facts["tasks"]["car"]["boxes"] == 1
    assert facts["images"] == 1
    assert (facts["engine"], facts["precision"]) == ("onnxruntime", "fp32")


@pytest.mark.usefixtures("openvino")
def test_the_engine_that_is_run_is_the_engine_that_is_scored(
    make_set: Any, tmp_path: Any, oneglance: Any
) -> None:
    model = build_model(tmp_path / "m.onnx", PERFECT)
    file = make_set(val={"a": f"{CAR}\n{LIGHT}"}, size=(64, 32))
    words = ("eval", model, file, "--json", tmp_path / "out.json")
    outcome = oneglance(*words, "--engine", "openvino")
    assert (outcome.code, outcome.err) == (0, "")
    assert "(val), openvino fp32" in outcome.out
    facts = json.loads((tmp_path / "out.json").read_text())
    assert (facts["engine"], facts["precision"]) == ("openvino", "fp32")
    assert facts["tasks"]["car"]["map50"] == pytest.approx(1.0)
    refused = oneglance(*words, "--precision", "bf16")
    assert (refused.code, refused.message[:40]) == (2, "engine onnxruntime does not compute in b")
