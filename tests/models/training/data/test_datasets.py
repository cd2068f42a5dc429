from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_files import BOX, meanings, problem_of
from oneglance.models.tasks import Task
from oneglance.models.training.data.datasets import read_dataset
from oneglance.streams.errors import DataError, UsageError


def test_a_set_labels_the_tasks_that_its_names_serve_and_no_other(make_set: Any) -> None:
    dataset = read_dataset(make_set(train={"a": BOX}, names=["bus", "car", "motorbike", "person"]))
    assert dataset.labelled_tasks == {Task.PEDESTRIAN, Task.CAR}
    assert dataset.background == ("motorbike",)
    assert dataset.tasks == {0: Task.CAR, 1: Task.CAR, 2: None, 3: Task.PEDESTRIAN}


def test_a_part_of_a_task_does_not_label_the_task(make_set: Any) -> None:
    # COCO's: a street there may be full of signs that are no stop signs.
    dataset = read_dataset(make_set(train={"a": BOX}, names=["person", "stop sign"]))
    assert dataset.labelled_tasks == {Task.PEDESTRIAN}
    assert dataset.classes[1] is None
    assert dataset.left_out == {1}
    assert dataset.background == ()  # not background either: it is a sign


def test_a_part_of_a_task_labels_it_where_the_file_says_so(make_set: Any) -> None:
    file = make_set(train={"a": BOX}, names=["person", "stop sign"], labels=["sign"])
    assert meanings(file) == {"person": None, "stop sign": "sign"}


def test_only_parts_of_tasks_ask_for_a_word(make_set: Any) -> None:
    with pytest.raises(DataError, match=r"bus are only a part of a task.*say so with 'labels:'"):
        read_dataset(make_set(train={"a": BOX}, names=["bus"]))


def test_colours_of_lights_are_kept_apart(make_set: Any) -> None:
    file = make_set(train={"a": BOX}, names=["green", "red", "yellow"])
    assert meanings(file) == {"green": "light_green", "red": "light_red", "yellow": "light_yellow"}


def test_classes_map_names_to_ours_and_leave_the_rest_as_they_say(make_set: Any) -> None:
    file = make_set(
        train={"a": BOX}, names=["Speed_Limit", "car", "dog"], classes={"speed-limit": "sign"}
    )
    assert meanings(file) == {"Speed_Limit": "sign", "car": "car", "dog": None}


def test_an_absolute_path_lets_the_file_live_elsewhere(make_set: Any, tmp_path: Path) -> None:
    file = make_set(train={"a": BOX})
    elsewhere = tmp_path / "elsewhere.yaml"
    elsewhere.write_text(file.read_text().replace("path: .", f"path: {file.parent}"))
    (image,) = read_dataset(elsewhere).images("train")
    assert image == file.parent / "images" / "train" / "a.jpg"


def test_folders_are_looked_through_to_the_bottom_and_lists_are_read(make_set: Any) -> None:
    file = make_set(train={"a": BOX, "b": BOX})
    town = file.parent / "images" / "train" / "aachen"
    town.mkdir()
    (file.parent / "images" / "train" / "b.jpg").rename(town / "b.jpg")
    assert [p.name for p in read_dataset(file).images("train")] == ["a.jpg", "b.jpg"]
    (file.parent / "chosen.txt").write_text("./images/train/aachen/b.jpg\n")
    file.write_text(file.read_text().replace("train: images/train", "train: chosen.txt"))
    assert read_dataset(file).images("train") == [town / "b.jpg"]


def test_roboflows_path_above_the_file_is_found_beside_it(make_set: Any) -> None:
    file = make_set(train={"a": BOX}, names=["car"])
    file.write_text("names: [car]\ntrain: ../images/train\n")
    assert len(read_dataset(file).images("train")) == 1


def test_download_is_never_executed(make_set: Any, tmp_path: Path) -> None:
    trap = tmp_path / "executed"
    file = make_set(train={"a": BOX}, download=f"touch {trap}")
    read_dataset(file).images("train")
    assert not trap.exists()


def test_yaml_that_makes_objects_is_refused(tmp_path: Path) -> None:
    trap = tmp_path / "executed"
    text = f"names: !!python/object/apply:os.system ['touch {trap}']\n"
    assert "is not YAML" in problem_of(tmp_path / "data.yaml", text)
    assert not trap.exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no data set file .*nowhere\.yaml"):
        read_dataset(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: b: c\n", ":1 is not YAML: mapping values are not allowed here"),
        ("names: [car\ntrain: x\n", ":2 is not YAML: expected ',' or ']', but got ':'"),
        ("", " is not a data set file: it has no 'names:'"),
        ("train: x\n", " is not a data set file: it has no 'names:'"),
        ("names: [car]\n", " has neither 'train:' nor 'val:'"),
        (
            "train: x\nnames: 5\n",
            ":2: 'names:' must be a list of names or a map of number to name",
        ),
        (
            "train: x\nnames: [cat, dog]\n",
            (
                ":2: none of its classes (cat, dog) is one of ours; name at least one of "
                "pedestrian, car, sign, light, or map them with 'classes:'"
            ),
        ),
        (
            "train: x\nnames: [car]\nlables: [car]\n",
            ":3: unknown key 'lables:'; did you mean 'labels:'?",
        ),
        *(
            (
                text,
                f":{line}: unknown key '{key}:'; did you mean '{meant}:'?",
            )
            for text, line, key, meant in (
                ("train: x\nnames: [car]\nCLASSES: {car: sign}\n", 3, "CLASSES", "classes"),
                ("train: x\nnames: [car]\nLabels: [car]\n", 3, "Labels", "labels"),
                ("train: x\nvalid: y\nnames: [car]\n", 2, "valid", "val"),
                ("train: x\nValidation: y\nnames: [car]\n", 2, "Validation", "val"),
                ("Train: x\nval: y\nnames: [car]\n", 1, "Train", "train"),
                ("Path: z\ntrain: x\nnames: [car]\n", 1, "Path", "path"),
                ("train: x\nNames: [car]\n", 2, "Names", "names"),
                ("train: x\nclass_names: [car]\n", 2, "class_names", "names"),
            )
        ),
        (
            "train: x\nnames: [car]\nlabels: [cars]\n",
            (
                ":3: 'labels:' has an unknown task 'cars'; did you mean 'car'? (tasks: pedestrian, "
                "car, sign, light)"
            ),
        ),
        (
            "train: x\nnames: [car]\nlabels: [car, sign]\n",
            (
                ":3: 'labels:' says sign, but none of its classes serves it: leave it out, or, if "
                "no image shows one, add it to 'names:'"
            ),
        ),
        (
            "train: x\nnames: [car]\nlabels: {car: yes}\n",
            (
                ":3: 'labels:' says car: yes; it is complete (every object has a box) or partial "
                "(some have none)"
            ),
        ),
        (
            "train: x\nnames: [car]\nclasses: bdd\n",
            (
                ":3: no mapping named 'bdd'; did you mean 'bdd100k'? (mappings: bdd100k, coco, "
                "kitti, cityscapes, udacity, gtsdb, lights)"
            ),
        ),
        (
            "train: x\nnames: [car]\nclasses: [car]\n",
            (
                ":3: 'classes:' must be a map of its names to ours, or one of bdd100k, coco, "
                "kitti, cityscapes, udacity, gtsdb, lights"
            ),
        ),
        (
            "train: x\nnames: [car]\nclasses: {auto: car}\n",
            ":3: 'classes:' maps auto, but 'names:' has no such class",
        ),
        (
            "train: x\nnames: [car, lamp]\nclasses: {lamp: light_blue}\n",
            (
                ":3: 'classes:' maps lamp to 'light_blue', which is no class of ours; did you mean "
                "'light_red'? (classes: pedestrian, car, sign, light, light_red, light_yellow, "
                "light_green, sign_prohibitory, sign_mandatory, sign_danger, sign_other, "
                "background, or ignore)"
            ),
        ),
        (
            "train: x\nnames: [car, truck]\nclasses: {truck: null}\n",
            (
                ":3: 'truck' is a car, but maps to none of our classes, so training would take it "
                "for background: map it to 'car', or leave car out of 'labels:'"
            ),
        ),
        (
            "train: x\nnames: [car]\nannotations: a/b\n",
            ":3: 'annotations:' is the name of one folder, like labels, or COCO's JSON files",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_reported_by_line(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert problem_of(tmp_path / "data.yaml", text) == expected


def test_a_split_that_is_not_there_is_reported(make_set: Any) -> None:
    dataset = read_dataset(make_set(train={"a": BOX}, val={}))
    with pytest.raises(DataError, match="no image in val"):
        dataset.images("val")
    (dataset.file.parent / "images" / "val").rmdir()
    with pytest.raises(DataError, match=r"val folder .* does not exist"):
        dataset.images("val")
    alone = read_dataset(make_set("alone", train={"a": BOX}))
    with pytest.raises(DataError, match="has no 'val:' entry"):
        alone.images("val")


@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        ("gtsdb", {"pedestrian", "car", "sign", "light"}),
        ("highway", {"pedestrian", "car"}),
        ("coad", {"pedestrian", "car"}),
        ("lights", {"light"}),
    ],
)
def test_the_shared_sets_are_understood_as_they_lie(shared: Path, name: str, tasks: Any) -> None:
    assert read_dataset(shared / "data" / name / "data.yaml").labelled_tasks == tasks


def test_a_dark_light_of_the_lights_mapping_is_a_light(make_set: Any) -> None:
    file = make_set(train={"a": BOX}, names=["car"])
    file.write_text("train: images/train\nnames: [Red, Yellow, Green, off]\nclasses: lights\n")
    assert meanings(file)["off"] == "light"


@pytest.mark.parametrize("way", ["text", "xml", "coco"])
def test_an_accent_that_is_two_letters_elsewhere_loses_no_label(make_set: Any, way: str) -> None:
    one, two = (unicodedata.normalize(form, "Stra\u00dfe \u00e9") for form in ("NFC", "NFD"))
    more = {"annotations": "a.json"} if way == "coco" else {}
    file = make_set(train={one: None, "b": None}, **more)
    labels = file.parent / "labels" / "train"
    (labels / "b.txt").write_text("")
    if way == "text":
        (labels / f"{two}.txt").write_text("1 0.5 0.5 0.5 0.5")
    elif way == "xml":
        edges = "<xmin>17</xmin><ymin>13</ymin><xmax>48</xmax><ymax>36</ymax>"
        (labels / f"{two}.xml").write_text(
            f"<annotation><object><name>car</name><bndbox>{edges}</bndbox></object></annotation>"
        )
    else:
        named = {"id": 1, "file_name": f"{two}.jpg", "width": 64, "height": 48}
        car = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [16, 12, 32, 24]}
        coco = {"images": [named], "annotations": [car], "categories": [{"id": 1, "name": "car"}]}
        (file.parent / "a.json").write_text(json.dumps(coco))
    dataset = read_dataset(file)
    image = next(image for image in dataset.images("train") if image.stem == one)
    assert dataset.has_labels(image)
    assert [(box.class_id, box.width) for box in dataset.read_labels(image).boxes] == [(1, 0.5)]


def test_a_linked_folder_of_images_is_looked_through_and_loops_end(
    make_set: Any, tmp_path: Path
) -> None:
    file = make_set(train={"a": BOX})
    town = tmp_path / "elsewhere" / "town"
    (town / "deep").mkdir(parents=True)
    images = file.parent / "images" / "train"
    (images / "a.jpg").rename(town / "deep" / "b.jpg")
    (images / "town").symlink_to(town)
    (town / "deep" / "round").symlink_to(images)
    (images / "self").symlink_to(images)
    assert read_dataset(file).images("train") == [images / "town" / "deep" / "b.jpg"]
    (images / "gone").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"gone is a link that leads nowhere"):
        read_dataset(file).images("train")


def test_a_test_split_is_read_and_another_one_is_named(make_set: Any) -> None:
    file = make_set(train={"a": BOX}, test="images/train")
    assert len(read_dataset(file).images("test")) == 1
    with pytest.raises(UsageError, match="no split 'all': a data set has train, val, test"):
        read_dataset(file).images("all")
    empty = make_set("empty", train={"a": BOX})
    empty.write_text(empty.read_text() + "test:  # none yet\n")
    with pytest.raises(DataError, match="has no 'test:' entry"):
        read_dataset(empty).images("test")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_the_file(make_set: Any, encoding: str) -> None:
    file = make_set(train={"a": BOX})
    text = "train: list.txt\nnames: [Fußgänger, car]\nclasses: {Fußgänger: pedestrian}\n"
    file.write_text(text.replace("\n", "\r\n"), encoding=encoding)
    (file.parent / "list.txt").write_text("images/train/a.jpg\r\n", encoding=encoding)
    dataset = read_dataset(file)
    assert dataset.tasks == {0: Task.PEDESTRIAN, 1: Task.CAR}
    assert dataset.images("train") == [file.parent / "images" / "train" / "a.jpg"]


def test_labels_as_a_map_say_which_tasks_are_labelled_in_part(make_set: Any) -> None:
    labels = {"sign": "partial", "light": "complete"}
    found = read_dataset(make_set(train={"a": ""}, labels=labels))
    assert found.labelled_tasks == {Task.SIGN, Task.LIGHT}
    assert found.partial_tasks == {Task.SIGN}
    assert not read_dataset(make_set("other", train={"a": ""}, labels=["sign"])).partial_tasks


@pytest.mark.parametrize("word", ["maybe", "", None, ["partial"]])
def test_labels_that_are_neither_complete_nor_partial_are_refused(make_set: Any, word: Any) -> None:
    file = make_set(train={"a": ""}, labels={"sign": word})
    with pytest.raises(
        DataError, match=r"data.yaml:\d+: 'labels:' says sign: .*complete .*partial"
    ):
        read_dataset(file)


def test_a_map_of_labels_names_tasks_that_there_are(make_set: Any) -> None:
    with pytest.raises(DataError, match=r"'labels:' has an unknown task 'signs'.*mean 'sign'"):
        read_dataset(make_set(train={"a": ""}, labels={"signs": "partial"}))


@pytest.mark.parametrize("key", ["path", "train", "val", "annotations"])
def test_a_name_too_long_is_a_sentence(make_set: Any, key: str) -> None:
    file = make_set(train={"a": BOX})
    keys = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump(keys | {key: "9" * 400}))
    with pytest.raises(DataError, match=r"data\.yaml") as error:
        read_dataset(file).images("train")
    assert "\n" not in str(error.value)


def test_a_set_of_key_points_has_the_boxes_before_them(make_set: Any) -> None:
    line = "1 0.5 0.5 0.2 0.4 0.1 0.2 0.9 0.8"
    file = make_set(train={"a": line}, kpt_shape=[2, 2])
    dataset = read_dataset(file)
    (image,) = dataset.images("train")
    (box,) = dataset.read_labels(image).boxes
    assert (box.x, box.y, box.width, box.height) == (0.5, 0.5, 0.2, 0.4)


@pytest.mark.parametrize("shape", ["17", [17], [0, 2], [17, 4], [17, 3, 1], ["a", 2], {"n": 17}])
def test_a_shape_of_key_points_that_is_none_is_refused(make_set: Any, shape: Any) -> None:
    with pytest.raises(DataError, match=r"data.yaml:\d+: 'kpt_shape:' is the number of key points"):
        read_dataset(make_set(train={"a": BOX}, kpt_shape=shape))


def test_a_data_set_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "data.yaml").open("wb") as huge:
        huge.truncate(3 << 30)  # a hole, which takes no room
    with pytest.raises(DataError, match=r"data\.yaml is no data set file: it is larger than 64 MB"):
        read_dataset(tmp_path / "data.yaml")
