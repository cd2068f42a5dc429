from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from oneglance.models.tasks import Task
from oneglance.models.training.data.checks import check
from oneglance.models.training.data.coco_labels import CocoFile, read_coco
from oneglance.models.training.data.datasets import read_dataset
from oneglance.models.training.data.labels import LabelledBox
from oneglance.streams.errors import DataError
from present import present

NAMES = {0: "person", 1: "car"}
CAR = {"id": 7, "image_id": 3, "category_id": 3, "bbox": [16, 12, 32, 24], "iscrowd": 0}
IMAGE = {"id": 3, "file_name": "a.jpg", "width": 64, "height": 48}
CATEGORIES = [{"id": 1, "name": "Person"}, {"id": 3, "name": "car"}, {"id": 4, "name": "dog"}]


def written(file: Any, *annotations: Any, images: Any = (IMAGE,)) -> Any:
    file.parent.mkdir(exist_ok=True, parents=True)
    content = {"images": [*images], "annotations": [*annotations], "categories": CATEGORIES}
    file.write_text(json.dumps(content))
    return file


def test_boxes_are_placed_by_the_size_that_the_file_tells_and_named_by_category(
    tmp_path: Path,
) -> None:
    person = CAR | {"id": 8, "category_id": 1, "iscrowd": 1}
    file = CocoFile(written(tmp_path / "a.json", CAR, person))
    found = present(file.labels(tmp_path / "a.jpg", NAMES))
    assert found.boxes == (
        LabelledBox(1, 0.5, 0.5, 0.5, 0.5),
        LabelledBox(0, 0.5, 0.5, 0.5, 0.5, crowd=True),
    )
    assert found.problems == ()


def test_an_image_without_an_annotation_shows_nothing_and_one_that_is_not_named_is_unlabelled(
    tmp_path: Path,
) -> None:
    file = CocoFile(written(tmp_path / "a.json"))
    assert present(file.labels(tmp_path / "a.jpg", NAMES)).boxes == ()
    assert file.speaks_of(tmp_path / "a.jpg")
    assert file.labels(tmp_path / "b.jpg", NAMES) is None
    assert not file.speaks_of(tmp_path / "b.jpg")


def test_images_of_one_name_are_distinguished_by_their_folders(tmp_path: Path) -> None:
    images = [IMAGE | {"id": n, "file_name": f"town{n}/a.jpg"} for n in (1, 2)]
    file = CocoFile(written(tmp_path / "a.json", CAR | {"image_id": 2}, images=images))
    paths = [tmp_path / "images" / f"town{n}" / "a.jpg" for n in (1, 2)]
    counts = [len(present(file.labels(path, NAMES)).boxes) for path in paths]
    assert counts == [0, 1]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"category_id": 4}, "is a 'dog', which 'names:' does not have"),
        ({"category_id": 9}, "is of category 9, which the file does not have"),
        *(
            (
                {"bbox": bad},
                "has no 'bbox' of four numbers, and no 'segmentation' that can be read",
            )
            for bad in ([1, 2, 3], "abcd", [], None, 7, [float("nan"), 5, 3, 10], [0, 0, 1e999, 1])
        ),
        ({"category_id": "3"}, "is of category '3', which the file does not have"),
        ({"category_id": [3]}, "is of category [3], which the file does not have"),
        (
            {"bbox": [40, 30, -20, -10]},
            "has a width or height below zero: where the object is cannot be known",
        ),
        (
            {"bbox": [0.2, 0.2, 0.5, 0.5]},
            "lies within the first pixel: 0..1, where pixels are expected",
        ),
    ],
)
def test_an_annotation_that_cannot_be_understood_is_reported(
    tmp_path: Path, change: Any, what: str
) -> None:
    file = CocoFile(written(tmp_path / "a.json", CAR | change))
    (problem,) = present(file.labels(tmp_path / "a.jpg", NAMES)).problems
    assert problem.what == f"annotation 7 (a.jpg) {what}"
    assert not problem.usable


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images": 1, "annotations": 1}', "null", "{"])
def test_a_file_of_another_form_is_reported(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=r"a\.json is not of COCO's form"):
        read_coco(tmp_path / "a.json")


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    file = written(tmp_path / "a.json", CAR)
    assert len(present(read_coco(file).labels(tmp_path / "a.jpg", NAMES)).boxes) == 1
    written(file)
    assert len(present(read_coco(file).labels(tmp_path / "a.jpg", NAMES)).boxes) == 0


@pytest.mark.parametrize(
    "annotations",
    [
        {"train": "annotations/instances_train.json", "val": "annotations/instances_val.json"},
        ["annotations/instances_train.json", "annotations/instances_val.json"],
        "annotations",
    ],
)
def test_a_set_laid_out_as_cocos_own_is_read(make_set: Any, annotations: Any) -> None:
    file = make_set(
        train={"a": None}, val={"b": None}, names=["person", "car"], annotations=annotations
    )
    folder = file.parent / "annotations"
    written(folder / "instances_train.json", CAR, CAR | {"category_id": 1, "iscrowd": 1})
    written(folder / "instances_val.json", images=[IMAGE | {"file_name": "b.jpg"}])
    (folder / "captions_train.json").write_text("{}")
    dataset = read_dataset(file)
    (train,), (val,) = dataset.images("train"), dataset.images("val")
    car, crowd = dataset.read_labels(train).boxes
    assert present(dataset.class_of(car)).task is Task.CAR
    assert dataset.ignored_in(car) == frozenset()
    assert dataset.class_of(crowd) is None
    assert dataset.ignored_in(crowd) == {Task.PEDESTRIAN}
    assert dataset.has_labels(val)
    assert dataset.read_labels(val).boxes == ()


def test_one_name_in_two_splits_is_that_of_its_own_split(make_set: Any) -> None:
    names = {"train": "train.json", "val": "val.json"}
    file = make_set(train={"a": None}, val={"a": None}, names=["car"], annotations=names)
    written(file.parent / "train.json")
    written(file.parent / "val.json", CAR)
    dataset = read_dataset(file)
    counts = [len(dataset.read_labels(dataset.images(s)[0]).boxes) for s in ("train", "val")]
    assert counts == [0, 1]


@pytest.mark.parametrize(
    ("annotations", "what"),
    [
        ("gone.json", r"gone\.json does not exist"),
        ({"all": "data.yaml"}, "there is no split 'all'"),
        ("a/b", "is the name of one folder, like labels, or COCO's JSON files"),
    ],
)
def test_annotations_that_are_not_there_are_reported(
    make_set: Any, annotations: Any, what: str
) -> None:
    with pytest.raises(DataError, match=what):
        read_dataset(make_set(train={"a": ""}, annotations=annotations))


def test_flags_are_read_however_they_are_written(tmp_path: Path) -> None:
    flags = {"0": False, "false": False, "1": True, "True": True, 0.0: False, None: False}
    for flag, crowd in flags.items():
        file = CocoFile(written(tmp_path / "a.json", CAR | {"iscrowd": flag}))
        found: Any = file.labels(tmp_path / "a.jpg", NAMES)
        (box,) = found.boxes
        assert box.crowd is crowd, flag


def test_an_annotation_with_a_mask_alone_is_the_box_around_it(tmp_path: Path) -> None:
    counts = [16 * 48 + 12, *([24, 24] * 32)]
    counts[-1] = 48 * 64 - sum(counts[:-1])
    for mask in (
        [[16, 12, 48, 12, 48, 36, 16, 36]],
        [[16, 12, 48, 12, 20, 20], [16, 30, 20, 36, 20, 30]],
        {"size": [48, 64], "counts": counts},
    ):
        boxes: list[dict[str, Any]] = [{}, {"bbox": []}, {"bbox": None}]
        for box in boxes:
            annotation = {k: v for k, v in CAR.items() if k != "bbox"} | box
            file = CocoFile(written(tmp_path / "a.json", annotation | {"segmentation": mask}))
            found: Any = file.labels(tmp_path / "a.jpg", NAMES)
            assert found.boxes == (LabelledBox(1, 0.5, 0.5, 0.5, 0.5),)


@pytest.mark.parametrize("what", ["images", "categories"])
def test_an_id_that_stands_there_twice_is_an_error(tmp_path: Path, what: str) -> None:
    file = written(tmp_path / "a.json", CAR)
    content = json.loads(file.read_text())
    content[what].append(dict(content[what][0], name="dog", file_name="b.jpg"))
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match="stands there twice"):
        read_coco(file)


def test_brackets_without_end_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match="not of COCO's form"):
        read_coco(tmp_path / "a.json")


@pytest.mark.parametrize("image_id", ["3", 4, None])
def test_annotations_of_images_that_the_file_does_not_have_are_never_lost(
    tmp_path: Path, image_id: object
) -> None:
    file = written(tmp_path / "a.json", CAR | {"image_id": image_id})
    with pytest.raises(DataError, match=r"an annotation is of image .*, which it does not have"):
        CocoFile(file)
    # A part of the images may have been taken out, without what was said of them.
    rest = CocoFile(written(tmp_path / "b.json", CAR, CAR | {"image_id": 4}))
    assert len(present(rest.labels(tmp_path / "a.jpg", NAMES)).boxes) == 1


def test_an_image_that_two_entries_may_be_is_not_guessed(tmp_path: Path) -> None:
    images = [IMAGE, IMAGE | {"id": 4}]
    file = CocoFile(written(tmp_path / "a.json", CAR, images=images))
    (problem,) = present(file.labels(tmp_path / "a.jpg", NAMES)).problems
    assert "names several images that" in problem.what
    assert not problem.usable
    assert file.speaks_of(tmp_path / "a.jpg")


def test_the_size_of_another_image_places_no_boxes(make_set: Any, tmp_path: Path) -> None:
    image = make_set(train={"a": None}).parent / "images" / "train" / "a.jpg"  # 64x48
    for size, fits in (
        ((48, 64), False),
        ((640, 360), False),
        ((640, 480), True),
        ((21, 16), True),
    ):
        said = IMAGE | {"width": size[0], "height": size[1]}
        file = CocoFile(written(tmp_path / f"{size}.json", CAR, images=[said]))
        found = present(file.labels(image, NAMES))
        assert [p.what for p in found.problems if not p.usable] == (
            []
            if fits
            else [
                (
                    f"a.jpg: says that the image is {size[0]}x{size[1]} pixels, which is 64x48: "
                    "its boxes cannot be placed"
                )
            ]
        )


@pytest.mark.parametrize("name", ["A.jpg", "a.png", "a.JPG", "a", "train/A.JPEG"])
def test_an_image_that_is_called_almost_so_is_found(tmp_path: Path, name: str) -> None:
    file = CocoFile(written(tmp_path / "a.json", CAR, images=[IMAGE | {"file_name": name}]))
    assert file.nearly(tmp_path / "train" / "a.jpg") == name.rpartition("/")[2]
    assert file.nearly(tmp_path / "train" / "b.jpg") is None


def test_an_image_of_another_folder_or_one_that_is_there_is_not_almost_that(tmp_path: Path) -> None:
    images = [IMAGE | {"file_name": "val/a.png"}, IMAGE | {"id": 4, "file_name": "b.png"}]
    file = CocoFile(written(tmp_path / "a.json", images=images))
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "b.png").touch()
    assert file.nearly(tmp_path / "train" / "a.jpg") is None
    assert file.nearly(tmp_path / "train" / "b.jpg") is None
    assert file.nearly(tmp_path / "train" / "b.png") is None


@pytest.mark.parametrize("key", ["annotations", "bbox", "file_name"])
def test_a_key_that_stands_twice_is_refused(tmp_path: Path, key: str) -> None:
    text = written(tmp_path / "a.json", CAR).read_text()
    (tmp_path / "a.json").write_text(text.replace(f'"{key}"', f'"{key}": [], "{key}"', 1))
    with pytest.raises(DataError, match=f"key '{key}' stands there twice"):
        CocoFile(tmp_path / "a.json")


def test_an_image_that_its_coco_file_calls_otherwise_stops_a_training(make_set: Any) -> None:
    file = make_set(train={"a": None, "b": None}, annotations="boxes.json")
    images = [IMAGE, IMAGE | {"id": 4, "file_name": "b.png"}]
    coco = written(file.parent / "boxes.json", CAR, CAR | {"image_id": 4}, images=images)
    (problem,) = [found for found in check(read_dataset(file)) if not found.usable]
    assert problem.what == f"{coco} does not name it, but b.png seems to be it: call it b.jpg"
