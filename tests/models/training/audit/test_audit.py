from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import pytest
import yaml

from oneglance.models.tasks import Task
from oneglance.models.training.audit.audit import advised_layers, audit
from oneglance.models.training.data.datasets import read_dataset
from present import present

ALL = "0 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.3 0.2\n2 0.5 0.5 0.4 0.2\n3 0.5 0.5 0.5 0.2"
SIZE = (640, 384)


def looked_through(*files: Any, size: Any = SIZE) -> Any:
    return audit([read_dataset(file) for file in files], size=size)


def test_tasks_are_counted_where_they_are_labelled_and_unknown_elsewhere(make_set: Any) -> None:
    text = "0 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.2 0.2\n3 0.3 0.5 0.2 0.2\n2 0.5 0.5 0.2 0.2"
    file = make_set(
        train={"a": text, "b": "1 0.5 0.5 0.2 0.2", "c": ""},
        names=["bus", "person", "motorbike", "car"],
    )
    (one,) = looked_through(file).sets
    train = one.splits["train"]
    assert set(train.tasks) == {Task.PEDESTRIAN, Task.CAR}
    people, cars = train.tasks[Task.PEDESTRIAN], train.tasks[Task.CAR]
    assert (people.boxes, people.images) == (2, 2)
    assert (cars.boxes, cars.images, cars.classes) == (2, 1, {"car": 2})
    assert (train.images, train.background, train.negatives) == (3, 1, {"motorbike": 1})


def test_boxes_that_are_not_used_are_reported_by_reason(make_set: Any, oneglance: Any) -> None:
    text = "0 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.2 0.2\n1 0.2 0.5 0.2 0.2\n2 0.5 0.5 0.2 0.2"
    file = make_set(train={"a": text}, names=["dog", "stop sign", "car"])
    (one,) = looked_through(file).sets
    assert one.splits["train"].negatives == {"dog": 1}
    assert one.splits["train"].left_out == {"stop sign": 2}
    words = " ".join(oneglance("audit", file).out.split())
    assert "set: background, being none of our classes: dog 1" in words
    assert "set: unused, their task not being labelled throughout: stop sign 2" in words


def test_what_it_means_to_be_labelled_in_part_is_reported(
    make_set: Any, oneglance: Any, tmp_path: Path
) -> None:
    file = make_set(train={"a": ALL}, labels={"sign": "partial", "car": "complete"})
    reported = tmp_path / "audit.json"
    words = " ".join(oneglance("audit", file, "--json", reported).out.split())
    assert "sign (in part)" in words
    assert "car (in part)" not in words
    assert "set: labels sign in part: what has a box is one, what has none may be one too" in words
    assert json.loads(reported.read_text())["sets"][0]["partial"] == ["sign"]


def test_small_boxes_are_those_under_16_px_at_the_training_input(make_set: Any) -> None:
    # 64×48 images in 640×384 are enlarged 8 times (384/48). A box of 2×2 px becomes 16 px:
    # not small; 2×1.9 becomes 15.6: small. At half the input all are.
    text = "1 0.5 0.5 0.03125 0.0416667\n1 0.2 0.5 0.03125 0.0395833"
    file = make_set(train={"a": text})
    (one,) = looked_through(file).sets
    assert one.splits["train"].tasks[Task.CAR].small_share == 0.5
    (half,) = looked_through(file, size=(320, 192)).sets
    assert half.splits["train"].tasks[Task.CAR].small_share == 1.0


def test_an_image_in_both_splits_is_found_across_sets(make_set: Any) -> None:
    one = make_set("one", train={"a": ALL, "b": ALL}, size=(160, 120))
    two = make_set("two", train={"c": ALL}, val={"d": ALL, "e": ALL}, size=(160, 120))
    image = present(cv2.imread(str(one.parent / "images" / "train" / "b.jpg")))
    copy = two.parent / "images" / "val" / "d.jpg"
    cv2.imwrite(str(copy), image[:, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 70])
    found = looked_through(one, two)
    (pair,) = found.near_duplicates
    assert (pair.val, pair.train) == (copy, one.parent / "images" / "train" / "b.jpg")
    (problem,) = found.problems
    assert problem.file == copy
    assert "looks the same as" in problem.what


def test_training_images_that_look_alike_are_counted(make_set: Any) -> None:
    file = make_set(train={"a": ALL, "b": ALL, "c": ALL}, size=(160, 120))
    images = file.parent / "images" / "train"
    shutil.copyfile(images / "a.jpg", images / "b.jpg")
    (one,) = looked_through(file).sets
    assert one.alike == 2


@pytest.mark.parametrize("suffix", [".bmp", ".webp"])
def test_an_image_whose_pixels_are_missing_is_found(make_set: Any, suffix: str) -> None:
    file = make_set(train={"a": ALL, "b": ALL})
    folder = file.parent / "images" / "train"
    image = cv2.imread(str(folder / "b.jpg"))
    (folder / "b.jpg").unlink()
    content = cv2.imencode(suffix, image)[1].tobytes()  # type: ignore[arg-type]
    (folder / f"b{suffix}").write_bytes(content)
    assert looked_through(file).problems == []
    (folder / f"b{suffix}").write_bytes(content[: len(content) // 2])
    (problem,) = looked_through(file).problems
    assert (problem.file, problem.usable) == (folder / f"b{suffix}", False)


def test_the_questions_are_answered(make_set: Any) -> None:
    file = make_set(train={"a": ALL, "b": "1 0.5 0.5 0.2 0.2"}, val={"c": ALL})
    found = looked_through(file)
    assert found.amounts.verdict == "similar"
    assert found.amounts.reasons == (
        "pedestrian 1, car 2, sign 1, light 1: at most 2.0 times as many",
    )
    assert found.layers.train == "head"  # one box: the last layer; signs are new: one deeper
    assert found.sets[0].domain is not None


def test_the_depth_is_advised_without_the_whole_audit(make_set: Any) -> None:
    files = [make_set("a", train={"a": ALL}), make_set("b", train={"b": ALL}, names=["car"] * 4)]
    datasets = [read_dataset(file) for file in files]
    assert advised_layers(datasets) == audit(datasets).layers


def test_a_task_labelled_without_a_box_is_the_poorest(make_set: Any) -> None:
    file = make_set(train={"a": "1 0.5 0.5 0.2 0.2"}, names=["person", "car"])
    assert "pedestrian, has 0 training boxes" in advised_layers([read_dataset(file)]).reasons[0]


def test_progress_counts_every_image_once(make_set: Any) -> None:
    seen = []
    file = make_set(train={"a": ALL, "b": ALL}, val={"c": ALL})
    audit([read_dataset(file)], progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_the_program_prints_what_it_found_and_writes_it_as_json(
    make_set: Any, oneglance: Any, tmp_path: Path
) -> None:
    people = make_set("people", train={"p": ALL, "q": None}, labels=["pedestrian", "car"])
    report = tmp_path / "audit.json"
    outcome = oneglance("audit", people, "--json", report, "--size", "320x192")
    assert (outcome.code, outcome.err) == (0, "")
    words = " ".join(outcome.out.split())
    assert "people train pedestrian 1 1 0% 0.50" in words
    assert "people train sign, light not labelled" in words
    assert "q.jpg: no label file" in words
    assert "Which layers to train? last (--trainable-layers last)" in words
    facts = json.loads(report.read_text())
    assert facts["size"] == "320x192"
    (one,) = facts["sets"]
    assert one["labels"] == ["car", "pedestrian"]
    assert one["splits"]["train"]["tasks"]["pedestrian"]["boxes"] == 1
    assert one["splits"]["train"]["without_label_file"] == 1
    assert one["problems"][0]["usable"] is True


def test_strict_makes_any_problem_an_error_and_still_shows_it(
    make_set: Any, oneglance: Any
) -> None:
    good = make_set("good", train={"a": ALL})
    assert oneglance("audit", good, "--strict").code == 0
    bad = make_set("bad", train={"a": ALL, "b": "1 0.5 nan 0.2 0.2"})
    assert oneglance("audit", bad).code == 0
    outcome = oneglance("audit", bad, "--strict")
    assert outcome.code == 2
    assert "b.txt:1: a number is not finite" in "".join(outcome.out.split("\n"))
    assert outcome.message == f"problems in {bad}: 1 (--strict makes them errors)"


def test_all_problems_are_shown_only_when_asked_for(make_set: Any, oneglance: Any) -> None:
    lines = "\n".join(f"{9 + i} 0.5 0.5 0.2 0.2" for i in range(12))
    file = make_set(train={"a": f"{ALL}\n{lines}"})
    assert oneglance("audit", file).out.count("is not one of") == 10
    assert "2 more (--all shows them)" in oneglance("audit", file).out
    assert oneglance("audit", file, "--all").out.count("is not one of") == 12


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.yaml"], "no data set file nowhere.yaml"),
        (["{good}", "--size", "big"], "--size is WxH, like 640x384, not 'big'"),
        (["{good}", "--size", "0x5"], "size 0x5: both sides must be positive"),
    ],
)
def test_what_cannot_be_audited_is_reported_in_a_sentence(
    make_set: Any, oneglance: Any, words: Any, message: str
) -> None:
    good = make_set(train={"a": ALL})
    outcome = oneglance("audit", *(word.format(good=good) for word in words))
    assert (outcome.code, outcome.message) == (2, message)


def test_the_shared_lights_are_as_their_readme_says(shared: Path) -> None:
    (lights,) = looked_through(shared / "data" / "lights" / "data.yaml").sets
    facts = lights.splits["train"].tasks[Task.LIGHT]
    assert lights.labelled == {Task.LIGHT}
    assert facts.classes == {"light_red": 975, "light_green": 664, "light_yellow": 194}
    assert lights.splits["val"].images == 200


def test_a_set_is_named_as_its_folder_whatever_signs_are_in_it(
    make_set: Any, oneglance: Any
) -> None:
    file = make_set("cars [v2]", train={"a": "0 0.5 0.5 0.2 0.2"}, names=["car", "dog [small]"])
    reported = oneglance("audit", file)
    assert reported.code == 0
    assert "cars [v2]" in reported.out.split("Images")[0]
    assert "dog [small]" in reported.out


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("path", "https://me:S3CRET@host/d"),
        ("path", "s3://AKIA:S3CRET@bucket/d"),
        ("train", "https://host/d.zip?token=S3CRET"),
        ("train", "list.txt"),
        ("val", "rtsp://me:S3CRET@host/v"),
        ("annotations", "https://me:S3CRET@host/a.json"),
    ],
)
def test_an_address_in_the_place_of_a_path_shows_no_secret(
    make_set: Any, tmp_path: Path, oneglance: Any, key: str, value: str
) -> None:
    file = make_set(train={"a": "1 0.5 0.5 0.2 0.2"}, download="https://me:S3CRET@host/z")
    (file.parent / "list.txt").write_text("https://me:S3CRET@host/a.jpg\n")
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {key: value}))
    facts = tmp_path / "facts.json"
    run = oneglance("audit", file, "--all", "--json", facts)
    written = facts.read_text() if facts.exists() else ""
    assert "host" in run.out + run.err + written or "bucket" in run.out + run.err
    assert "S3CRET" not in run.out + run.err + written
